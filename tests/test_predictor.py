"""The predictor, the ranking of many, the encoding they rest on, and the sampler made of them."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from evaluators.base import Metrics
from evaluators.best_predicted import best_within
from evaluators.predictor import Predictor
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space import Architecture, Budget, InputError
from search_space.cost.cost import measure
from search_space.cost.encoding import Encoding, encoding
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.spaces import mobilenetv2_32, mobilenext
from search_space.space import SearchSpace
from studies.loop import search
from studies.samplers import Goal, Proposal, Told, make_sampler
from studies.samplers.predicted import Predicted
from studies.storage.optuna_study import OptunaStudy
from studies.trials import Candidate

BUDGET = Budget(max_macs=1_200_000)


@pytest.fixture(scope="module")
def space() -> PricedSpace:
    return PricedSpace(mobilenetv2_32(), 10)


@pytest.fixture(scope="module")
def drawn(space: PricedSpace) -> list[Architecture]:
    rng = random.Random(5)
    return [space.within(BUDGET).sample(rng) for _ in range(450)]


def additive(space: PricedSpace) -> Callable[[Architecture], float]:
    """A sum over the stages with a liking for CA, deep and wide stages, and one interaction."""
    weights = np.random.default_rng(0).uniform(0.5, 1.5, (len(space.space.stages), 5))

    def value(architecture: Architecture) -> float:
        total = 0.0
        for stage, (w1, w2, w3, w4, w5) in zip(architecture.stages, weights, strict=True):
            kind = stage.attention[-1].kind
            total += w1 * np.log2(stage.width) + 0.6 * w2 * stage.depth + 0.3 * w3 * stage.kernel_size
            total += w4 * (kind == "ca") + 0.4 * w5 * (kind == "se") * stage.depth
        return 0.8 + 0.01 * (total - 25)

    return value


@pytest.fixture(scope="module")
def predictor(space: PricedSpace, drawn: list[Architecture]) -> Predictor:
    return Predictor(space).fit(drawn[:150], [additive(space)(architecture) for architecture in drawn[:150]])


class TestEncoding:
    def test_a_batch_equals_single_architectures(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        whole = Encoding(space)
        batch = whole.features(whole.encode(drawn[:50]))
        assert batch.shape == (50, len(whole.names))
        for row, architecture in zip(batch, drawn, strict=False):
            alone = Encoding(space)  # with numbers of its own
            assert (alone.features(alone.encode([architecture]))[0] == row).all()

    @pytest.mark.parametrize("make", [mobilenetv2_32, mobilenext])
    def test_costs_are_those_of_the_whole_network(self, make: Callable[[], SearchSpace]) -> None:
        space = PricedSpace(make(), 10)
        rng = random.Random(0)
        architectures = [space.space.assemble(lambda name, options: rng.choice(options)) for _ in range(12)]
        own = Encoding(space)
        expected = [measure(architecture, space.num_classes) for architecture in architectures]
        assert own.costs(own.encode(architectures)).tolist() == [[cost.macs, cost.params] for cost in expected]

    def test_features_say_what_the_stage_is(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        own = encoding(space)
        for architecture in drawn[:20]:
            row = dict(zip(own.names, own.features(own.encode([architecture]))[0], strict=True))
            for index, stage in enumerate(architecture.stages):
                assert row[f"stage{index} log2 width"] == np.log2(stage.width)
                assert row[f"stage{index} depth"] == stage.depth
                for kind in ("none", "se", "ca"):
                    assert row[f"stage{index} share of {kind}"] == (stage.attention[0].kind == kind)
            assert row["log2 macs"] == np.log2(space.cost(architecture).macs)

    def test_another_space_is_refused(self, space: PricedSpace, tiny_space: PricedSpace) -> None:
        other = tiny_space.smallest
        with pytest.raises(InputError, match=f"^architecture {other.digest()[:12]}: 2 stages at resolution 16 are not"):
            encoding(space).encode([other])

    def test_recombined_architectures_are_in_the_space(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        own = encoding(space)
        codes = own.recombine(own.encode(drawn[:30]), 300, np.random.default_rng(0))
        assert len(np.unique(codes, axis=0)) > 250
        for code in codes[:40]:
            architecture = own.decode(code)
            assert space.space.canonical(architecture) == architecture
            assert own.encode([architecture])[0].tolist() == code.tolist()


class TestPredictor:
    def test_recovers_an_additive_target(
        self, space: PricedSpace, drawn: list[Architecture], predictor: Predictor
    ) -> None:
        value = additive(space)
        mean, _ = predictor.predict(drawn[150:])
        unseen = float(kendalltau(mean, [value(architecture) for architecture in drawn[150:]]).statistic)
        assert unseen > 0.8
        assert predictor.tau == pytest.approx(unseen, abs=0.07)
        assert not predictor.hopeless

    def test_noise_is_called_hopeless(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        hopeless = 0
        for seed in range(5):
            noise = np.random.default_rng(seed).normal(0.7, 0.02, 60)
            hopeless += Predictor(space).fit(drawn[:60], noise.tolist()).hopeless
        assert hopeless >= 4  # an interval of 95% on one side of τ is left once in 40

    def test_constant_values_are_hopeless(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        predictor = Predictor(space).fit(drawn[:20], [0.5] * 20)
        assert predictor.tau == 0
        assert predictor.hopeless
        assert predictor.predict(drawn[20:22])[0] == pytest.approx([0.5, 0.5])

    def test_is_less_sure_away_from_the_data(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        value = additive(space)
        near = [architecture for architecture in drawn if architecture.stages[1].kernel_size == 3]
        far = [architecture for architecture in drawn if architecture.stages[1].kernel_size == 5]
        predictor = Predictor(space).fit(near[:100], [value(architecture) for architecture in near[:100]])
        seen, held_out, away = (predictor.predict(some)[1].mean() for some in (near[:100], near[100:], far))
        assert seen < held_out < away

    def test_the_same_data_give_the_same_numbers(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        rng = np.random.default_rng(0)
        values = [additive(space)(architecture) + rng.normal(0, 0.01) for architecture in drawn[:230]]
        one, other = (Predictor(space, seed=3).fit(drawn[:230], values) for _ in range(2))
        assert one.parameters == other.parameters
        assert one.tau == other.tau
        for left, right in zip(one.predict(drawn[230:]), other.predict(drawn[230:]), strict=True):
            assert (left == right).all()

    def test_bad_data(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        with pytest.raises(InputError, match=r"^predictor: 9 architectures with 9 values; .* at least 10$"):
            Predictor(space).fit(drawn[:9], [0.5] * 9)
        with pytest.raises(InputError, match=f"^predictor: value nan of architecture {drawn[3].digest()[:12]}"):
            Predictor(space).fit(drawn[:10], [0.5, 0.5, 0.5, float("nan"), *[0.5] * 6])


class TestRanking:
    def test_finds_some_of_the_best(self, space: PricedSpace, drawn: list[Architecture], predictor: Predictor) -> None:
        value = additive(space)
        best = best_within(space.within(BUDGET), predictor, 20_000, seed=1, draws=500, good=drawn[:10], keep=5)
        assert len(set(best)) == 5
        assert all(BUDGET.allows(space.cost(architecture)) for architecture in best)
        assert min(map(value, best)) > np.quantile([value(architecture) for architecture in drawn], 0.98)
        assert best == best_within(space.within(BUDGET), predictor, 20_000, seed=1, draws=500, good=drawn[:10], keep=5)
        assert best != best_within(space.within(BUDGET), predictor, 20_000, seed=2, draws=500, good=drawn[:10], keep=5)

    def test_ranks_highest_bound_first_and_skips_the_known(
        self, space: PricedSpace, drawn: list[Architecture], predictor: Predictor
    ) -> None:
        codes = encoding(space).encode(drawn)
        mean, deviation = predictor.predict(drawn)
        expected = [drawn[row] for row in np.argsort(-(mean + deviation), kind="stable")]
        ranked = best_within(space.within(BUDGET), predictor, len(drawn), seed=0, draws=codes, keep=7)
        assert ranked == expected[:7]
        left = best_within(space.within(BUDGET), predictor, len(drawn), seed=0, draws=codes, known=expected[:5], keep=7)
        assert left == expected[5:12]

    def test_both_bounds_hold(self, space: PricedSpace, drawn: list[Architecture], predictor: Predictor) -> None:
        tight = Budget(max_macs=1_100_000, max_params=17_000)
        codes = encoding(space).encode(drawn)
        for architecture in best_within(space.within(tight), predictor, 10_000, seed=0, draws=codes, keep=50):
            assert tight.allows(space.cost(architecture))

    def test_nothing_within_the_budget(
        self, space: PricedSpace, drawn: list[Architecture], predictor: Predictor
    ) -> None:
        nothing = Budget(max_macs=1000)
        assert best_within(space.within(nothing), predictor, 5000, seed=0, draws=encoding(space).encode(drawn)) == []


class Evaluator:
    """The additive target, or noise alone."""

    metric = ACCURACY

    def __init__(self, space: PricedSpace, noise: bool = False):
        self.value = additive(space)
        self.noise = noise

    def identity(self) -> dict[str, Any]:
        return {}

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        luck = random.Random(architecture.digest()).gauss(0, 0.004)
        accuracy = 0.5 + luck if self.noise else self.value(architecture) + luck
        return Metrics(accuracy, 1 - accuracy)


def _search(space: PricedSpace, seed: int, trials: int, path: Path) -> list[Candidate]:
    """By the predictor; in a journal, which takes a tenth of a database's time."""
    study = OptunaStudy(make_sampler("predictor", Goal(space.within(BUDGET), seed, startup=20)), f"journal:{path}")
    reporter = Reporter(quiet=True)
    return search(study, Evaluator(space), trials=trials, reporter=reporter)


def _told(space: PricedSpace, architectures: Sequence[Architecture], noise: bool, seed: int = 0) -> Predicted:
    """A sampler that was told the architectures' values."""
    evaluator = Evaluator(space, noise)
    sampler = Predicted(Goal(space.within(BUDGET), seed, startup=20))
    for architecture in architectures:
        cost = space.cost(architecture)
        sampler.tell(Told(Proposal(architecture), cost, evaluator.evaluate(architecture).value, BUDGET.excess(cost)))
    return sampler


class TestSampler:
    def test_beats_random_draws_on_every_seed(
        self, space: PricedSpace, drawn: list[Architecture], tmp_path: Path
    ) -> None:
        value = additive(space)
        by_chance = np.mean([max(map(value, drawn[start : start + 32])) for start in range(0, 448, 32)])
        for seed in range(2):
            found = _search(space, seed, 32, tmp_path / f"{seed}.log")
            assert max(value(candidate.architecture) for candidate in found) > by_chance + 0.003

    def test_proposals_spread_along_the_front(self, space: PricedSpace, drawn: list[Architecture]) -> None:
        sampler = _told(space, drawn[:60], noise=False)
        proposed = [sampler.propose(turn, ()).architecture for turn in range(60, 72)]
        macs = [space.cost(architecture).macs for architecture in proposed]
        assert len(set(proposed)) > 3
        assert max(macs) <= BUDGET.max_macs  # type: ignore[operator]
        assert max(macs) > 1_100_000 > 1_000_000 > min(macs)
        assert not set(drawn[:60]) & set(proposed)

    def test_a_proposal_depends_on_seed_candidates_and_number_told_alone(
        self, space: PricedSpace, drawn: list[Architecture]
    ) -> None:
        old = _told(space, drawn[:20], noise=False, seed=4)
        more = _told(space, drawn[20:47], noise=False, seed=4)
        for index, told in enumerate(more._evaluated):
            if index % 3 == 0:
                old.propose(60, ())
            old.tell(told)
        fresh = _told(space, drawn[:47], noise=False, seed=4)
        assert old.propose(60, ()) == fresh.propose(60, ())
        assert fresh.propose(60, ()) != _told(space, drawn[:47], noise=False, seed=5).propose(60, ())

    def test_falls_back_on_draws_from_the_budget(
        self, space: PricedSpace, drawn: list[Architecture], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def ranked(*arguments: Any, **named: Any) -> list[Architecture]:
            raise AssertionError("ranked by a predictor that knows nothing")

        monkeypatch.setattr("studies.samplers.predicted.best_within", ranked)
        few = _told(space, drawn[:9], noise=False).propose(9, ()).architecture
        sampler = _told(space, drawn[:60], noise=True)
        noisy = {sampler.propose(turn, ()).architecture for turn in range(60, 70)}
        assert len(noisy) == 10
        assert all(BUDGET.allows(space.cost(architecture)) for architecture in (few, *noisy))
        with pytest.raises(AssertionError, match="knows nothing"):
            _told(space, drawn[:60], noise=False).propose(60, ())

    def test_goes_on_where_a_shorter_study_ended(self, space: PricedSpace, tmp_path: Path) -> None:
        whole = _search(space, 1, 23, tmp_path / "whole.log")
        _search(space, 1, 21, tmp_path / "parts.log")
        assert _search(space, 1, 23, tmp_path / "parts.log") == whole
