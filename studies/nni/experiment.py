"""Candidates evaluated as the trials of an NNI experiment, with NNI's local training service and its web page.

The search loop stays in this process, which alone proposes and keeps the study: a proposal of the sampler's, one of
NNI's tuners or any other, that is within the budget and new is sent to NNI as a trial. NNI starts a process for it, by
this process's own command line; that makes the evaluator, evaluates, and reports to NNI, which tells this process.
"""

import json
import os
import queue
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evaluators.base import Evaluator
from foundation.errors import InputError
from foundation.metric import ACCURACY, Metric, checked, read_measured
from search_space.architecture import Architecture
from search_space.space import SearchSpace
from studies.engines.evaluation import Result
from studies.nni.server import NNIServer
from studies.nni.tuners import every_decision, exported
from studies.storage.parameter_names import name_in_study
from studies.trials import Candidate, Claim, Failure, failure_reason

THREADS = "COORDNAS_NNI_TRIAL"
"""The environment variable that tells a trial's process that it is one, and its number of threads."""

FOLDER = "nni"
POLL_SECONDS = 5.0
LATE_SECONDS = 30.0  # that a result may come after its trial's end
TUNERS = {"nni:tpe": "TPE", "nni:evolution": "Evolution", "nni:random": "Random"}
"""NNI's names for the tuners, for its page."""


class NNIExperiment:
    """Evaluates by an NNI experiment on this machine, at most `count` trials at once.

    Args:
        folder: of the run.
        sampler: its name, for the page.
        metric: that the trials report.
        threads: of torch, in each trial.
        port: of the web page; None for one that is free.
        command: that evaluates one candidate; None for this process's own.
    """

    whole = 1

    def __init__(
        self,
        space: SearchSpace,
        folder: Path,
        count: int,
        *,
        sampler: str,
        threads: int,
        metric: Metric = ACCURACY,
        port: int | None = None,
        command: Sequence[str] | None = None,
    ):
        self._space = space
        self._count = count
        self._metric = metric
        self._running: dict[int, Claim] = {}  # by number of the proposal, which NNI calls parameter_id
        self._ended: dict[int, float] = {}  # well, but without a result so far; and since when
        self._next = 0
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        tuner: dict[str, Any] = {"name": TUNERS.get(sampler, sampler.removeprefix("nni:"))}
        if not metric.higher_is_better:
            tuner["class_args"] = {"optimize_mode": "minimize"}  # by which NNI's page finds the best trials
        settings = {
            "experiment_name": folder.resolve().name,
            "search_space": exported({name_in_study(name, 1): of for name, of in every_decision(space).items()}),
            "trial_command": f"{THREADS}={threads} exec {shlex.join(command or [sys.executable, *sys.argv])}",
            "trial_code_directory": os.getcwd(),
            "trial_concurrency": count,
            "tuner": tuner,
        }
        self._server = NNIServer(folder / FOLDER, settings, port)
        self._listener = threading.Thread(target=self._listen, name="nni", daemon=True)
        self._listener.start()

    @property
    def page(self) -> str:
        """The web page's address."""
        return self._server.page

    @property
    def room(self) -> int:
        """As many as there are trials fewer than there may be."""
        return self._count - len(self._running)

    def busy(self) -> bool:
        """Whether any trial is running."""
        return bool(self._running)

    def begin(self, claims: Sequence[Claim]) -> None:
        """Sends each to NNI."""
        for claim in claims:
            self._running[self._next] = claim
            self._server.submit(self._next, page_parameters(self._space, claim.architecture))
            self._next += 1

    def finished(self) -> Iterator[Result]:
        """The next that has ended. Raises InputError if the experiment has been stopped."""
        while self._running:
            try:
                kind, content = self._messages.get(timeout=POLL_SECONDS)
            except queue.Empty:
                self._check()
                found = self._overdue()
            else:
                found = self._result(kind, content)
            if found is not None:
                yield found
                return

    def close(self) -> None:
        """Ends the experiment and its server."""
        self._server.stop()
        self._listener.join(POLL_SECONDS)

    def _listen(self) -> None:
        """Takes in what NNI says."""
        while True:
            try:
                kind, content = self._server.receive()
            except Exception as error:  # there is no connection any more
                kind, content = "Terminate", failure_reason(error)
            if kind == "Initialize":
                self._server.initialized()
            elif kind in ("ReportMetricData", "TrialEnd", "Terminate"):
                self._messages.put((kind, content))
            if kind == "Terminate":
                return

    def _result(self, kind: str, content: Any) -> Result | None:
        """What the message says of one of the running trials, if it does."""
        if kind == "Terminate":
            self._messages.put((kind, content))  # for whoever asks again
            why = f" ({content})" if content else ""
            raise InputError(f"NNI's experiment was stopped{why}; run the same command again to go on")
        if kind == "ReportMetricData":
            claim = self._running.get(content["parameter_id"]) if content["type"] == "FINAL" else None
            if claim is None:
                return None
            self._forget(content["parameter_id"])
            return claim, self._candidate(claim, content["value"])
        number = json.loads(content["hyper_params"])["parameter_id"]
        claim = self._running.get(number)
        if claim is None:
            return None  # it has reported, or was started on the web page
        if content["event"] == "SUCCEEDED":
            self._ended[number] = time.monotonic()
            return self._overdue()
        self._forget(number)
        return claim, Failure(claim.architecture, self._why(content))

    def _candidate(self, claim: Claim, value: str) -> Candidate | Failure:
        try:
            named = json.loads(value)
            measured = read_measured(self._metric, named)
        except (TypeError, ValueError, KeyError, InputError):
            return Failure(claim.architecture, f"its trial reported {value[:100]!r}")
        return Candidate(claim.architecture, claim.cost, measured)

    def _overdue(self) -> Result | None:
        """A trial that ended well, but whose result is not to be expected any more."""
        for number, since in self._ended.items():
            if time.monotonic() - since > LATE_SECONDS:
                claim = self._running[number]
                self._forget(number)
                return claim, Failure(claim.architecture, "its trial ended without a result")
        return None

    def _forget(self, number: int) -> None:
        del self._running[number]
        self._ended.pop(number, None)

    def _why(self, content: Any) -> str:
        """Why a trial failed: the last line that it wrote to stderr, if there is one."""
        if content["event"] != "FAILED":
            return f"its trial was ended on NNI's page ({content['event']})"
        place = self._server.folder / "environments" / "local-env" / "trials" / content["trial_job_id"]
        try:
            lines = (place / "trial.stderr").read_text(errors="replace").split("\n")
        except OSError:
            lines = []
        last = next((line for line in reversed(lines) if line.strip()), "its process ended without a word")
        return last.removeprefix("error: ")

    def _check(self) -> None:
        """Raises InputError if nothing more is to be expected."""
        if not self._server.lives():
            raise InputError(f"NNI's server ended by itself; see {self._server.folder / 'log'}, and run again to go on")
        try:
            status, errors = self._server.status()
        except Exception:  # busy; that it lives is enough
            return
        if status in ("ERROR", "STOPPING", "STOPPED", "DONE", "NO_MORE_TRIAL"):
            why = f" ({errors})" if errors else ""
            raise InputError(
                f"NNI's experiment is {status}{why} and runs no more trials; run the same command again to go on"
            )


def is_trial() -> bool:
    """Whether this process was started by NNI to evaluate one candidate."""
    return THREADS in os.environ


def trial_threads() -> int:
    """The number of threads that a trial's process is to use."""
    return int(os.environ[THREADS])


def run_trial(space: SearchSpace, evaluator: Evaluator) -> None:
    """Evaluates the candidate that NNI names, and reports to it. Raises InputError where that fails."""
    # Imported here: only trials need it. Read as plain JSON, for NNI's own reader unpickles.
    from nni.runtime.command_channel.http import HttpChannel

    channel = HttpChannel(os.environ["NNI_TRIAL_COMMAND_CHANNEL"])
    channel.send({"type": "request_parameter"})
    answer = channel.receive()
    if answer is None:
        raise InputError("NNI has no parameters for this trial")
    given = json.loads(answer["parameter"])
    architecture = read_parameters(space, given["parameters"])
    evaluator.prepare()
    try:
        measured = checked(evaluator.evaluate(architecture), evaluator.metric)
    except Exception as error:
        raise InputError(failure_reason(error)) from error
    value = {"default": measured.value, **measured.numbers()}
    metric = {
        "parameter_id": given["parameter_id"],
        "trial_job_id": os.environ["NNI_TRIAL_JOB_ID"],
        "type": "FINAL",
        "sequence": 0,
        "value": json.dumps(value),
    }
    channel.send({"type": "metric", "metric": json.dumps(metric)})


def page_parameters(space: SearchSpace, architecture: Architecture) -> dict[str, Any]:
    """The architecture's decisions as NNI's page shows them: stages and blocks are counted from 1, as in the study."""
    return {name_in_study(name, 1): value for name, value in space.choices(architecture).items()}


def read_parameters(space: SearchSpace, parameters: dict[str, Any]) -> Architecture:
    """The architecture that `page_parameters` made these of. Raises InputError for what the space does not offer."""

    def choose(name: str, options: Sequence[Any]) -> Any:
        shown = name_in_study(name, 1)
        for option in options:
            if type(option) is type(parameters.get(shown)) and option == parameters[shown]:
                return option
        raise InputError(f"{shown}: {parameters.get(shown)!r}; known: {', '.join(map(str, options))}")

    return space.assemble(choose)
