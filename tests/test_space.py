"""The decision program, over every named space; counting and sampling, on a space small enough to list."""

import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch.utils.flop_counter import FlopCounterMode

from search_space import Architecture, Attention, Budget, Cost, InputError, build
from search_space.cost.exact_counts import LIMB_BITS, Counts, convolved, padded, spectrum
from search_space.cost.priced_space import PricedSpace
from search_space.cost.sampling import BUCKETS, budget_table
from search_space.decisions import dimension, every_outcome
from search_space.network import bare
from search_space.space import SearchSpace
from search_space.spaces import SPACES, named_space, priced_space


@pytest.fixture(scope="module")
def costs(tiny_space: PricedSpace) -> dict[Architecture, Cost]:
    """Of every architecture of the tiny space."""
    return {architecture: tiny_space.cost(architecture) for architecture in tiny_space.space.enumerate()}


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
        space = priced_space(name)
        rng, seen = random.Random(0), {}  # type: ignore[var-annotated]
        for _ in range(300):
            space.space.assemble(_random_choose(rng, seen))
        decided = {dimension(key) for key in seen}
        if space.space.family == "mobile":
            assert decided >= {"depth", "expansion", "kernel_size", "attention", "reduction"}
        else:
            assert len(decided) >= 3

    def test_choices_replay(self, name: str) -> None:
        space = priced_space(name)
        rng = random.Random(1)
        for _ in range(20):
            architecture = space.space.assemble(_random_choose(rng, {}))
            choices = space.space.choices(architecture)
            assert space.space.assemble(lambda key, options, choices=choices: choices[key]) == architecture
            assert Architecture.from_json(architecture.to_json()) == architecture

    def test_cost_equals_direct_count(
        self, name: str, covering: Callable[[SearchSpace, int], list[Architecture]]
    ) -> None:
        space = priced_space(name)
        for architecture in covering(space.space, 3):
            with torch.device("meta"):
                network = bare(architecture, space.num_classes).eval()
                x = torch.empty(1, 3, architecture.resolution, architecture.resolution)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network(x)
            params = sum(parameter.numel() for parameter in network.parameters())
            assert space.cost(architecture) == Cost(counter.get_total_flops() // 2, params)

    def test_every_network_trains(self, name: str) -> None:
        space = priced_space(name)
        architecture = space.space.assemble(_random_choose(random.Random(3), {}))
        network = build(architecture, 3)
        network(torch.randn(2, 3, 40, 56)).square().sum().backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key

    def test_from_dict(self, name: str) -> None:
        import json

        space = priced_space(name)
        assert PricedSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


def test_digits_space_keeps_position() -> None:
    space = priced_space("mobilenetv2-32")
    assert space.largest.total_stride <= 8  # beyond it, attention would see maps of a pixel or two
    for index in range(len(space.space.stages)):
        assert {dimension(name).partition("(")[0] for name in _names(space, index)} == {
            "width",
            "depth",
            "expansion",
            "kernel_size",
            "attention",
            "reduction",
        }


def _names(space: PricedSpace, index: int) -> set[str]:
    names: set[str] = set()

    def program(choose: Any) -> None:
        def noted(name: str, options: Sequence[Any]) -> Any:
            names.add(name)
            return choose(name, options)

        space.space.programs[index].assemble(16, noted)

    list(every_outcome(program))
    return names


def test_enumeration_has_no_twins(tiny_space: PricedSpace) -> None:
    everything = list(tiny_space.space.enumerate())
    assert tiny_space.count() == (len(everything), len(everything))
    assert len({architecture.digest() for architecture in everything}) == len(everything)
    # Each first stage before the same second one, and each second stage after a first one of either width.
    second, firsts = tiny_space.smallest.stages[1], [tiny_space.smallest.stages[0], tiny_space.largest.stages[0]]
    near = [a for a in everything if a.resolution == 16 and (a.stages[1] == second or a.stages[0] in firsts)]
    assert len(near) > 200
    networks = set()
    for a in near:
        with torch.device("meta"):
            network = bare(a, 4)
        networks.add((str(network), tuple(tuple(p.shape) for p in network.parameters())))
    assert len(networks) == len(near)


def test_twins_would_arise_from_ratios(tiny_space: PricedSpace) -> None:
    # 8 hidden channels: max(8, 8 // 2) == max(8, 8 // 8), so coordinate attention is offered with one ratio.
    names = _names(tiny_space, 0)
    assert not any("ca_reduction" in name for name in names if "8,16" in name)
    stages = every_outcome(lambda choose: tiny_space.space.programs[0].assemble(8, choose))
    narrow = {stage.attention[0] for stage in stages if stage.width == 8 and stage.expansion == 1}
    assert sorted(a.label for a in narrow) == ["ca/2", "se/4", "se/8", "–"]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 2.0])
def test_count_within_a_budget_is_exact(tiny_space: PricedSpace, costs: dict[Architecture, Cost], share: float) -> None:
    low = tiny_space.cost(tiny_space.smallest)
    high = tiny_space.cost(tiny_space.largest)
    budget = Budget(max_macs=int(low.macs + share * (high.macs - low.macs)))
    expected = sum(map(budget.allows, costs.values()))
    assert tiny_space.within(budget).count() == (expected, expected)


def test_count_of_parameters_and_of_both(tiny_space: PricedSpace, costs: dict[Architecture, Cost]) -> None:
    params = sorted(cost.params for cost in costs.values())[len(costs) // 2]
    macs = sorted(cost.macs for cost in costs.values())[len(costs) // 2]
    only = Budget(max_params=params)
    assert tiny_space.within(only).count() == (sum(map(only.allows, costs.values())),) * 2
    both = Budget(macs, params)
    assert tiny_space.within(both).count() == (sum(map(both.allows, costs.values())),) * 2


def test_coarse_buckets_bound_the_count(
    tiny_space: PricedSpace, costs: dict[Architecture, Cost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUCKETS, 1, 50)
    monkeypatch.setattr("search_space.cost.sampling.MAX_LISTED", 0)
    budget_table.cache_clear()
    low, high = tiny_space.cost(tiny_space.smallest).macs, tiny_space.cost(tiny_space.largest).macs
    budget = Budget(max_macs=low + (high - low) // 20)
    within = {architecture for architecture, cost in costs.items() if budget.allows(cost)}
    table = budget_table(tiny_space.costs, budget)
    low, high = table.count()
    assert low < len(within) < high
    rng = random.Random(0)
    drawn = Counter(table.sample(rng) for _ in range(10 * len(within)))
    assert set(drawn) <= within
    _assert_uniform(drawn, len(within))
    budget_table.cache_clear()


@pytest.mark.parametrize("rng", [random.Random(5), np.random.default_rng(5)], ids=["random", "numpy"])
def test_samples_are_uniform_within_the_budget(
    tiny_space: PricedSpace, costs: dict[Architecture, Cost], rng: Any
) -> None:
    cheapest = tiny_space.cost(tiny_space.smallest)
    budget = Budget(max_macs=int(cheapest.macs * 1.8), max_params=int(cheapest.params * 3))
    within = [architecture for architecture, cost in costs.items() if budget.allows(cost)]
    assert 100 < len(within) < 3000
    bounded = tiny_space.within(budget)
    drawn = Counter(bounded.sample(rng) for _ in range(10 * len(within)))
    assert set(drawn) <= set(within)
    _assert_uniform(drawn, len(within))


def _assert_uniform(drawn: "Counter[Architecture]", outcomes: int) -> None:
    observed = np.array([*drawn.values(), *[0] * (outcomes - len(drawn))])
    assert scipy.stats.chisquare(observed).pvalue > 1e-3


def test_smallest_and_largest(tiny_space: PricedSpace, costs: dict[Architecture, Cost]) -> None:
    assert tiny_space.cost(tiny_space.smallest).macs == min(cost.macs for cost in costs.values())
    assert tiny_space.cost(tiny_space.largest).macs == max(cost.macs for cost in costs.values())
    assert tiny_space.cost(tiny_space.cheapest("params")).params == min(cost.params for cost in costs.values())


def test_impossible_budgets_name_the_smallest(tiny_space: PricedSpace) -> None:
    least = tiny_space.cost(tiny_space.smallest).macs
    with pytest.raises(InputError, match=f"smallest network of space tiny .* has .*{least}"):
        tiny_space.within(Budget(max_macs=least - 1)).sample(random.Random(0))
    assert tiny_space.cost(tiny_space.within(Budget(max_macs=least)).sample(random.Random(0))).macs == least


def test_impossible_joint_budgets_end(tiny_space: PricedSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    # Squeeze-and-excitation at ratio 1 has more parameters than coordinate attention, and fewer MACs.
    options = replace(tiny_space.space.stages[0], attention=(Attention("se", 1), Attention("ca", 8)), expansion=(4, 6))
    space = replace(tiny_space, space=replace(tiny_space.space, name="trade", stages=(options, options)))
    macs, params = space.cost(space.smallest).macs, space.cost(space.cheapest("params")).params
    budget = Budget(macs, params)
    assert space.within(Budget(max_macs=macs)).count()[1] > 0
    assert space.within(Budget(max_params=params)).count()[1] > 0
    assert not any(budget.allows(space.cost(architecture)) for architecture in space.space.enumerate())
    monkeypatch.setattr("search_space.cost.sampling.MAX_REDRAWS", 50)
    with pytest.raises(InputError, match="loosen one"):
        space.within(budget).sample(random.Random(0))


def test_choices_of_a_foreign_architecture(tiny_space: PricedSpace) -> None:
    with pytest.raises(InputError, match="not in space tiny"):
        tiny_space.space.choices(priced_space("mobilenetv2-32").smallest)


def test_unknown_space() -> None:
    with pytest.raises(InputError, match="`space` resnet: unknown; known: mobilenetv2"):
        priced_space("resnet")


@pytest.mark.parametrize("size", [500, 1 << 15])
@pytest.mark.parametrize("largest", [True, False])
def test_convolution_of_large_counts_is_exact(size: int, largest: bool) -> None:
    # The worst that can be: every limb of the counts and of the histogram at its largest.
    rng = random.Random(0)
    counts = [2**98 - 1 if largest else rng.randrange(2**98) for _ in range(size)]
    ways = np.array([2**42 - 1 if largest else rng.randrange(2**42) for _ in range(size)])
    mask = (1 << LIMB_BITS) - 1
    limbs = np.array([[count >> (LIMB_BITS * k) & mask for count in counts] for k in range(7)], dtype=np.int64)
    result = Counts({9: convolved({7: ways}, {7: spectrum(limbs)}, size), 3: limbs}, size)
    for buckets in (0, 1, 17, size // 3, size - 1):
        expected = sum(counts[buckets - cost] * int(ways[cost]) for cost in range(buckets + 1))
        assert result.number(9, buckets) == expected
        assert result.number(3, buckets) == counts[buckets]
    assert padded(size) >= 2 * size - 1


@pytest.mark.parametrize("attention_per", ["stage", "block"])
@pytest.mark.parametrize("macs", [700_000, 900_000, 1_000_000, 1_207_447, 1_300_000, 2_000_000])
def test_counts_obey_the_recursion(macs: int, attention_per: str) -> None:
    """Each count against the sum over costs of the counts after them, in integers of any size.

    Counts after different widths are of different lengths: limbs must not be mixed up.
    """
    space = PricedSpace(replace(named_space("mobilenetv2-32"), attention_per=attention_per), 10)
    (chain,) = space.within(Budget(max_macs=macs)).table._chains
    for index, by_width in enumerate(chain.moves):
        for width, moves in by_width.items():
            for remaining in (chain.remaining, chain.remaining // 3):
                ways = sum(
                    int(own) * chain.completions[index + 1].number(after, remaining - cost)
                    for after, histogram in moves.histograms().items()
                    for cost, own in enumerate(histogram.tolist())
                    if own and cost <= remaining
                )
                assert ways == chain.completions[index].number(width, remaining)
