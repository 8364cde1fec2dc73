"""The decision program, over every named space; counting and sampling, on a space small enough to list."""

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch.utils.flop_counter import FlopCounterMode

from search_space import Architecture, Attention, Budget, Cost, InputError, build
from search_space.sampling import BUCKETS, _completions, _integers, _Outcomes, _padded, _spectrum, budget_table
from search_space.space import SearchSpace, dimension, every_outcome
from search_space.spaces import SPACES, named_space


def _random_choose(rng: random.Random, seen: dict[str, Sequence[Hashable]]) -> Any:
    def choose(name: str, options: Sequence[Any]) -> Any:
        assert len(options) >= 2, name
        assert len(set(options)) == len(options), name
        assert seen.setdefault(name, options) == options, f"{name} came with other options"
        return rng.choice(options)

    return choose


@pytest.mark.parametrize("name", SPACES)
class TestEverySpace:
    """What every named space keeps."""

    def test_names_always_carry_the_same_options(self, name: str) -> None:
        space = named_space(name)
        rng, seen = random.Random(0), {}  # type: ignore[var-annotated]
        for _ in range(300):
            space.assemble(_random_choose(rng, seen))
        assert {dimension(key) for key in seen} >= {"depth", "expansion", "kernel_size", "attention", "reduction"}

    def test_choices_replay(self, name: str) -> None:
        space = named_space(name)
        rng = random.Random(1)
        for _ in range(50):
            architecture = space.assemble(_random_choose(rng, {}))
            choices = space.choices(architecture)
            assert space.assemble(lambda key, options, choices=choices: choices[key]) == architecture
            assert Architecture.from_json(architecture.to_json()) == architecture

    def test_cost_equals_direct_count(self, name: str) -> None:
        space = named_space(name)
        rng = random.Random(2)
        for _ in range(4):
            architecture = space.assemble(_random_choose(rng, {}))
            with torch.device("meta"):
                network = build(architecture, space.num_classes).eval()
                x = torch.empty(1, 3, architecture.resolution, architecture.resolution)
            with FlopCounterMode(display=False) as counter:
                network(x)
            params = sum(parameter.numel() for parameter in network.parameters())
            assert space.cost(architecture) == Cost(counter.get_total_flops() // 2, params)

    def test_every_network_trains(self, name: str) -> None:
        space = named_space(name)
        architecture = space.assemble(_random_choose(random.Random(3), {}))
        network = build(architecture, 3)
        network(torch.randn(2, 3, 40, 56)).square().sum().backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key

    def test_from_dict(self, name: str) -> None:
        import json

        space = named_space(name)
        assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_digits_space_keeps_position() -> None:
    space = named_space("mobilenetv2-32")
    assert space.largest.total_stride <= 8  # beyond it, attention would see maps of a pixel or two
    for index in range(len(space.stages)):
        assert {dimension(name).partition("(")[0] for name in _names(space, index)} == {
            "width",
            "depth",
            "expansion",
            "kernel_size",
            "attention",
            "reduction",
        }


def _names(space: SearchSpace, index: int) -> set[str]:
    names: set[str] = set()

    def program(choose: Any) -> None:
        def noted(name: str, options: Sequence[Any]) -> Any:
            names.add(name)
            return choose(name, options)

        space.assemble_stage(index, 16, noted)

    list(every_outcome(program))
    return names


def test_enumeration_has_no_twins(tiny_space: SearchSpace) -> None:
    everything = list(tiny_space.enumerate())
    assert tiny_space.count() == (len(everything), len(everything))
    assert len({architecture.digest() for architecture in everything}) == len(everything)
    rng = random.Random(0)
    with torch.device("meta"):
        networks = {
            (str(build(a, 4)), a.resolution, tuple(tuple(p.shape) for p in build(a, 4).parameters()))
            for a in rng.sample(everything, 400)
        }
    assert len(networks) == 400


def test_twins_would_arise_from_ratios(tiny_space: SearchSpace) -> None:
    # 8 hidden channels: max(8, 8 // 2) == max(8, 8 // 8), so coordinate attention is offered with one ratio.
    names = _names(tiny_space, 0)
    assert not any("ca_reduction" in name for name in names if "8,16" in name)
    stages = tiny_space.stage_outcomes(0, 8)
    narrow = {stage.attention[0] for stage in stages if stage.width == 8 and stage.expansion == 1}
    assert sorted(a.label for a in narrow) == ["ca/2", "se/4", "se/8", "–"]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 2.0])
def test_count_within_a_budget_is_exact(tiny_space: SearchSpace, share: float) -> None:
    low = tiny_space.cost(tiny_space.smallest)
    high = tiny_space.cost(tiny_space.largest)
    budget = Budget(max_macs=int(low.macs + share * (high.macs - low.macs)))
    expected = sum(budget.allows(tiny_space.cost(a)) for a in tiny_space.enumerate())
    assert tiny_space.count(budget) == (expected, expected)


def test_count_of_parameters_and_of_both(tiny_space: SearchSpace) -> None:
    costs = [tiny_space.cost(a) for a in tiny_space.enumerate()]
    params = sorted(cost.params for cost in costs)[len(costs) // 2]
    macs = sorted(cost.macs for cost in costs)[len(costs) // 2]
    only = Budget(max_params=params)
    assert tiny_space.count(only) == (sum(map(only.allows, costs)),) * 2
    both = Budget(macs, params)
    assert tiny_space.count(both) == (sum(map(both.allows, costs)),) * 2


def test_coarse_buckets_bound_the_count(tiny_space: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUCKETS, 1, 50)
    monkeypatch.setattr("search_space.sampling.MAX_LISTED", 0)
    budget_table.cache_clear()
    budget = Budget(
        max_macs=(tiny_space.cost(tiny_space.smallest).macs + tiny_space.cost(tiny_space.largest).macs) // 2
    )
    within = {a for a in tiny_space.enumerate() if budget.allows(tiny_space.cost(a))}
    table = budget_table(tiny_space, budget)
    low, high = table.count()
    assert low < len(within) < high
    rng = random.Random(0)
    drawn = Counter(table.sample(rng) for _ in range(20 * len(within)))
    assert set(drawn) <= within
    _assert_uniform(drawn, len(within))
    budget_table.cache_clear()


@pytest.mark.parametrize("rng", [random.Random(5), np.random.default_rng(5)], ids=["random", "numpy"])
def test_samples_are_uniform_within_the_budget(tiny_space: SearchSpace, rng: Any) -> None:
    cheapest = tiny_space.cost(tiny_space.smallest)
    budget = Budget(max_macs=int(cheapest.macs * 1.8), max_params=int(cheapest.params * 3))
    within = [a for a in tiny_space.enumerate() if budget.allows(tiny_space.cost(a))]
    assert 100 < len(within) < 3000
    drawn = Counter(tiny_space.sample(rng, budget) for _ in range(20 * len(within)))
    assert set(drawn) <= set(within)
    _assert_uniform(drawn, len(within))


def _assert_uniform(drawn: "Counter[Architecture]", outcomes: int) -> None:
    observed = np.array([*drawn.values(), *[0] * (outcomes - len(drawn))])
    assert scipy.stats.chisquare(observed).pvalue > 1e-3


def test_smallest_and_largest(tiny_space: SearchSpace) -> None:
    costs = [tiny_space.cost(a) for a in tiny_space.enumerate()]
    assert tiny_space.cost(tiny_space.smallest).macs == min(cost.macs for cost in costs)
    assert tiny_space.cost(tiny_space.largest).macs == max(cost.macs for cost in costs)
    assert tiny_space.cost(tiny_space.cheapest("params")).params == min(cost.params for cost in costs)


def test_impossible_budgets_name_the_smallest(tiny_space: SearchSpace) -> None:
    least = tiny_space.cost(tiny_space.smallest).macs
    with pytest.raises(InputError, match=f"smallest network of space tiny .* has .*{least}"):
        tiny_space.sample(random.Random(0), Budget(max_macs=least - 1))
    assert tiny_space.cost(tiny_space.sample(random.Random(0), Budget(max_macs=least))).macs == least


def test_impossible_joint_budgets_end(tiny_space: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    # Squeeze-and-excitation at ratio 1 has more parameters than coordinate attention, and fewer MACs.
    options = replace(tiny_space.stages[0], attention=(Attention("se", 1), Attention("ca", 8)), expansion=(4, 6))
    space = replace(tiny_space, name="trade", stages=(options, options))
    macs, params = space.cost(space.smallest).macs, space.cost(space.cheapest("params")).params
    budget = Budget(macs, params)
    assert space.count(Budget(max_macs=macs))[1] > 0
    assert space.count(Budget(max_params=params))[1] > 0
    assert not any(budget.allows(space.cost(architecture)) for architecture in space.enumerate())
    monkeypatch.setattr("search_space.sampling.MAX_REDRAWS", 50)
    with pytest.raises(InputError, match="loosen one"):
        space.sample(random.Random(0), budget)


def test_choices_of_a_foreign_architecture(tiny_space: SearchSpace) -> None:
    with pytest.raises(InputError, match="not in space tiny"):
        tiny_space.choices(named_space("mobilenetv2-32").smallest)


def test_unknown_space() -> None:
    with pytest.raises(InputError, match="--space resnet: unknown; known: mobilenetv2"):
        named_space("resnet")


def test_convolution_of_large_counts_is_exact() -> None:
    rng = random.Random(0)
    size, outcomes = 500, 700
    counts = [rng.randrange(2**90) for _ in range(size)]
    limbs = np.array([[count >> (20 * k) & (2**20 - 1) for count in counts] for k in range(5)], dtype=np.int64)
    costs = np.array([rng.randrange(size + 50) for _ in range(outcomes)])
    stage = named_space("mobilenetv2-32").smallest.stages[0]
    after = {7: _spectrum(limbs, size)}
    result = _integers(_completions(_Outcomes((stage,) * outcomes, np.full(outcomes, 7), costs), after, size))
    expected = [sum(counts[b - c] for c in costs if c <= b) for b in range(size)]
    assert list(result) == expected
    assert max(expected) > 2**90
    assert _padded(size) >= 2 * size - 1


@pytest.mark.parametrize("macs", [700_000, 900_000, 1_000_000, 1_207_447, 1_300_000, 2_000_000])
def test_counts_obey_the_recursion(macs: int) -> None:
    """Each count against the sum over outcomes of the counts after them, in integers of any size."""
    (chain,) = named_space("mobilenetv2-32").table(Budget(max_macs=macs))._chains
    for index, by_width in enumerate(chain.outcomes):
        for width, outcomes in by_width.items():
            for remaining in (chain.remaining, chain.remaining // 2, chain.remaining // 3):
                left = remaining - outcomes.buckets
                ways = sum(
                    int(chain.counts[index + 1][after][rest])
                    for after, rest, bucket in zip(
                        outcomes.widths.tolist(), left.tolist(), outcomes.buckets, strict=True
                    )
                    if bucket >= 0 and rest >= 0
                )
                assert ways == chain.counts[index][width][remaining]
