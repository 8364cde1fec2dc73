"""Stages that a search may leave out: counted, drawn, priced, read and refused like everything else."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.metric import ACCURACY, Measured
from reports import analysis
from search_space import Architecture, Attention, Budget, InputError, build
from search_space.baselines import compared
from search_space.cost.cost import Cost, measure, piece_cost
from search_space.cost.encoding import encoding
from search_space.cost.latency import LatencyTable
from search_space.cost.priced_space import PricedSpace
from search_space.cost.space_pieces import space_pieces
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.baselines import alike, uniform
from search_space.families.mobile.network import MobileNetwork
from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.stage_options import StageOptions
from search_space.parts import NO_ATTENTION
from search_space.space_file import read_space
from search_space.variation import crossover, mutate
from studies.trials import Candidate


def _stage(stride: int, width: tuple[int, ...], depth: tuple[int, ...]) -> StageOptions:
    attention = (NO_ATTENTION, Attention("ca", 4))
    return StageOptions("inverted_residual", stride, width, depth, (2, 3), (3,), attention)


@pytest.fixture(scope="module")
def space() -> PricedSpace:
    """Three of four stages may be left out; from one state some widths can follow that from another cannot."""
    rows = ((1, (8, 12), (0, 1)), (2, (16,), (1, 2)), (1, (20, 24), (0, 1)), (1, (32,), (2, 0)))
    stages = tuple(_stage(*row) for row in rows)
    return PricedSpace(MobileSpace("gaps", (32, 48), 8, 2, stages, 64, "relu6"), 10)


def test_every_network_once_at_its_exact_cost(space: PricedSpace) -> None:
    everything = list(space.space.enumerate())
    # Of each stage: left out, or widths × expansions × attentions, by depth.
    assert len(everything) == 2 * (1 + 8) * (4 * 2) * (1 + 8) * (1 + 4) == len(set(everything))
    assert space.count() == (len(everything), len(everything))
    for architecture in random.Random(0).sample(everything, 100):
        assert space.cost(architecture) == measure(architecture, 10)
        assert space.space.canonical(architecture) == architecture
        assert Architecture.from_json(architecture.to_json()) == architecture


@pytest.fixture(scope="module")
def costs(space: PricedSpace) -> dict[Architecture, Cost]:
    """Of every network of the space."""
    return {one: space.cost(one) for one in space.space.enumerate()}


@settings(max_examples=12, deadline=None)
@given(share=st.floats(0.0, 1.1), params=st.booleans())
def test_exactly_those_within_a_budget_are_counted_and_drawn(
    space: PricedSpace, costs: dict[Architecture, Cost], share: float, params: bool
) -> None:
    least, most = space.cost(space.smallest), space.cost(space.largest)
    budget = Budget(
        round(least.macs + share * (most.macs - least.macs)), most.params // 2 + least.params if params else None
    )
    within = {one for one, cost in costs.items() if budget.allows(cost)}
    bounded = space.within(budget)
    low, high = bounded.count()
    assert low <= len(within) <= high
    if not params:
        assert low == high
    rng = random.Random(1)
    assert {bounded.sample(rng) for _ in range(200)} <= within
    assert set(bounded.table.all()) == within


def test_largest_and_smallest(space: PricedSpace) -> None:
    def choose(_: str, options: Sequence[Any]) -> Any:
        return options[0]

    largest, smallest = (space.space.extreme(choose, largest=size) for size in (True, False))
    assert [row.depth for row in largest.stage_rows()] == [1, 2, 1, 2]
    assert [row.depth for row in smallest.stage_rows()] == [0, 1, 0, 0]
    assert smallest == space.smallest


def test_variation_leaves_stages_out_and_puts_them_in(space: PricedSpace) -> None:
    rng = random.Random(2)
    one, other = space.largest, space.smallest
    depths = set()
    for _ in range(200):
        one, other = mutate(space, one, rng, rate=0.3), crossover(space, one, other, rng)
        depths |= {tuple(row.depth for row in network.stage_rows()) for network in (one, other)}
    assert {(0, 1, 0, 0), (1, 2, 1, 2)} <= depths


def test_codes_keep_costs_and_networks(space: PricedSpace) -> None:
    rng = random.Random(3)
    networks = [space.sample(rng) for _ in range(100)]
    codes = encoding(space).encode(networks)
    assert [encoding(space).decode(code) for code in codes] == networks
    assert encoding(space).costs(codes)[:, 0].tolist() == [space.cost(one).macs for one in networks]
    assert torch.tensor(encoding(space).features(codes)).isfinite().all()


def test_a_network_without_a_stage_computes_what_stands_before_it(space: PricedSpace) -> None:
    smallest = space.smallest
    network = build(smallest, 10).eval()
    images = torch.randn(2, 3, 32, 32)
    assert isinstance(network, MobileNetwork)
    stem = network.stemmed(images)
    assert torch.equal(network.stages[0](stem), stem)
    assert [one.channels for one in network.info] == [8, 16]
    program = torch.export.export(network, (images,)).module()
    assert torch.equal(network(images), program(images))


def test_hand_designed_networks_have_no_empty_stage(space: PricedSpace) -> None:
    assert isinstance(space.space, MobileSpace)
    assert [stage.depth for stage in uniform(space.space, Attention("ca", 4)).stages] == [1]
    assert isinstance(space.smallest, MobileArchitecture)
    assert [stage.width for stage in alike(space.smallest, Attention("ca", 4), 2.0).stages] == [32]


def test_under_a_latency_bound_hand_designed_networks_are_of_the_space(space: PricedSpace) -> None:
    """Also where the middle network has none of a stage."""
    priced = {
        key: 100 + piece_cost(piece, size).macs // 100
        for key, (piece, size) in space_pieces(space.space, space.head).items()
    }
    timed = replace(space, latency=LatencyTable("a clock", "none", 1, priced))
    # Few networks: often none fills the bound, and the nearest below is taken.
    for bound in range(timed.cost(timed.smallest).latency_ns * 11 // 10, timed.cost(timed.largest).latency_ns, 1500):
        budget = Budget(max_latency_ns=bound)
        found = compared(timed.smallest, space.space, budget, space.head, latency=timed.latency, every_ratio=True)
        assert set(found) == {"uniform none", "uniform ca/4"}
        for network in found.values():
            assert space.space.canonical(network) == network
            assert [row.depth > 0 for row in network.stage_rows()] == [False, True, False, False]
            assert timed.cost(network).latency_ns <= bound


def test_reports_take_both(space: PricedSpace) -> None:
    rng = random.Random(4)
    found = [space.sample(rng) for _ in range(80)]
    candidates = [Candidate(one, space.cost(one), Measured(ACCURACY, rng.random(), {"loss": 0.0})) for one in found]
    assert analysis.importances(candidates)
    assert any(analysis.effects(candidates, lambda attention: attention.label))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depth = [0, 1]", "depth = [-1, 1]", "line 9: stage[0].depth: expected integers from 0 to 32, got -1"),
        ("stride = 1", "stride = 2", "line 9: stage[0].depth: a stage of stride 2 cannot be left out"),
    ],
)
def test_a_file_offers_it(tmp_path: Any, old: str, new: str, message: str) -> None:
    text = """name = "gaps"
resolution = [32]
activation = "relu6"
stem = { width = 8, stride = 2 }

[[stage]]
block = "inverted_residual"
stride = 1
depth = [0, 1]
width = [8]
expansion = [2]
kernel_size = [3]
attention = ["none"]
"""
    path = tmp_path / "gaps.toml"
    path.write_text(text)
    assert len(list(read_space(str(path)).enumerate())) == 2
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_space(str(path))
    assert message in str(caught.value)


def test_another_width_before_it_is_refused(space: PricedSpace) -> None:
    smallest: Any = space.smallest
    wider = (replace(smallest.stages[0], width=12), *smallest.stages[1:])
    with pytest.raises(InputError, match=r"stages\[0\].width: expected 8, as before the stage, which is left out"):
        replace(smallest, stages=wider)
