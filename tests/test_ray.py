"""Candidates evaluated by Ray actors on this machine: failures, and actors that die."""

import fcntl
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluators.base import Evaluator, Metrics
from evaluators.choice import EVALUATORS
from evaluators.elsewhere import Elsewhere
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space import Architecture, InputError
from search_space.cost.priced_space import PricedSpace
from studies.engines import ray_actors
from studies.engines.ray_actors import RayActors
from studies.loop import search
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy

ROOT = Path(__file__).parent.parent

# Ray's own, at its import and in its processes
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
pytestmark.append(pytest.mark.filterwarnings("ignore::ResourceWarning"))


class Deadly:
    """Writes down what it evaluates; raises at its third candidate, and dies once, at the fifth of all."""

    metric = ACCURACY

    def __init__(self, folder: Path):
        self.folder = folder

    def identity(self) -> dict[str, Any]:
        return {}

    def about(self) -> str:
        return "deadly"

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        with open(self.folder / "evaluated", "a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # actors evaluate at the same time
            file.write(f"{os.getpid()} {architecture.digest()}\n")
            file.flush()
            file.seek(0)
            count = len(file.readlines())
            if count == 5:
                (self.folder / "died").write_text(architecture.digest())
                os._exit(1)
        if count == 3:
            raise ValueError("the third")
        return Metrics(int(architecture.digest()[:8], 16) / 2**32, 0.0)


class Make:
    """Makes the evaluator in an actor."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self) -> Evaluator:
        return Deadly(self.folder)


@pytest.fixture
def actors(tmp_path: Path) -> Iterator[RayActors]:
    pytest.importorskip("ray")
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(__import__(__name__))  # the actors do not see the tests
    found = RayActors(Make(tmp_path), 2)
    yield found
    found.close()


def test_each_candidate_once_although_an_actor_dies(tiny_space: PricedSpace, tmp_path: Path, actors: RayActors) -> None:
    study = OptunaStudy(make_sampler("random", Goal(tiny_space, seed=0, startup=4)), f"sqlite:///{tmp_path}/study.db")
    candidates = search(study, Deadly(tmp_path), trials=12, reporter=Reporter(quiet=True), evaluation=actors)
    study.close()
    assert len(candidates) == 12
    lines = [line.split() for line in (tmp_path / "evaluated").read_text().splitlines()]
    assert len({process for process, _ in lines}) == 3  # two actors, and one in place of the dead
    died = (tmp_path / "died").read_text()
    counts = [digest for _, digest in lines]
    assert counts.count(died) == 2  # begun, and then evaluated
    assert all(counts.count(digest) == 1 for digest in counts if digest != died)
    assert len(set(counts)) == 13  # and one that failed
    assert {candidate.architecture.digest() for candidate in candidates} < set(counts)
    assert all(c.measured == Metrics(int(c.architecture.digest()[:8], 16) / 2**32, 0.0) for c in candidates)


def test_where_there_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(ray_actors, "ROOM_SECONDS", 3.0)
    import ray

    ray.init(address="local", num_cpus=2, num_gpus=0, log_to_driver=False, include_dashboard=False)
    try:
        with pytest.raises(InputError, match=r"^`engine` ray: no room within 3 s for an actor of 1 cpus, 1 gpus"):
            RayActors(Make(tmp_path), 2, resources={"num_gpus": 1})
    finally:
        ray.shutdown()


class Crowded:
    """A Ray with room for two actors."""

    def __init__(self) -> None:
        self.killed = 0

    def is_initialized(self) -> bool:
        return True

    def remote(self, **needs: float) -> Any:
        actor = SimpleNamespace(ready=SimpleNamespace(remote=object))
        return lambda actors: SimpleNamespace(remote=lambda make: actor)

    def wait(self, references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        return references[:2], references[2:]

    def kill(self, actor: Any) -> None:
        self.killed += 1


def test_where_there_is_room_for_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crowded = Crowded()
    monkeypatch.setitem(__import__("sys").modules, "ray", crowded)
    said: list[str] = []
    found = RayActors(Make(tmp_path), 3, say=said.append)
    assert said == ["2 of 3 Ray actors: there is no room for more of 1 cpus each"]
    assert found.room == 2
    assert crowded.killed == 1  # else it would take a place that comes free, and nobody would give it work


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(InputError, match=r"`engine` ray: needs ray; pip install 'coordnas\[ray\]'"):
        RayActors(Make(tmp_path), 1)


def test_another_process_knows_the_evaluators_of_the_package() -> None:
    """An actor has of this program what the value it is sent imports, and no command."""
    make = Elsewhere("zero-cost", {}, "digits", 32, {}, "cpu", 1)
    program = (
        "import pickle, sys; make = pickle.load(sys.stdin.buffer); "
        "print(*sys.modules[type(make).__module__].EVALUATORS.names())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(make), cwd=ROOT, capture_output=True, timeout=120
    )
    assert done.stdout.decode().split() == list(EVALUATORS.names()), done.stderr
