"""Several processes that share a study: how much faster they are, and whether anything is lost or done twice.

    python -m benchmarks.workers [--trials N] [--workers N] [--storage KIND]

Candidates of `mobilenetv2-32` within 1.2M MACs, the default sampler, an evaluation that takes no time: so what is
measured is the study alone. KIND is `postgresql` (a server of its own on loopback), `sqlite` or `journal`. Every
evaluation is written down in a file as well, against which the study's trials are held.
"""

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from benchmarks import postgres
from evaluators.base import Metrics
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.cost import Budget, Cost
from search_space.spaces import priced_space
from studies.loop import search
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy
from studies.storage.storages import close_storage, open_storage
from studies.storage.study_names import FORMER

BUDGET = Budget(max_macs=1_200_000)
STARTUP = 40


class Written:
    """An evaluation that is a number made of the digest; each is written down, then takes `seconds`."""

    metric = ACCURACY

    def __init__(self, path: Path, seconds: float = 0.0):
        self.path = path
        self.seconds = seconds

    def identity(self) -> dict[str, Any]:
        return {}

    def about(self) -> str:
        return "a number"

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        digest = architecture.digest()
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()} {digest}\n")
        time.sleep(self.seconds)
        return Metrics(int(digest[:8], 16) / 2**32, 0.0)


def work(url: str, path: Path, trials: int, sampler: str = "tpe", seconds: float = 0.0, lease: float = 60.0) -> None:
    """One worker, to the end of the search."""
    goal = Goal(priced_space("mobilenetv2-32").within(BUDGET), seed=0, startup=STARTUP)
    study = OptunaStudy(make_sampler(sampler, goal), url, shared=True, lease=lease)
    found = search(study, Written(path, seconds), trials=trials, reporter=Reporter(quiet=True))
    if len(found) != trials:
        raise AssertionError(f"{len(found)} candidates instead of {trials}")
    study.close()


def started(count: int, *arguments: Any) -> list[Any]:
    """So many workers, each a process of its own."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    return processes


def faults(url: str, path: Path, trials: int) -> dict[str, int]:
    """What went wrong in a search that has ended: nothing should."""
    storage = open_storage(url)
    stored = optuna.load_study(study_name=FORMER, storage=storage).get_trials(deepcopy=False)
    close_storage(storage)
    complete = [trial for trial in stored if trial.state == TrialState.COMPLETE]
    digests = Counter(trial.user_attrs["digest"] for trial in complete)
    evaluated = Counter(line.split()[1] for line in path.read_text().splitlines())
    return {
        "missing": trials - len(complete),
        "double trials": sum(digests.values()) - len(digests),
        "evaluated twice": sum(evaluated.values()) - len(evaluated),
        "evaluated and lost": len(evaluated.keys() - digests.keys()),
        "over the budget": sum(
            BUDGET.excess(Cost(trial.user_attrs["macs"], trial.user_attrs["params"])) > 0 for trial in complete
        ),
        "double numbers": len(stored) - len({trial.number for trial in stored}),
        "left running": sum(trial.state == TrialState.RUNNING for trial in stored),
    }


def main() -> None:
    """Prints throughput and faults, for one worker and for several."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--storage", default="postgresql", choices=("postgresql", "sqlite", "journal"))
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--seconds", type=float, default=0.0, help="that an evaluation takes")
    arguments = parser.parse_args()
    rates = []
    for count in (1, arguments.workers):
        with tempfile.TemporaryDirectory() as name, _storage(arguments.storage, Path(name)) as url:
            path = Path(name) / "evaluated"
            start = time.monotonic()
            processes = started(count, url, path, arguments.trials, arguments.sampler, arguments.seconds)
            for process in processes:
                process.join()
            took = time.monotonic() - start
            rates.append(arguments.trials / took)
            wrong = {what: number for what, number in faults(url, path, arguments.trials).items() if number}
            print(
                f"{arguments.storage}, {count} workers: {arguments.trials} trials in {took:.0f} s, "
                f"{rates[-1]:.1f} a second; faults: {wrong or 'none'}",
                flush=True,
            )
    print(f"{arguments.workers} workers / 1: {rates[1] / rates[0]:.2f}")


@contextlib.contextmanager
def _storage(kind: str, folder: Path) -> Iterator[str]:
    if kind == "postgresql":
        (folder / "server").mkdir()
        folder.chmod(0o755)
        with postgres.server(folder / "server") as server:
            yield server.url
    else:
        yield f"sqlite:///{folder}/study.db" if kind == "sqlite" else f"journal:{folder}/study.log"


if __name__ == "__main__":
    main()
