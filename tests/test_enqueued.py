"""A trial enqueued by Optuna's own `study.enqueue_trial`: evaluated, or refused in a line; and replay holds."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from commands import search as command
from evaluators.base import Metrics
from evaluators.halving import Halving
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space import Architecture, Budget
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from studies.loop import search
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy
from studies.storage.parameter_names import name_in_study
from studies.storage.storages import open_storage
from studies.trials import Candidate

QUIET = Reporter(quiet=True)
URLS = ("sqlite:///{}/study.db", "journal:{}/study.log")


class Killed(BaseException):
    pass


class Telling(Reporter):
    """Keeps what it says."""

    metric = ACCURACY

    def __init__(self, said: list[str]):
        super().__init__()
        self.told = said

    def say(self, message: str) -> None:
        self.told.append(message)


class Fake:
    """Accuracy by the digest; may be killed, or fail."""

    metric = ACCURACY

    def __init__(self, kill_at: int | None = None, fails: str = ""):
        self.kill_at, self.fails = kill_at, fails
        self.evaluated: list[str] = []

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        if self.kill_at == len(self.evaluated):
            raise Killed
        self.evaluated.append(architecture.digest())
        if architecture.digest() == self.fails:
            raise ValueError("it is of no use")
        accuracy = random.Random(architecture.digest()).random()
        return Metrics(accuracy, 1 - accuracy)


class Staged(Fake):
    """In two rungs, in generations of six."""

    halving = Halving(generation=6, epochs=(1, 2), eta=2, bins=1)

    def rung(self, architecture: Architecture, rung: int) -> Measured:
        return self.evaluate(architecture)

    def drop(self, architecture: Architecture) -> None:
        pass


def _search(
    space: PricedSpace,
    url: str,
    trials: int,
    fake: Fake | None = None,
    *,
    budget: Budget | None = None,
    sampler: str = "nsga2",
    shared: bool = False,
    said: list[str] | None = None,
) -> list[Candidate]:
    goal = Goal(space.within(budget or Budget()), seed=3, startup=4)
    say = [].append if said is None else said.append
    study = OptunaStudy(make_sampler(sampler, goal), url, shared=shared, say=say)
    reporter = QUIET if said is None else Telling(said)
    try:
        return search(study, fake or Fake(), trials=trials, reporter=reporter)
    finally:
        study.close()


def _opened(url: str, name: str = "coordnas") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=open_storage(url))


def _own(url: str) -> list[Any]:
    """The search's own trials, without times and numbers."""
    trials = [trial for trial in _opened(url).get_trials() if "digest" in trial.user_attrs]
    return [(trial.state, trial.values, trial.params, trial.user_attrs) for trial in trials]


def _ended(url: str, name: str = "coordnas") -> list[FrozenTrial]:
    """The trials that a user queued."""
    return [trial for trial in _opened(url, name).get_trials() if "fixed_params" in trial.system_attrs]


def _params(space: PricedSpace, seed: int, budget: Budget | None = None) -> tuple[dict[str, Any], Architecture]:
    architecture = space.within(budget or Budget()).sample(random.Random(seed))
    return _in_study(space, architecture), architecture


def _in_study(space: PricedSpace, architecture: Architecture) -> dict[str, Any]:
    """Its decisions, as a study calls them."""
    return {name_in_study(name, 1): value for name, value in space.space.choices(architecture).items()}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("url", URLS)
def test_it_is_evaluated(tiny_space: PricedSpace, tmp_path: Path, url: str, shared: bool) -> None:
    url = url.format(tmp_path)
    first = _search(tiny_space, url, 5, shared=shared)
    params, architecture = _params(tiny_space, 1)
    assert architecture not in [one.architecture for one in first]
    _opened(url).enqueue_trial(params, user_attrs={"by": "me"})
    fake = Fake()
    candidates = _search(tiny_space, url, 8, fake, shared=shared)
    assert len(candidates) == 8
    assert fake.evaluated[0] == architecture.digest()  # the first of the new ones
    found = next(one for one in candidates if one.architecture == architecture)
    (trial,) = _ended(url)
    assert trial.state == TrialState.COMPLETE
    assert trial.values == [found.score, found.cost.macs]
    assert trial.params == params
    assert trial.user_attrs == {"by": "me", "evaluated_as": architecture.digest()}
    # It is not counted, nor evaluated, a second time.
    again = Fake()
    assert _search(tiny_space, url, 8, again, shared=shared) == candidates
    assert not again.evaluated


def test_one_that_was_evaluated_has_the_known_value(tiny_space: PricedSpace, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    first = _search(tiny_space, url, 5)
    params = _in_study(tiny_space, first[2].architecture)
    for _ in range(2):
        _opened(url).enqueue_trial(params)
    fake = Fake()
    _search(tiny_space, url, 6, fake)
    assert first[2].architecture.digest() not in fake.evaluated
    for trial in _ended(url):
        assert trial.state == TrialState.COMPLETE
        assert trial.values == [first[2].score, first[2].cost.macs]


def test_what_is_refused(tiny_space: PricedSpace, tmp_path: Path) -> None:
    """In a line each, with the reason in the trial, and without an evaluation."""
    url = f"sqlite:///{tmp_path}/study.db"
    budget = Budget(max_macs=int(tiny_space.cost(tiny_space.smallest).macs * 1.5))
    _search(tiny_space, url, 2, budget=budget)
    params, architecture = _params(tiny_space, 5, budget)
    largest = _in_study(tiny_space, tiny_space.largest)
    over = tiny_space.cost(tiny_space.largest)
    missing = {name: value for name, value in params.items() if name != "stage2.width"}
    failing, doomed = _params(tiny_space, 6, budget)
    given = [
        (missing, "stage2.width is missing: one of 8, 16"),
        ({**params, "stage1.width": 12}, "stage1.width is 12: expected one of 8, 16"),
        ({**params, "stage9.width": 8}, "stage9.width is nothing that is decided for this architecture; leave it out"),
        ({}, "resolution is missing: one of 16, 24"),
        (largest, f"{over.macs / 1000:.1f}k MACs: over the budget of {budget}"),
    ]
    study = _opened(url)
    for one, _ in given:
        study.enqueue_trial(one)
    study.enqueue_trial(failing)
    study.enqueue_trial(failing)
    said: list[str] = []
    fake = Fake(fails=doomed.digest())
    candidates = _search(tiny_space, url, 4, fake, budget=budget, said=said)
    assert len(candidates) == 4
    assert fake.evaluated.count(doomed.digest()) == 1
    ended = _ended(url)
    assert [trial.state for trial in ended] == [TrialState.FAIL] * 7
    reasons = [*(reason for _, reason in given), *2 * ["its evaluation has failed before"]]
    for trial, reason in zip(ended, reasons, strict=True):
        assert trial.user_attrs["refused"].startswith(reason[:20])
        assert f"enqueued trial {trial.number}: not evaluated: {trial.user_attrs['refused']}" in said
        assert trial.user_attrs["refused"] == reason
    assert all(budget.allows(one.cost) for one in candidates)
    assert architecture not in [one.architecture for one in candidates]


def test_one_after_the_last_candidate_is_told(tiny_space: PricedSpace, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    _search(tiny_space, url, 3)
    _opened(url).enqueue_trial(_params(tiny_space, 1)[0])
    said: list[str] = []
    assert len(_search(tiny_space, url, 3, said=said)) == 3
    assert said == ["enqueued trials that wait: 1; the same command with more `trials` goes on"]
    assert [trial.state for trial in _ended(url)] == [TrialState.WAITING]


SAMPLERS = ("nsga2", "tpe", "predictor", "regularized-evolution")


@pytest.fixture(scope="module", params=SAMPLERS)
def begun(
    request: pytest.FixtureRequest, tiny_space: PricedSpace, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, list[Any]]:
    """A sampler, a study that it began and in which trials were queued since, and how that ends if nothing kills it."""
    folder = tmp_path_factory.mktemp("begun")
    url = f"sqlite:///{folder}/study.db"
    _search(tiny_space, url, 6, sampler=request.param)
    for seed in (1, 2):
        _opened(url).enqueue_trial(_params(tiny_space, seed)[0])
    _copy(folder / "study.db", folder / "whole.db")
    return request.param, folder / "study.db", _end(tiny_space, f"sqlite:///{folder}/whole.db", request.param)


def _copy(path: Path, to: Path) -> None:
    """With what is in the database's log still."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as copy:
        source.backup(copy)


def _end(space: PricedSpace, url: str, sampler: str) -> list[Any]:
    """What a search comes to that goes on there."""
    candidates = _search(space, url, 20, sampler=sampler)
    return [candidates, _own(url), [(trial.state, trial.values, trial.params) for trial in _ended(url)]]


@pytest.mark.parametrize("kill_at", [0, 1, 2, 9])
def test_a_killed_search_ends_alike(
    tiny_space: PricedSpace, tmp_path: Path, begun: tuple[str, Path, list[Any]], kill_at: int
) -> None:
    sampler, path, whole = begun
    _copy(path, tmp_path / "study.db")
    url = f"sqlite:///{tmp_path}/study.db"
    with pytest.raises(Killed):
        _search(tiny_space, url, 20, Fake(kill_at), sampler=sampler)
    assert _end(tiny_space, url, sampler) == whole
    assert [state for state, _, _ in whole[2]] == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("late", [False, True])
def test_in_a_generation(tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Killed while a generation is being stored, it goes on; so it does where another trial was queued since."""
    url = f"sqlite:///{tmp_path}/study.db"
    _search(tiny_space, url, 6, Staged())
    params, architecture = _params(tiny_space, 1)
    _opened(url).enqueue_trial(params)
    with monkeypatch.context() as patched:
        stored = iter(range(3))
        accept = OptunaStudy.accept

        def some(self: OptunaStudy, *arguments: Any) -> None:
            if next(stored, None) is None:
                raise Killed
            accept(self, *arguments)

        patched.setattr(OptunaStudy, "accept", some)
        with pytest.raises(Killed):
            _search(tiny_space, url, 12, Staged())
    others, further = _params(tiny_space, 2)
    if late:
        _opened(url).enqueue_trial(others)
    candidates = _search(tiny_space, url, 18, Staged())
    assert len(candidates) == len({one.architecture for one in candidates}) == 18
    assert candidates[6].architecture == architecture
    assert [trial.state for trial in _ended(url)] == [TrialState.COMPLETE] * (1 + late)
    assert (further in [one.architecture for one in candidates]) == late


def test_by_the_command(
    picture_folder: Path, narrow_space_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the run's own study.db, while nobody searches; the report of the run is of its own candidates."""
    monkeypatch.chdir(narrow_space_file.parent)
    given = ["--space", str(narrow_space_file), "--data", f"folder:{picture_folder}", "--out", "run", "--startup", "2"]
    given += ["--evaluator", "zero-cost", "--score", "params"]
    command.main([*given, "--trials", "2"])
    study = _opened("sqlite:///run/study.db", "run")
    known = [trial.params for trial in study.trials]
    space = priced_space(str(narrow_space_file))
    options = (_in_study(space, one) for one in space.space.enumerate())
    wanted = next(params for params in options if params not in known)
    capsys.readouterr()
    study.enqueue_trial(wanted)
    study.enqueue_trial({"depth": 2})
    command.main([*given, "--trials", "4"])
    assert "enqueued trial 3: not evaluated: stage1.depth is missing: one of 1, 2" in capsys.readouterr().out
    complete, failed = _ended("sqlite:///run/study.db", "run")
    assert (complete.state, failed.state) == (TrialState.COMPLETE, TrialState.FAIL)
    assert complete.params == wanted
    assert json.loads(Path("run/front.json").read_text())["evaluated"] == 4
    assert len([trial for trial in study.trials if "digest" in trial.user_attrs]) == 4
