"""Spaces in which every block has an attention of its own: against enumeration, and of ImageNet's size."""

import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from search_space import Architecture, Attention, Budget, Cost, InputError, measure
from search_space.cost.cost import Counter as CostCounter
from search_space.cost.cost_table import COLUMNS
from search_space.cost.priced_space import PricedSpace
from search_space.cost.sampling import BUCKETS, FEWER, BudgetTable
from search_space.decisions import dimension
from search_space.families.mobile.stage_options import StageOptions
from search_space.network import Network
from search_space.space import SearchSpace
from search_space.spaces import named_space, priced_space
from search_space.variation import crossover, mutate

RATIOS = (Attention("none"), Attention("se", 4), Attention("ca", 2), Attention("ca", 8))  # ca has twins at 8 channels


def _inverted() -> PricedSpace:
    first = StageOptions("inverted_residual", 2, (8,), (1, 2), (1, 2), (3,), RATIOS[:3])
    last = StageOptions("inverted_residual", 2, (8, 16), (1, 2), (2,), (3,), RATIOS)
    return PricedSpace(SearchSpace("inverted", (16, 24), 8, 2, (first, last), 16, "relu6", "block"), 4)


def _sandglass() -> PricedSpace:
    """Whose first blocks have no place for attention."""
    stage = StageOptions("sandglass_thin", 2, (16, 24), (1, 2, 3), (2, 4), (3,), RATIOS[:3])
    return PricedSpace(SearchSpace("sandglass", (16,), 8, 2, (stage, stage), None, "relu6", "block"), 4)


@pytest.fixture(scope="module", params=[_inverted, _sandglass])
def space(request: pytest.FixtureRequest) -> PricedSpace:
    made: PricedSpace = request.param()
    return made


@pytest.fixture(scope="module")
def everything(space: PricedSpace) -> list[Architecture]:
    return list(space.space.enumerate())


def _random_choose(rng: random.Random) -> Any:
    return lambda name, options: rng.choice(options)


def test_enumeration_has_no_twins(space: PricedSpace, everything: list[Architecture]) -> None:
    assert 1000 < len(everything) < 4000
    assert len({architecture.digest() for architecture in everything}) == len(everything)
    assert any(len(set(stage.attention)) > 1 for architecture in everything for stage in architecture.stages)
    networks = set()
    for architecture in random.Random(0).sample(everything, 100):
        with torch.device("meta"):
            network = Network(architecture, 4)
        networks.add((architecture.resolution, str(network), tuple(p.shape for p in network.parameters())))
    assert len(networks) == 100


def test_decisions_are_of_blocks_that_exist(space: PricedSpace) -> None:
    rng = random.Random(1)
    seen: dict[str, Sequence[Any]] = {}
    for _ in range(200):
        made: dict[str, Any] = {}

        def choose(name: str, options: Sequence[Any], made: dict[str, Any] = made) -> Any:
            assert seen.setdefault(name, options) == options, f"{name} came with other options"
            made[name] = rng.choice(options)
            return made[name]

        architecture = space.space.assemble(choose)
        assert space.space.choices(architecture) == made
        assert all(architecture.decided(name) == choice for name, choice in made.items())
        for index, stage in enumerate(architecture.stages):
            blocks = [name for name in made if dimension(name) == "attention" and name.startswith(f"stage{index}.")]
            first = int(space.space.stages[index].block == "sandglass_thin")
            assert blocks == [f"stage{index}.block{block}.attention" for block in range(first, stage.depth)]
    assert architecture.decided("stage0.block7.attention") is None


def test_costs_equal_the_direct_count(space: PricedSpace, everything: list[Architecture]) -> None:
    some = random.Random(2).sample(everything, 40)
    costs = [[getattr(space.costs.cost(architecture), name) for name in COLUMNS] for architecture in some]
    for architecture, row in zip(some, costs, strict=True):
        with torch.device("meta"):
            network = Network(architecture, 4).eval()
            x = torch.empty(1, 3, architecture.resolution, architecture.resolution)
        with torch.no_grad(), CostCounter() as counter:
            network(x)
        direct = Cost(counter.macs, sum(p.numel() for p in network.parameters()), counter.elementwise)
        assert dataclasses.astuple(space.costs.cost(architecture)) == dataclasses.astuple(direct)
        assert row == list(dataclasses.astuple(direct))


@pytest.mark.parametrize("shares", [(0.02, None), (0.4, None), (None, 0.4), (0.5, 0.3), (2.0, 2.0)])
def test_counts_are_exact(
    space: PricedSpace, everything: list[Architecture], shares: tuple[float | None, float | None]
) -> None:
    costs = [space.cost(architecture) for architecture in everything]
    bounds = []
    for name, share in zip(("macs", "params"), shares, strict=True):
        own = [getattr(cost, name) for cost in costs]
        bounds.append(None if share is None else int(min(own) + share * (max(own) - min(own))))
    budget = Budget(*bounds)
    expected = sum(map(budget.allows, costs))
    assert space.within(budget).count() == (expected, expected)
    within = {architecture for architecture in everything if budget.allows(space.cost(architecture))}
    assert set(space.within(budget).table.all()) == within


def test_everything_is_counted_and_listed(space: PricedSpace, everything: list[Architecture]) -> None:
    assert space.count() == (len(everything), len(everything))
    assert set(space.table.all()) == set(everything)


def test_smallest_and_largest(space: PricedSpace, everything: list[Architecture]) -> None:
    for name in ("macs", "params"):
        own = [getattr(space.cost(architecture), name) for architecture in everything]
        assert getattr(space.cost(space.cheapest(name)), name) == min(own)
        assert getattr(space.cost(space.cheapest(name, sign=-1)), name) == max(own)


@pytest.mark.parametrize("joint", [False, True])
def test_samples_are_uniform_where_buckets_are_coarse(
    everything: list[Architecture], space: PricedSpace, joint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUCKETS, 1, 40 * FEWER)
    monkeypatch.setitem(BUCKETS, 2, 30)
    costs = {architecture: space.cost(architecture) for architecture in everything}
    macs = sorted(cost.macs for cost in costs.values())[len(costs) // 4]
    params = sorted(cost.params for cost in costs.values())[len(costs) // 3]
    budget = Budget(macs, params if joint else None)
    within = {architecture for architecture, cost in costs.items() if budget.allows(cost)}
    table = BudgetTable(space.costs, budget)
    assert table.total > len(within) > 150
    rng = random.Random(0)
    drawn = Counter(table.sample(rng) for _ in range(8 * len(within)))
    assert set(drawn) <= within
    observed = np.array([*drawn.values(), *[0] * (len(within) - len(drawn))])
    assert scipy.stats.chisquare(observed).pvalue > 1e-3


def test_mutation_reaches_everything() -> None:
    options = StageOptions("inverted_residual", 2, (8,), (1, 2), (1, 2), (3,), RATIOS[:3])
    stages = (options, dataclasses.replace(options, depth=(1,)))
    space = PricedSpace(dataclasses.replace(_inverted().space, resolution=(16,), stages=stages), 4)
    everything = set(space.space.enumerate())
    rng = random.Random(0)
    architecture = space.smallest
    reached = {architecture}
    for _ in range(30 * len(everything)):
        architecture = mutate(space, architecture, rng, rate=0.3)
        reached.add(architecture)
    assert reached == everything


def test_crossover_of_different_depths(space: PricedSpace, everything: list[Architecture]) -> None:
    rng = random.Random(3)
    for _ in range(50):
        one, other = rng.sample(everything, 2)
        child = crossover(space, one, other, rng)
        for name, choice in space.space.choices(child).items():
            parents = [space.space.choices(parent).get(name) for parent in (one, other)]
            assert choice in parents or None in parents


def test_twins_are_recognised_block_by_block() -> None:
    space = _inverted()
    stage = space.smallest.stages[0]
    # At 8 channels coordinate attention has 8 within at any ratio.
    written = dataclasses.replace(stage, expansion=1, attention=(Attention("ca", 8), Attention("se", 4)))
    meant = dataclasses.replace(written, attention=(Attention("ca", 2), Attention("se", 4)))
    last = space.smallest.stages[1]
    assert space.space.canonical(space.space.architecture(16, (written, last))) == space.space.architecture(
        16, (meant, last)
    )
    foreign = dataclasses.replace(written, attention=(Attention("ca", 8), Attention("se", 8)))
    with pytest.raises(InputError, match=r"stages\[0\]: .* ca/8\+se/8 is not in space inverted"):
        space.space.canonical(space.space.architecture(16, (foreign, last)))
    with pytest.raises(KeyError):
        space.costs.cost(space.space.architecture(16, (foreign, last)))


def test_per_stage_is_part_of_per_block(tiny_space: PricedSpace) -> None:
    blocks = PricedSpace(dataclasses.replace(tiny_space.space, attention_per="block"), 4)
    rng = random.Random(4)
    for _ in range(30):
        architecture = tiny_space.sample(rng)
        assert measure(blocks.space.canonical(architecture), 4) == tiny_space.cost(architecture)
    mixed = next(
        architecture
        for architecture in (blocks.sample(rng) for _ in range(100))
        if any(len(set(stage.attention)) > 1 for stage in architecture.stages)
    )
    with pytest.raises(InputError, match="is not in space tiny"):
        tiny_space.space.canonical(mixed)
    with pytest.raises(KeyError):
        tiny_space.costs.cost(mixed)


def test_the_option_is_checked() -> None:
    with pytest.raises(InputError, match="attention_per: 'row' is unknown; known: stage, block"):
        dataclasses.replace(_inverted().space, attention_per="row")
    deep = dataclasses.replace(_inverted().space.stages[1], depth=(32,))
    with pytest.raises(
        InputError, match=r"attention_per: 4 attentions for each of 32 blocks of stages\[1\] are too many"
    ):
        dataclasses.replace(_inverted().space, stages=(_inverted().space.stages[0], deep))
    # As deep as it may be: more ways than a draw's 64-bit sums hold.
    deep = dataclasses.replace(deep, depth=(23,))
    space = PricedSpace(dataclasses.replace(_inverted().space, stages=(deep,)), 4)
    budget = Budget(max_macs=(space.cost(space.smallest).macs + space.cost(space.largest).macs) // 2)
    assert 2**40 < space.within(budget).count()[1] < space.count()[0]
    assert budget.allows(space.cost(space.within(budget).sample(random.Random(0))))


def test_configurations_from_before_the_option() -> None:
    data = dataclasses.asdict(named_space("mobilenetv2-32"))
    del data["attention_per"]
    assert SearchSpace.from_dict(data) == named_space("mobilenetv2-32")
    assert PricedSpace.from_dict(_inverted().to_dict()) == _inverted()


def test_imagenet_space() -> None:
    stages = priced_space("mobilenetv2")
    space = PricedSpace(dataclasses.replace(stages.space, resolution=(160, 224), attention_per="block"))
    ways = {space.space.stem_width: 1}
    for index in range(len(space.space.stages)):
        longer: Counter[int] = Counter()
        for in_width, before in ways.items():
            for shape in space.space.shapes(index, in_width):
                own = [len(space.space.programs[index].options(group)) for group in shape.groups]
                longer[shape.link.width] += before * int(np.prod(own))
        ways = longer
    total = len(space.space.resolution) * sum(ways.values())
    assert space.count() == (total, total)
    budget = Budget(max_macs=300_000_000)
    low, high = space.within(budget).count()
    assert 2**90 < low <= high < 1.01 * low < total
    rng = random.Random(0)
    table = space.within(budget).table
    drawn = [table.at(rng.randrange(table.total)) for _ in range(100)]
    assert sum(budget.allows(space.cost(architecture)) for architecture in drawn) > 90
    for architecture in (space.within(budget).sample(rng) for _ in range(20)):
        assert measure(architecture).macs <= 300_000_000
        assert space.space.choices(architecture)
