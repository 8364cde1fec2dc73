"""A search as an NNI experiment: NNI's server and its trials run here, where NNI is installed."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from commands import search as command
from evaluators.base import Metrics
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space import Architecture, Budget, InputError
from search_space.cost.priced_space import PricedSpace
from studies.loop import search
from studies.nni import experiment as nni_experiment
from studies.nni.experiment import NNIExperiment, page_parameters, read_parameters, run_trial
from studies.nni.server import NNIServer
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy
from studies.trials import Candidate

pytestmark = pytest.mark.skipif(importlib.util.find_spec("nni") is None, reason="nni is not installed")

ROOT = Path(__file__).parent.parent
TRIAL = """
import json, os, sys, urllib.request
url = os.environ["NNI_TRIAL_COMMAND_CHANNEL"]
def send(content):
    body = json.dumps(content).encode()
    headers = {"Content-Type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"))
send({"type": "request_parameter"})
given = json.loads(json.load(urllib.request.urlopen(url))["parameter"])
chosen = given["parameters"]
if chosen["stage1.kernel_size"] == 5 and chosen["stage2.kernel_size"] == 5:
    sys.exit("error: two large kernels")
accuracy = sum(map(len, map(str, sorted(map(str, chosen.values()))))) / 100
value = json.dumps({"default": accuracy, "accuracy": accuracy, "loss": 0.0})
metric = {"parameter_id": given["parameter_id"], "trial_job_id": os.environ["NNI_TRIAL_JOB_ID"]}
metric |= {"type": "FINAL", "sequence": 0, "value": value}
send({"type": "metric", "metric": json.dumps(metric)})
"""


class Alike:
    """What the trials evaluate."""

    metric = ACCURACY

    def __init__(self, space: PricedSpace):
        self.space = space

    def identity(self) -> dict[str, Any]:
        return {}

    def about(self) -> str:
        return ""

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        chosen = self.space.space.choices(architecture)
        if chosen["stage0.kernel_size"] == chosen["stage1.kernel_size"] == 5:
            raise InputError("two large kernels")
        return Metrics(sum(map(len, map(str, sorted(map(str, chosen.values()))))) / 100, 0.0)


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "trial.py").write_text(TRIAL)
    return [sys.executable, "-I", str(tmp_path / "trial.py")]


def _study(space: PricedSpace, folder: Path) -> OptunaStudy:
    folder.mkdir(exist_ok=True)
    budget = Budget(max_macs=int(space.cost(space.smallest).macs * 1.5))
    goal = Goal(space.within(budget), seed=5, startup=3)
    return OptunaStudy(make_sampler("nni:tpe", goal), f"sqlite:///{folder}/study.db")


def _trials(folder: Path) -> list[Any]:
    study = optuna.load_study(study_name="coordnas", storage=f"sqlite:///{folder}/study.db")
    return [(t.state, t.values, t.params, t.user_attrs, t.system_attrs) for t in study.get_trials()]


def _listening(port: int) -> list[str]:
    """The addresses at which this machine listens on that port, in the hexadecimals of Linux."""
    rows = [line.split() for file in ("tcp", "tcp6") for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]]
    ends = [row[1].split(":") for row in rows if row[3] == "0A"]
    return [address for address, at in ends if int(at, 16) == port]


def _members(group: int) -> list[int]:
    """The processes of a group."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(entry.name)] if state != "Z" else []
        except (ProcessLookupError, FileNotFoundError):
            continue
    return found


def _left(group: int) -> list[int]:
    """The processes of a group that is ending which have not ended after a while."""
    until = time.monotonic() + 60
    while _members(group) and time.monotonic() < until:
        time.sleep(0.2)
    return _members(group)


@pytest.mark.parametrize("count", [1, 3])
def test_it_ends_as_in_process(tiny_space: PricedSpace, tmp_path: Path, trial: list[str], count: int) -> None:
    quiet = Reporter(quiet=True)
    experiment = NNIExperiment(tiny_space.space, tmp_path, count, sampler="nni:tpe", threads=1, command=trial)
    group = experiment._server._process.pid
    try:
        assert _listening(experiment._server.port) == ["0100007F"]
        assert experiment.page == f"http://127.0.0.1:{experiment._server.port}"
        study = _study(tiny_space, tmp_path / "trials")
        found = search(study, Alike(tiny_space), trials=6, reporter=quiet, evaluation=experiment)
        stored = experiment._server._rest.get(experiment._server.port, "/trial-jobs")
        known = experiment._server._rest.get(experiment._server.port, "/experiments-info")
        profile = experiment._server._rest.get(experiment._server.port, "/experiment")
    finally:
        experiment.close()
    assert _left(group) == []
    assert not (tmp_path / "home").exists()
    assert [entry["experimentName"] for entry in known] == [tmp_path.name]  # without it the page shows an error
    assert profile["params"]["tuner"]["name"] == "TPE"
    assert profile["params"]["searchSpace"]["stage1.kernel_size"] == {"_type": "choice", "_value": [3, 5]}
    # Each trial on the page has the parameters that it was evaluated with.
    for entry in stored:
        chosen = json.loads(entry["hyperParameters"][0])["parameters"]
        if "finalMetricData" in entry:
            value = json.loads(json.loads(entry["finalMetricData"][0]["data"]))
            assert value["accuracy"] == Alike(tiny_space).evaluate(read_parameters(tiny_space.space, chosen)).value
    if count == 1:
        whole = search(_study(tiny_space, tmp_path / "whole"), Alike(tiny_space), trials=6, reporter=quiet)
        assert whole == found
        assert _trials(tmp_path / "whole") == _trials(tmp_path / "trials")
        reasons = [attributes.get("failed") for _, _, _, attributes, _ in _trials(tmp_path / "trials")]
        assert "two large kernels" in reasons
    assert len({candidate.architecture for candidate in found}) == 6
    for candidate in found:
        assert isinstance(candidate, Candidate)
        assert candidate.measured == Alike(tiny_space).evaluate(candidate.architecture)


def test_it_is_stopped_on_its_page(tiny_space: PricedSpace, tmp_path: Path, trial: list[str]) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    experiment = NNIExperiment(tiny_space.space, tmp_path, 1, sampler="nni:tpe", threads=1, command=sleeper)
    group = experiment._server._process.pid
    try:
        study = _study(tiny_space, tmp_path / "trials")
        claim = study.claim(_proposal(tiny_space), None)
        assert claim is not None
        experiment.begin([claim])
        experiment._server._rest.delete(experiment._server.port, "/experiment")
        with pytest.raises(InputError, match=r"^NNI's experiment was stopped.*; run the same command again to go on$"):
            list(experiment.finished())
    finally:
        experiment.close()
    assert _left(group) == []


def _proposal(space: PricedSpace) -> Any:
    from studies.samplers.base import Proposal

    return Proposal(space.smallest)


def test_its_server_ends_with_the_search(tmp_path: Path, trial: list[str]) -> None:
    program = (
        "import sys, time; from pathlib import Path; from studies.nni.server import NNIServer\n"
        "settings = dict(search_space={'a': {'_type': 'choice', '_value': [1]}}, trial_command='sleep 600', "
        "trial_code_directory='.', trial_concurrency=1, tuner={'name': 'TPE'})\n"
        f"server = NNIServer(Path({str(tmp_path)!r}), settings)\n"
        "server.receive(); server.initialized(); server.submit(0, {'a': 1}); time.sleep(3)\n"
        "print(server._process.pid, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    group = int(process.stdout.readline())
    assert len(_members(group)) >= 2  # the server and its trial
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert _left(group) == []


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", 0))
        occupied.listen()
        yield occupied.getsockname()[1]


def test_what_it_refuses(tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=rf"^`nni_port` {taken}: is in use; choose another, or leave it out$"):
        NNIServer(tmp_path, {}, taken)
    with pytest.raises(InputError, match=r"^--nni-port is for --engine nni$"):
        command.main(["digits", "--nni-port", "8080"])
    with pytest.raises(InputError, match=r"^--engine nni: the proxy's candidates compete in one process; "):
        command.main(["digits", "--engine", "nni", "--evaluator", "proxy"])
    with pytest.raises(InputError, match=r"^--engine magic: unknown; known: processes, ray, nni$"):
        command.main(["digits", "--engine", "magic"])
    monkeypatch.setitem(sys.modules, "nni", None)
    monkeypatch.setitem(sys.modules, "nni.experiment", None)
    with pytest.raises(InputError, match=r"^`engine` nni: needs nni.*; pip install 'coordnas\[nni\]'$"):
        NNIServer(tmp_path, {})


class Channel:
    """What NNI's is to a trial."""

    def __init__(self, parameters: Any):
        self.parameters = parameters
        self.sent: list[Any] = []

    def __call__(self, url: str) -> "Channel":
        return self

    def send(self, content: Any) -> None:
        self.sent.append(content)

    def receive(self) -> Any:
        return {"type": "parameter", "parameter": json.dumps({"parameter_id": 7, "parameters": self.parameters})}


def test_a_trial_reports_what_it_evaluated(tiny_space: PricedSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    import nni.runtime.command_channel.http as http

    channel = Channel(json.loads(json.dumps(page_parameters(tiny_space.space, tiny_space.smallest))))
    monkeypatch.setattr(http, "HttpChannel", channel)
    monkeypatch.setenv("NNI_TRIAL_COMMAND_CHANNEL", "http://localhost/")
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "abc")
    run_trial(tiny_space.space, Alike(tiny_space))
    assert channel.sent[0] == {"type": "request_parameter"}
    metric = json.loads(channel.sent[1]["metric"])
    accuracy = Alike(tiny_space).evaluate(tiny_space.smallest).value
    assert metric["parameter_id"] == 7
    assert json.loads(metric["value"]) == {"default": accuracy, "accuracy": accuracy, "loss": 0.0}
    channel.parameters["stage1.kernel_size"] = True
    with pytest.raises(InputError, match=r"^stage1.kernel_size: True; known: 3, 5$"):
        run_trial(tiny_space.space, Alike(tiny_space))


def test_a_trial_process_is_told_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not nni_experiment.is_trial()
    monkeypatch.setenv(nni_experiment.THREADS, "2")
    assert nni_experiment.is_trial()
    assert nni_experiment.trial_threads() == 2


def test_the_command(
    tmp_path: Path, trial: list[str], launched: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    arguments = ["--evaluator", "tabular", "--framework", "nni", "--sampler", "evolution", "--engine", "nni"]
    ended = launched(tmp_path, "search.py", *arguments, "--trials", "1", "--startup", "1", "--out", "run")
    assert ended.returncode == 0, ended.stderr
    assert "NNI's page, on this machine alone: http://127.0.0.1:" in ended.stdout + ended.stderr
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["metrics"]["accuracy"] > 0.5
