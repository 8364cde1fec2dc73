"""Proxy trainings: who is promoted, what is trained once, and that a killed search ends alike."""

import math
import random
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import Tensor, nn

from commands.values import share, wholes
from evaluators.base import Metrics, StagedEvaluator
from evaluators.halving import Halving
from evaluators.proxy import evaluator as proxy
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.proxy.settings import ProxySettings
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space import Architecture, Budget, Cost, InputError
from search_space.cost.priced_space import PricedSpace
from studies.halving import cost_bins, halve
from studies.loop import search
from studies.samplers import Goal, make_sampler, predicted
from studies.samplers.base import SEEN, Proposal
from studies.storage.optuna_study import OptunaStudy
from studies.trials import Candidate
from training.data.datasets import Dataset, load_data
from training.methods.base import FunctionMethod
from training.recipe import Recipe

QUIET = Reporter(quiet=True)


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 24, torch.device("cpu"))


class Fake:
    """Accuracy from the architecture and the rung; what was trained is remembered over a kill, as files are."""

    metric = ACCURACY

    def __init__(self, halving: Halving, known: dict[tuple[str, int], Measured], kill_at: int | None = None):
        self.halving = halving
        self.known = known
        self.kill_at = kill_at
        self.dropped: list[str] = []

    def identity(self) -> dict[str, Any]:
        return {}

    def about(self) -> str:
        return ""

    def prepare(self) -> None:
        pass

    def rung(self, architecture: Architecture, rung: int) -> Measured:
        key = (architecture.digest(), rung)
        if key not in self.known:
            if len(self.known) == self.kill_at:
                raise Killed
            assert rung == 0 or (architecture.digest(), rung - 1) in self.known
            assert architecture.digest() not in self.dropped
            accuracy = 0.1 * rung + 0.8 * random.Random(architecture.digest()).random()
            self.known[key] = Metrics(accuracy, 1 - accuracy)
        return self.known[key]

    def drop(self, architecture: Architecture) -> None:
        self.dropped.append(architecture.digest())

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        return self.rung(architecture, 0)


def _entrants(space: PricedSpace, count: int) -> list[tuple[Architecture, Cost]]:
    rng = random.Random(1)
    found = {}
    while len(found) < count:
        architecture = space.sample(rng)
        found[architecture.digest()] = (architecture, space.cost(architecture))
    return list(found.values())


def test_the_best_of_each_bin_go_on(tiny_space: PricedSpace) -> None:
    entrants = _entrants(tiny_space, 18)
    fake = Fake(Halving(generation=18, epochs=(1, 2, 4), eta=3, bins=2), {})
    assert isinstance(fake, StagedEvaluator)
    candidates = halve(entrants, fake, QUIET)
    assert [(c.architecture, c.cost) for c in candidates] == entrants
    by_cost = sorted(candidates, key=lambda c: (c.cost.macs, c.cost.params, c.architecture.digest()))
    for members in (by_cost[:9], by_cost[9:]):
        best = sorted(members, key=lambda c: -fake.known[c.architecture.digest(), 0].value)
        assert [len(c.rungs) for c in best] == [3, 2, 2, 1, 1, 1, 1, 1, 1]
    for candidate in candidates:
        assert candidate.measured == fake.known[candidate.architecture.digest(), len(candidate.rungs) - 1]
        assert candidate.rungs[-1] == candidate.score
    assert len(fake.known) == 18 + 6 + 2
    assert sorted(fake.dropped) == sorted(architecture.digest() for architecture, _ in entrants)


def test_bins_are_of_equal_size(tiny_space: PricedSpace) -> None:
    entrants = _entrants(tiny_space, 10)
    bins = cost_bins(entrants, 3)
    assert [len(members) for members in bins] == [3, 3, 4]
    macs = [cost.macs for members in bins for _, cost in members]
    assert macs == sorted(macs)
    assert [len(members) for members in cost_bins(entrants[:2], 3)] == [1, 1]


HALVING = Halving(generation=6, epochs=(1, 2), eta=2, bins=1)


def _search(
    space: PricedSpace,
    folder: Path,
    fake: Fake,
    trials: int = 12,
    budget: Budget | None = None,
    sampler: str = "tpe",
    startup: int = 6,
) -> list[Candidate]:
    folder.mkdir(exist_ok=True)
    budget = budget or Budget(max_macs=int(space.cost(space.smallest).macs * 1.5))
    return search(_study(Goal(space.within(budget), 3, startup), folder, sampler), fake, trials=trials, reporter=QUIET)


def _study(goal: Goal, folder: Path, sampler: str) -> OptunaStudy:
    return OptunaStudy(make_sampler(sampler, goal), f"sqlite:///{folder}/study.db")


def _trials(folder: Path) -> list[Any]:
    study = optuna.load_study(study_name="coordnas", storage=f"sqlite:///{folder}/study.db")
    return [
        (trial.state, trial.values, dict(sorted(trial.params.items())), trial.user_attrs, trial.constraints)
        for trial in study.get_trials()
    ]


@pytest.fixture(scope="module")
def whole(tiny_space: PricedSpace, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Candidate]]:
    folder = tmp_path_factory.mktemp("whole")
    candidates = _search(tiny_space, folder, Fake(HALVING, {}))
    return _trials(folder), candidates


def test_a_trial_is_told_once(whole: tuple[list[Any], list[Candidate]]) -> None:
    trials, candidates = whole
    complete = [trial for trial in trials if trial[0] == optuna.trial.TrialState.COMPLETE]
    assert len(complete) == len(candidates) == 12
    assert len({candidate.architecture for candidate in candidates}) == 12
    assert sorted(len(candidate.rungs) for candidate in candidates) == [1] * 6 + [2] * 6
    for (_, values, _, attributes, _), candidate in zip(complete, candidates, strict=True):
        assert values == [candidate.score, candidate.cost.macs]
        assert tuple(attributes["rungs"]) == candidate.rungs
    # The sampler was asked: something that it proposed was rejected.
    assert any("rejected" in attributes for _, _, _, attributes, _ in trials)


@pytest.mark.parametrize("kill_at", [3, 17])
def test_a_search_killed_in_a_rung_ends_alike(
    tiny_space: PricedSpace, tmp_path: Path, whole: tuple[list[Any], list[Candidate]], kill_at: int
) -> None:
    known: dict[tuple[str, int], Measured] = {}
    with pytest.raises(Killed):
        _search(tiny_space, tmp_path, Fake(HALVING, known, kill_at))
    assert len(known) == kill_at
    assert _search(tiny_space, tmp_path, Fake(HALVING, known)) == whole[1]
    assert len(known) == 18
    assert _trials(tmp_path) == whole[0]


@pytest.mark.parametrize("writes", [6, 9])
def test_a_search_killed_while_it_tells_ends_alike(
    tiny_space: PricedSpace,
    tmp_path: Path,
    whole: tuple[list[Any], list[Candidate]],
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    left = iter(range(writes))
    write = OptunaStudy._written

    def killed(*arguments: Any) -> int:
        if next(left, None) is None:
            raise Killed
        return write(*arguments)

    monkeypatch.setattr(OptunaStudy, "_written", killed)
    known: dict[tuple[str, int], Measured] = {}
    with pytest.raises(Killed):
        _search(tiny_space, tmp_path, Fake(HALVING, known))
    monkeypatch.undo()
    assert len(_trials(tmp_path)) == writes
    assert _search(tiny_space, tmp_path, Fake(HALVING, known)) == whole[1]
    assert _trials(tmp_path) == whole[0]


def test_more_trials_go_on_in_whole_generations(
    tiny_space: PricedSpace, tmp_path: Path, whole: tuple[list[Any], list[Candidate]]
) -> None:
    known: dict[tuple[str, int], Measured] = {}
    assert len(_search(tiny_space, tmp_path, Fake(HALVING, known), trials=2)) == 6
    assert _search(tiny_space, tmp_path, Fake(HALVING, known), trials=7) == whole[1]
    assert _trials(tmp_path) == whole[0]


def test_the_predictor_knows_what_is_being_evaluated(
    tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = _study(Goal(tiny_space, seed=3, startup=40), tmp_path, "predictor")
    fake = Fake(Halving(generation=40, epochs=(1,)), {})
    # So regular that the predictor is sure of itself.
    fake.rung = lambda architecture, _: Metrics(tiny_space.cost(architecture).macs / 1e7, 0.0)  # type: ignore[method-assign]
    candidates = search(study, fake, trials=40, reporter=QUIET)
    known: list[set[Architecture]] = []
    plain = predicted.best_within

    def recorded(*arguments: Any, **options: Any) -> Any:
        known.append(options["known"])
        return plain(*arguments, **options)

    monkeypatch.setattr(predicted, "best_within", recorded)
    first = study.ask()
    assert study.claim(first, None) is not None
    study.ask()
    evaluated = [candidate.architecture for candidate in candidates]
    assert known[0] == set(evaluated)
    assert known[-1] == {*evaluated, first.architecture}


def test_a_study_of_other_proposals_is_refused(tiny_space: PricedSpace, tmp_path: Path) -> None:
    known: dict[tuple[str, int], Measured] = {}
    _search(tiny_space, tmp_path, Fake(HALVING, known), trials=6, sampler="random")
    study = _study(Goal(tiny_space, seed=4, startup=7), tmp_path, "random")
    with pytest.raises(InputError, match="trial 0: another than the one that this study was told"):
        search(study, Fake(Halving(generation=7, epochs=(1,)), known), trials=7, reporter=QUIET)


def test_a_generation_that_the_space_cannot_fill(tiny_space: PricedSpace, tmp_path: Path) -> None:
    budget = Budget(max_macs=int(tiny_space.cost(tiny_space.smallest).macs * 1.03))
    count = tiny_space.within(budget).count()[1]
    known: dict[tuple[str, int], Measured] = {}
    halving = Halving(generation=count - 1, epochs=(1, 2), eta=3, bins=2)
    for _ in range(2):
        candidates = _search(tiny_space, tmp_path, Fake(halving, known), trials=500, budget=budget, startup=500)
        assert len(candidates) == count
    assert len([state for state, *_ in _trials(tmp_path) if state == optuna.trial.TrialState.COMPLETE]) == count


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": ()}, "`proxy_epochs`: expected 1 to 100000 for each"),
        ({"epochs": (0, 1)}, "`proxy_epochs`: expected 1 to 100000 for each"),
        ({"epochs": (1, 3, 3)}, "`proxy_epochs`: expected more by the end of each rung, such as 1,3,9"),
        ({"eta": 1}, "`eta`: expected 2 to 1000, got 1"),
        ({"generation": 0}, "`generation`: expected 1 to 100000, got 0"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Halving(**settings)
    with pytest.raises(InputError, match="`proxy_pictures`: expected a share above 0 and up to 1, got 0"):
        ProxySettings(pictures=0)


@pytest.mark.parametrize("text", ["0", "1.5", "-1", "nan", "half"])
def test_shares_and_lists_are_parsed(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a share above 0 and up to 1, such as 0\.5"):
        share(text)
    assert share("0.25") == 0.25
    with pytest.raises(ValueError, match="expected an integer from 1 to 9"):
        wholes(1, 9)("1,x")
    assert wholes(1, 9)("1,3,9") == (1, 3, 9)


class TestTraining:
    """The real trainings, on pictures of handwritten digits."""

    def _evaluator(self, data: Dataset, folder: Path, epochs: tuple[int, ...] = (1, 2)) -> ProxyEvaluator:
        settings = ProxySettings(
            recipe=Recipe(batch_size=8, learning_rate=0.05),
            halving=Halving(generation=4, epochs=epochs, eta=2, bins=1),
            pictures=0.5,
            resolution=0.75,
        )
        folder.mkdir(exist_ok=True)
        evaluator = ProxyEvaluator(data, settings, seed=1, folder=folder)
        evaluator.prepare()
        return evaluator

    def _race(self, space: PricedSpace, evaluator: ProxyEvaluator) -> list[Candidate]:
        return halve(_entrants(space, 4), evaluator, QUIET)

    @pytest.mark.parametrize("kill_at", [1, 13, 30])
    def test_a_killed_race_ends_alike(
        self,
        tiny_space: PricedSpace,
        data: Dataset,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        kill_at: int,
    ) -> None:
        candidates = self._race(tiny_space, self._evaluator(data, tmp_path / "whole", (1, 3)))
        steps = iter(range(kill_at))
        plain = proxy.LabelStep

        def killed(*arguments: Any) -> Any:
            step = plain(*arguments)

            def counted(images: Tensor, labels: Tensor, number: int) -> float:
                if next(steps, None) is None:
                    raise Killed
                return step(images, labels, number)

            return FunctionMethod(step.model, counted)

        monkeypatch.setattr(proxy, "LabelStep", killed)
        with pytest.raises(Killed):
            self._race(tiny_space, self._evaluator(data, tmp_path / "killed", (1, 3)))
        monkeypatch.undo()
        assert any((tmp_path / "killed" / "proxy").iterdir())
        assert self._race(tiny_space, self._evaluator(data, tmp_path / "killed", (1, 3))) == candidates
        for folder in ("whole", "killed"):
            assert not list((tmp_path / folder / "proxy").iterdir())
        files = [(tmp_path / folder / "proxy.json").read_bytes() for folder in ("whole", "killed")]
        assert files[0] == files[1]

    def test_nothing_is_trained_twice_and_settings_hold(
        self, tiny_space: PricedSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        evaluator = self._evaluator(data, tmp_path)
        assert len(evaluator.pictures) == round(0.5 * len(data.train))
        assert len(set(evaluator.pictures.targets.tolist())) == 4
        seen: list[int] = []
        plain = proxy.LabelStep

        def recorded(network: nn.Module, resolution: int, *rest: Any) -> Any:
            seen.append(resolution)
            return plain(network, resolution, *rest)

        monkeypatch.setattr(proxy, "LabelStep", recorded)
        candidates = self._race(tiny_space, evaluator)
        assert sorted(seen[:4]) == sorted(round(0.75 * c.architecture.resolution) for c in candidates)
        assert len(seen) == 4 + 2
        assert self._race(tiny_space, self._evaluator(data, tmp_path)) == candidates
        assert len(seen) == 4 + 2

    def test_a_dropped_candidate_can_be_trained_to_the_end(
        self, tiny_space: PricedSpace, data: Dataset, tmp_path: Path
    ) -> None:
        architecture = tiny_space.smallest
        evaluator = self._evaluator(data, tmp_path / "one")
        first = evaluator.evaluate(architecture)
        thorough = evaluator.evaluate(architecture, thorough=True)
        assert not list((tmp_path / "one" / "proxy").iterdir())
        other = self._evaluator(data, tmp_path / "other", (1, 2, 3))
        assert [other.rung(architecture, rung) for rung in (0, 1)] == [first, thorough]
        assert [path.name for path in (tmp_path / "other" / "proxy").rglob("*.*")] == ["1.safetensors"]

    def test_a_rung_goes_on_where_the_last_ended(self, tiny_space: PricedSpace, data: Dataset, tmp_path: Path) -> None:
        losses = [
            self._evaluator(data, tmp_path, (4, 12)).rung(tiny_space.largest, rung).beside["loss"] for rung in (0, 1)
        ]
        assert losses[1] < losses[0]

    def test_broken_results_are_refused(self, data: Dataset, tmp_path: Path) -> None:
        for text in ("[]", '{"a": [1]}', '{"a": [["x", 1]]}'):
            (tmp_path / "proxy.json").write_text(text)
            with pytest.raises(InputError, match=r"proxy.json: not the results of a proxy; use another `out`"):
                self._evaluator(data, tmp_path)

    def test_what_is_no_number_harms_no_other_candidate(
        self, tiny_space: PricedSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        evaluator = self._evaluator(data, tmp_path, (1,))
        measure = proxy.evaluate
        monkeypatch.setattr(proxy, "evaluate", lambda *arguments: Metrics(math.nan, 1.0))
        with pytest.raises(InputError, match="accuracy: expected a finite number, got nan"):
            evaluator.rung(tiny_space.largest, 0)
        monkeypatch.setattr(proxy, "evaluate", measure)
        assert math.isfinite(evaluator.rung(tiny_space.smallest, 0).value)
        assert math.isfinite(self._evaluator(data, tmp_path, (1,)).rung(tiny_space.largest, 0).value)


def test_rejections_are_counted_for_each_claim(tiny_space: PricedSpace, tmp_path: Path) -> None:
    """In a generation nothing is told between claims; they were counted from the last generation on."""
    study = _study(Goal(tiny_space, 3, 6), tmp_path, "random")
    first, second = (Proposal(architecture) for architecture, _ in _entrants(tiny_space, 2))
    for _ in range(3):
        study.reject(first, SEEN)
    assert study.rejected_in_a_row() == 3
    assert study.claim(second, None) is not None
    assert study.rejected_in_a_row() == 0
    study.reject(first, SEEN)
    assert study.rejected_in_a_row() == 1
