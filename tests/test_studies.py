"""The search loop on an evaluator that takes no time: budget, repeats, replay, the front."""

import itertools
import os
import random
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest
import torch
from optuna.trial import TrialState

from evaluators.base import Metrics, Score
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from reports.record import _told as told_of
from search_space import Architecture, Budget, Cost, InputError
from search_space.cost.priced_space import PricedSpace
from studies.front import pareto_front, promising, rescore
from studies.loop import search
from studies.runs import run_folder
from studies.samplers import Goal, Proposal, Sampler, Told, make_sampler, register
from studies.storage.optuna_study import OptunaStudy
from studies.storage.parameter_names import name_in_study
from studies.storage.records import is_ours, occupies
from studies.storage.storages import open_storage
from studies.trials import Candidate
from training.data.dataset import PREPARED
from training.data.datasets import load_data

QUIET = Reporter(quiet=True)


class Killed(BaseException):
    pass


class Analytic:
    """Accuracy from the architecture alone: costlier is better, with a liking for coordinate attention."""

    metric = ACCURACY

    def __init__(self, space: PricedSpace, kill_at: int | None = None):
        self.space = space
        self.kill_at = kill_at
        self.evaluated: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {}

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        if self.kill_at == len(self.evaluated):
            raise Killed
        self.evaluated.append(architecture.digest())
        macs = self.space.cost(architecture).macs
        liked = sum(stage.attention[0].kind == "ca" for stage in architecture.stages)
        noise = random.Random(architecture.digest()).random()
        accuracy = 1 - 1 / (1 + macs / 50_000) + 0.05 * liked + 0.05 * noise
        return Metrics(min(1.0, accuracy + (0.001 if thorough else 0)), 1 - accuracy)


@register("anywhere")
class Anywhere(Sampler):
    """A sampler of one's own: uniform over the whole space, whatever the budget."""

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        return Proposal(self.goal.priced.unbounded.sample(self.rng(turn)))


SAMPLERS = ("tpe", "nsga2", "random", "predictor", "regularized-evolution", "anywhere")
MAX_REJECTED = Sampler.asks


def _budget(space: PricedSpace, factor: float = 1.5) -> Budget:
    return Budget(max_macs=int(space.cost(space.smallest).macs * factor))


def _search(
    space: PricedSpace,
    folder: Path,
    trials: int = 30,
    *,
    evaluator: Analytic | None = None,
    sampler: str = "tpe",
    budget: Budget | None = None,
) -> list[Candidate]:
    budget = budget or _budget(space)
    study = _study(Goal(space.within(budget), seed=3, startup=8), folder, sampler)
    return search(study, evaluator or Analytic(space), trials=trials, reporter=QUIET)


def _study(goal: Goal, folder: Path, sampler: str = "tpe") -> OptunaStudy:
    """In a database for `tpe`; for the others in a journal, which takes a tenth of the time."""
    return OptunaStudy(make_sampler(sampler, goal), _url(folder, sampler))


def _url(folder: Path, sampler: str) -> str:
    return f"sqlite:///{folder}/study.db" if sampler == "tpe" else f"journal:{folder}/study.log"


def _trials(folder: Path, sampler: str = "tpe") -> list[Any]:
    study = optuna.load_study(study_name="coordnas", storage=open_storage(_url(folder, sampler)))
    return [
        (trial.state, trial.values, dict(sorted(trial.params.items())), trial.user_attrs, trial.constraints)
        for trial in study.get_trials()
    ]


class Whole(NamedTuple):
    """A search that was never killed: its candidates, the digests in the order evaluated, and the study's trials."""

    candidates: list[Candidate]
    evaluated: list[str]
    trials: list[Any]


@pytest.fixture(scope="module")
def uninterrupted(tiny_space: PricedSpace, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Whole]:
    """A sampler's search of 24 trials."""

    @cache
    def searched(sampler: str) -> Whole:
        folder, evaluator = tmp_path_factory.mktemp(sampler), Analytic(tiny_space)
        candidates = _search(tiny_space, folder, 24, evaluator=evaluator, sampler=sampler)
        return Whole(candidates, evaluator.evaluated, _trials(folder, sampler))

    return searched


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_nothing_over_budget_and_nothing_twice(
    tiny_space: PricedSpace, uninterrupted: Callable[[str], Whole], sampler: str
) -> None:
    whole = uninterrupted(sampler)
    budget = _budget(tiny_space)
    assert len(whole.candidates) == 24
    assert len(set(whole.evaluated)) == len(whole.evaluated) == 24
    assert all(budget.allows(candidate.cost) for candidate in whole.candidates)
    assert [candidate.architecture.digest() for candidate in whole.candidates] == whole.evaluated


def test_each_trial_carries_its_record(tiny_space: PricedSpace, tmp_path: Path) -> None:
    candidates = _search(tiny_space, tmp_path)
    study = optuna.load_study(study_name="coordnas", storage=f"sqlite:///{tmp_path}/study.db")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "MACs"]
    rejected = 0
    for trial, candidate in zip(study.get_trials(), candidates, strict=True):
        assert trial.state == optuna.trial.TrialState.COMPLETE
        assert Architecture.from_json(trial.user_attrs["architecture"]) == candidate.architecture
        assert trial.user_attrs["digest"] == candidate.architecture.digest()
        assert trial.values == [candidate.score, candidate.cost.macs]
        assert trial.user_attrs["params"] == candidate.cost.params
        chosen = tiny_space.space.choices(candidate.architecture)
        assert trial.params == {name_in_study(name, 1): value for name, value in chosen.items()}
        assert trial.constraints["budget"] <= 0
        for reason, decided in trial.user_attrs.get("rejected", ()):
            following = iter(decided)
            architecture = tiny_space.space.assemble(lambda name, options, following=following: next(following))
            over = _budget(tiny_space).excess(tiny_space.cost(architecture)) > 0
            assert reason == ("over budget" if over else "evaluated before")
            rejected += 1
    assert rejected > 0


# The draws at the start are of no sampler: killed among them, two stand for all.
@pytest.mark.parametrize(
    ("kill_at", "sampler"),
    [(0, "tpe"), (7, "tpe"), (7, "predictor"), *itertools.product((8, 19), SAMPLERS)],
)
def test_a_killed_search_ends_alike(
    tiny_space: PricedSpace, uninterrupted: Callable[[str], Whole], tmp_path: Path, kill_at: int, sampler: str
) -> None:
    with pytest.raises(Killed):
        _search(tiny_space, tmp_path, 24, sampler=sampler, evaluator=Analytic(tiny_space, kill_at))
    evaluator = Analytic(tiny_space)
    _search(tiny_space, tmp_path, 24, sampler=sampler, evaluator=evaluator)
    assert len(evaluator.evaluated) == 24 - kill_at
    assert _trials(tmp_path, sampler) == uninterrupted(sampler).trials


@pytest.fixture(scope="module")
def rejecting(tiny_space: PricedSpace, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The trials of a search whose budget is so tight that hardly any of the sampler's proposals is within it."""
    folder = tmp_path_factory.mktemp("rejecting")
    _search(tiny_space, folder, 10, sampler="anywhere", budget=_budget(tiny_space, 1.04))
    return _trials(folder, "anywhere")


@pytest.mark.parametrize("rejections", [7, MAX_REJECTED, MAX_REJECTED + 9])
def test_a_search_killed_between_rejections_ends_alike(
    tiny_space: PricedSpace, rejecting: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rejections: int
) -> None:
    (tmp_path / "killed").mkdir()
    budget = _budget(tiny_space, 1.04)
    rejected = [len(attributes.get("rejected", ())) for _, _, _, attributes, _ in rejecting]
    assert rejected == [0] * 8 + [MAX_REJECTED] * 2
    left = iter(range(rejections))
    reject = OptunaStudy.reject

    def killed(*arguments: Any) -> None:
        if next(left, None) is None:
            raise Killed
        reject(*arguments)

    monkeypatch.setattr(OptunaStudy, "reject", killed)
    with pytest.raises(Killed):
        _search(tiny_space, tmp_path / "killed", 10, sampler="anywhere", budget=budget)
    monkeypatch.undo()
    assert len(_trials(tmp_path / "killed", "anywhere")) == 8 + (rejections >= MAX_REJECTED)
    _search(tiny_space, tmp_path / "killed", 10, sampler="anywhere", budget=budget)
    assert _trials(tmp_path / "killed", "anywhere") == rejecting


def test_a_trial_told_by_hand_is_ignored(tiny_space: PricedSpace, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "touched").mkdir()
    candidates = _search(tiny_space, tmp_path / "whole", 16)
    _search(tiny_space, tmp_path / "touched", 10)
    stored = optuna.load_study(study_name="coordnas", storage=f"sqlite:///{tmp_path}/touched/study.db")
    by_hand = stored.tell(stored.ask(), [0.999, 1.0])
    assert by_hand.state == optuna.trial.TrialState.COMPLETE
    assert _search(tiny_space, tmp_path / "touched", 16) == candidates
    trials = _trials(tmp_path / "touched")
    del trials[by_hand.number]
    assert trials == _trials(tmp_path / "whole")


@pytest.mark.parametrize("content", [b"garbage " * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_corrupt_study_is_refused_by_name(tiny_space: PricedSpace, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^sqlite:///{path}: not this run's study") as refused:
        _study(Goal(tiny_space, seed=3, startup=8), tmp_path)
    assert len(str(refused.value).splitlines()) == 1
    assert path.read_bytes() == content


def test_more_trials_go_on_where_fewer_ended(
    tiny_space: PricedSpace, uninterrupted: Callable[[str], Whole], tmp_path: Path
) -> None:
    _search(tiny_space, tmp_path, 11)
    _search(tiny_space, tmp_path, 24)
    assert _trials(tmp_path) == uninterrupted("tpe").trials


def test_an_exhausted_space_ends_the_search(
    tiny_space: PricedSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = Budget(max_macs=int(tiny_space.cost(tiny_space.smallest).macs * 1.05))
    count = tiny_space.within(budget).count()[1]
    assert 3 < count < 200
    study = _study(Goal(tiny_space.within(budget), seed=3, startup=500), tmp_path)
    candidates = search(study, Analytic(tiny_space), trials=500, reporter=Reporter())
    assert len(candidates) == count
    assert f"all {count} architectures within the budget have been evaluated" in capsys.readouterr().out


def test_the_sampler_learns(tiny_space: PricedSpace, tmp_path: Path) -> None:
    candidates = _search(tiny_space, tmp_path, 60)
    share = [
        sum(stage.attention[0].kind == "ca" for c in part for stage in c.architecture.stages) / (2 * len(part))
        for part in (candidates[:8], candidates[-20:])
    ]
    assert share[1] > share[0] + 0.1


def _candidate(accuracy: float, macs: int, params: int = 1) -> Candidate:
    from search_space.backbones import mobilenetv2

    return Candidate(mobilenetv2(), Cost(macs, params), Metrics(accuracy, 0.0))


def test_pareto_front() -> None:
    good, cheap, dominated = _candidate(0.9, 10), _candidate(0.5, 5), _candidate(0.5, 6)
    equal = _candidate(0.9, 10, params=2)
    assert pareto_front([dominated, equal, good, cheap]) == [cheap, good]
    assert pareto_front([]) == []
    fewer, smaller = _candidate(0.9, 10, 20), _candidate(0.9, 12, 15)
    assert pareto_front([fewer, smaller], ("params",)) == [smaller]
    assert pareto_front([fewer, smaller], ("macs", "params")) == [fewer, smaller]


def test_promising_holds_the_most_accurate_and_the_fronts() -> None:
    many = [_candidate(random.Random(i).random(), i) for i in range(100)]
    chosen = promising(many, 20)
    assert 20 <= len(chosen) < 40
    assert len({id(c) for c in chosen}) == len(chosen)
    assert set(map(id, pareto_front(many))) <= set(map(id, chosen))
    assert set(map(id, sorted(many, key=lambda c: c.merit)[:10])) <= set(map(id, chosen))


def test_a_front_of_thousands_is_read_again(tiny_space: PricedSpace, tmp_path: Path) -> None:
    """As one ranked by its own cost, where every candidate is on the front."""
    table, data = tiny_space.table, load_data("digits", 32, torch.device("cpu"))
    places = [count % table.total for count in range(0, 7 * 2500, 7)]
    front = [Candidate(table.at(place), Cost(i, 1), Metrics(i / 2500, 1.0)) for i, place in enumerate(places)]
    run_folder.write_results(tmp_path, front, len(front), Budget(), data)
    assert (tmp_path / "front.json").stat().st_size > 1_000_000
    assert run_folder.finished_front(tmp_path, front, ACCURACY, Budget(), data, QUIET) == front


def test_ties_go_to_the_cheaper() -> None:
    tied = [_candidate(0.9, 10, 3), _candidate(0.9, 10, 2), _candidate(0.9, 11, 1)]
    assert min(tied, key=lambda c: c.merit).cost == Cost(10, 2)


def test_rescoring_is_thorough(tiny_space: PricedSpace, tmp_path: Path) -> None:
    candidates = _search(tiny_space, tmp_path, 12)
    again = rescore(candidates, Analytic(tiny_space), 6, QUIET)
    quick = {c.architecture: c.score for c in candidates}
    assert 6 <= len(again) <= 12
    assert all(c.score == pytest.approx(quick[c.architecture] + 0.001) for c in again)


class Failing(Analytic):
    """Its first network fails as told, and thoroughly every one that is named."""

    def __init__(self, space: PricedSpace, wrong: Any, failing: Sequence[Architecture] = ()):
        super().__init__(space)
        self.wrong = wrong
        self.failing = failing

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Any:
        metrics = super().evaluate(architecture, thorough=thorough)
        if thorough and architecture in self.failing:
            raise ValueError("not this one")
        return self.wrong if len(self.evaluated) == 1 else metrics


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Metrics(float("nan"), 1.0), "accuracy: expected a finite number, got nan"),
        (Metrics(0.5, float("inf")), "loss: expected a finite number, got inf"),
        (Score("blocks", float("nan")), "blocks: expected a finite number, got nan"),
        (Metrics("0.5", 1.0), "accuracy: expected a finite number, got '0.5'"),
    ],
)
def test_what_is_no_finite_number_is_a_failed_trial(
    tiny_space: PricedSpace, tmp_path: Path, wrong: Any, reason: str
) -> None:
    evaluator = Failing(tiny_space, wrong)
    candidates = _search(tiny_space, tmp_path, 10, evaluator=evaluator)
    assert [one.architecture.digest() for one in candidates] == evaluator.evaluated[1:]
    assert [trial[3]["failed"] for trial in _trials(tmp_path) if "failed" in trial[3]] == [reason]


def test_integers_are_taken_as_floats(tiny_space: PricedSpace, tmp_path: Path) -> None:
    evaluator = Failing(tiny_space, Metrics(1, 0))
    first = _search(tiny_space, tmp_path, 10, evaluator=evaluator)[0]
    assert [type(value) for value in first.measured.numbers().values()] == [float, float]
    assert _search(tiny_space, tmp_path, 10, evaluator=evaluator)[0].measured == first.measured


def test_a_failing_thorough_score_is_left_out(tiny_space: PricedSpace, tmp_path: Path) -> None:
    candidates = _search(tiny_space, tmp_path, 12)
    best = promising(candidates, 6)
    failing = Failing(tiny_space, None, [best[1].architecture])
    failing.evaluated.append("")
    again = rescore(candidates, failing, 6, QUIET)
    assert {one.architecture for one in again} == {one.architecture for one in best} - {best[1].architecture}
    failing = Failing(tiny_space, None, [one.architecture for one in best])
    with pytest.raises(InputError, match=r"of all \d+ best candidates failed: ValueError: not this one"):
        rescore(candidates, failing, 6, QUIET)


def test_a_withdrawn_trial_is_no_failure(tiny_space: PricedSpace) -> None:
    """Its worker was killed between noting the failure and ending the trial: another evaluates it again."""
    attributes: dict[str, Any] = {"digest": "d", "failed": "its reason"}
    failed = optuna.trial.create_trial(state=TrialState.FAIL, user_attrs=attributes)
    assert is_ours(failed)
    assert occupies(failed)
    lost = optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={**attributes, "withdrawn": "it was lost"})
    assert not is_ours(lost)
    assert not occupies(lost)
    assert told_of([failed, lost], ACCURACY) == ((), {}, 1)


class TestRunFolder:
    """Configuration, lock."""

    def test_another_configuration_is_refused_by_name(self, tmp_path: Path) -> None:
        identity = {"seed": 1, "recipe": {"epochs": 2}, "sizes": (1, 2)}
        with run_folder.opened(tmp_path / "run", identity, {"trials": 5, "threads": 2}):
            pass
        before = (tmp_path / "run" / "config.json").read_bytes()
        other = {"seed": 1, "recipe": {"epochs": 3}, "sizes": (1, 2)}
        with (
            pytest.raises(InputError, match=r"holds another run: recipe.epochs is 2 there and 3 here"),
            run_folder.opened(tmp_path / "run", other, {}),
        ):
            pass
        assert (tmp_path / "run" / "config.json").read_bytes() == before
        with run_folder.opened(tmp_path / "run", identity, {"trials": 9, "threads": 1}) as free:
            assert free == {"trials": 9, "threads": 2}

    def test_a_run_begun_before_pictures_were_prepared_so_is_told_why(self, tmp_path: Path) -> None:
        with run_folder.opened(tmp_path / "run", {"data": "folder 0123"}, {}):
            pass
        message = r"holds another run: data: begun when pictures were decoded and scaled otherwise .*; use"
        with (
            pytest.raises(InputError, match=message),
            run_folder.opened(tmp_path / "run", {"data": f"folder 0123 {PREPARED}"}, {}),
        ):
            pass

    def test_two_runs_in_one_folder(self, tmp_path: Path) -> None:
        with (
            run_folder.opened(tmp_path, {}, {}),
            pytest.raises(InputError, match="in use by process"),
            run_folder.opened(tmp_path, {}, {}),
        ):
            pass

    def test_a_nearly_full_disk_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=run_folder.MIN_FREE_BYTES))
        with run_folder.opened(tmp_path / "enough", {}, {}):
            pass
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=run_folder.MIN_FREE_BYTES - 1))
        with (
            pytest.raises(InputError, match=r"`out` .*/little: 63 MiB free on its disk, at least 64 are needed"),
            run_folder.opened(tmp_path / "little", {}, {}),
        ):
            pass
        assert not (tmp_path / "little" / "config.json").exists()

    def test_unusable_folders(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="is a file"), run_folder.opened(tmp_path / "file", {}, {}):
            pass
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.json").write_text("[]")
        with pytest.raises(InputError, match="not a run's configuration"), run_folder.opened(tmp_path / "run", {}, {}):
            pass
        latin = tmp_path / os.fsdecode(b"caf\xe9")
        with pytest.raises(InputError, match="the name is not UTF-8"), run_folder.opened(latin, {}, {}):
            pass
        assert not latin.exists()


def test_unknown_sampler(tiny_space: PricedSpace) -> None:
    with pytest.raises(InputError, match=r"`sampler` magic: unknown; known: .*tpe, .*, or FILE\.py:NAME"):
        make_sampler("magic", Goal(tiny_space, seed=0, startup=1))


def test_nsga2_breeds_from_what_was_drawn_at_the_start(tiny_space: PricedSpace) -> None:
    key = "NSGAIISampler:generation"
    evaluator, budget = Analytic(tiny_space), _budget(tiny_space, 2.5)
    goal = Goal(tiny_space.within(budget), seed=0, startup=20)
    sampler = make_sampler("nsga2", goal)
    rng = random.Random(0)
    generations, scores, history = [], [], []
    for turn in range(160):
        own = turn >= 20 and turn % 10 > 0  # of the others, some are drawn from the budget
        proposal = sampler.propose(turn, []) if own else Proposal(tiny_space.within(budget).sample(rng))
        while proposal.architecture.digest() in evaluator.evaluated:
            own, proposal = False, Proposal(tiny_space.within(budget).sample(rng))
        if own and turn % 20 < 3:  # one that is told the same after a kill proposes the same
            again = make_sampler("nsga2", goal)
            for told in history:
                again.tell(told)
            assert again.propose(turn, []) == proposal
        scores.append(evaluator.evaluate(proposal.architecture).value)
        told = Told(proposal, tiny_space.cost(proposal.architecture), scores[-1], -0.1)
        sampler.tell(told)
        history.append(told)
        if own:
            generations.append(proposal.memo[key])
    assert generations[0] == 1  # generation 0 are the draws
    assert generations == sorted(generations)
    assert generations[-1] == 159 // 20
    assert set(sampler._members.values()) == {20}  # type: ignore[attr-defined]
    assert sum(scores[-40:]) / 40 > sum(scores[:20]) / 20 + 0.02


def test_nothing_is_begun_when_time_is_over(tiny_space: PricedSpace, tmp_path: Path) -> None:
    evaluator = Analytic(tiny_space)
    goal = Goal(tiny_space, seed=0, startup=4)

    def started(is_over: Callable[[], bool]) -> list[Candidate]:
        study = OptunaStudy(make_sampler("random", goal), f"sqlite:///{tmp_path}/study.db")
        try:
            return search(study, evaluator, trials=12, reporter=Reporter(quiet=True), is_over=is_over)
        finally:
            study.close()

    first = started(lambda: len(evaluator.evaluated) >= 5)
    assert len(first) == 5
    assert started(lambda: True) == first
    assert len(evaluator.evaluated) == 5
    whole = started(lambda: False)
    assert whole[:5] == first
    assert len(whole) == len(set(evaluator.evaluated)) == 12
