"""The found network beside the hand-designed ones: equal costs, paired tests, table, plot."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from scipy import stats

from commands.compare import beside
from reports.terminal.comparison import ComparedNetwork, comparison, comparison_table, lead
from reports.terminal.comparison_plot import plot_comparison
from search_space.architecture import Architecture, Attention
from search_space.backbones import mobilenetv2
from search_space.baselines import TOLERANCE, compared
from search_space.cost.cost import Budget, Cost, measure, piece_cost
from search_space.cost.latency import LatencyTable
from search_space.cost.priced_space import PricedSpace
from search_space.cost.space_pieces import space_pieces
from search_space.head import ClassifierHead
from search_space.parts import NO_ATTENTION
from search_space.spaces import named_space, priced_space
from studies.runs.source import Source

NETWORK = priced_space("mobilenetv2-32").smallest


def _row(
    name: str, *accuracies: float, right: list[bool] | None = None, originals: list[int] | None = None
) -> ComparedNetwork:
    return ComparedNetwork(
        name,
        NETWORK,
        Cost(1_000_000, 20_000),
        accuracies,
        (1.0,) * len(accuracies),
        () if right is None else (np.array(right),),
        None if originals is None else np.array(originals),
    )


@given(macs=st.integers(620_000, 1_700_000))
@settings(max_examples=15, deadline=None)
def test_compared_networks_cost_the_same(macs: int) -> None:
    found = compared(NETWORK, named_space("mobilenetv2-32"), macs, 10)
    assert {"uniform none", "uniform se/8"} <= found.keys()
    assert any(name.startswith("uniform ca") for name in found)
    for network in found.values():
        assert abs(measure(network, 10).macs - macs) <= TOLERANCE * macs


def test_the_papers_ratios_are_compared_where_they_are_offered() -> None:
    found = compared(mobilenetv2(), named_space("mobilenetv2"), 300_000_000, 1000)
    assert list(found) == ["uniform none", "uniform se/16", "uniform ca/16", "uniform ca/32"]
    for name, network in found.items():
        kinds = {attention for stage in network.stages for attention in stage.attention}
        wanted = NO_ATTENTION if name.endswith("none") else Attention(name[8:10], int(name[11:]))
        assert wanted in kinds
        assert kinds <= {wanted, NO_ATTENTION}


def test_an_attention_that_is_the_only_one_is_placed_and_compared_with_none() -> None:
    ca = Attention("ca", 8)
    space = named_space("mobilenetv2-32")
    space = replace(
        space,
        stages=tuple(replace(o, attention=(ca,) if len(o.attention) > 1 else o.attention) for o in space.stages),
    )
    smallest = PricedSpace(space, 10).smallest
    found = compared(smallest, space, measure(smallest, 10).macs, 10)
    assert list(found) == ["uniform none", "uniform ca/8"]
    kinds = {name: {kind for stage in network.stages for kind in stage.attention} for name, network in found.items()}
    assert kinds["uniform none"] == {NO_ATTENTION}
    assert ca in kinds["uniform ca/8"]


def test_without_a_space_it_is_the_architectures_own_shape() -> None:
    found = compared(NETWORK, None, measure(NETWORK, 10).macs, 10)
    assert {stage.depth for network in found.values() for stage in network.stages} == {
        stage.depth for stage in NETWORK.stages
    }


def test_several_seeds_are_a_paired_t_test() -> None:
    first, other = _row("a", 0.90, 0.91, 0.93), _row("b", 0.88, 0.90, 0.90)
    ahead = lead(first, other)
    assert ahead.difference == pytest.approx(0.02)
    assert ahead.p == pytest.approx(float(stats.ttest_rel(first.values, other.values).pvalue))
    interval = stats.ttest_rel(first.values, other.values).confidence_interval()
    assert ahead.half_width == pytest.approx((interval.high - interval.low) / 2)
    assert ahead.test == "paired t over 3 seeds"
    assert lead(first, first).p is None
    ahead = lead(_row("a", 0.3, 0.4), _row("b", 0.2, 0.3))  # equal differences but for rounding
    assert ahead.difference == pytest.approx(0.1)
    assert ahead.p is None
    assert ahead.half_width is None


def test_one_seed_is_mcnemars_test() -> None:
    # 30 pictures only the first gets right, 15 only the other, 55 both.
    first = [True] * 30 + [False] * 15 + [True] * 55
    other = [False] * 30 + [True] * 15 + [True] * 55
    ahead = lead(_row("a", 0.85, right=first), _row("b", 0.70, right=other))
    assert ahead.p == pytest.approx(float(stats.chi2.sf((30 - 15) ** 2 / (30 + 15), 1)))
    assert ahead.half_width is not None
    assert 0.1 < ahead.half_width < 0.2
    assert lead(_row("a", 0.85), _row("b", 0.70)).p is None


def test_pictures_of_one_original_are_no_more_than_one() -> None:
    first, other = [True] * 6 + [False] * 2 + [True] * 8, [False] * 6 + [True] * 2 + [True] * 8
    copies = 5
    originals = list(range(16)) * copies
    alone = lead(_row("a", 0.9, right=first), _row("b", 0.6, right=other))
    copied = lead(
        _row("a", 0.9, right=first * copies, originals=originals),
        _row("b", 0.6, right=other * copies, originals=originals),
    )
    assert copied.p == pytest.approx(alone.p)
    assert copied.half_width == pytest.approx(alone.half_width)
    assert copied.test == "McNemar over 80 test pictures of 16 originals, one seed"


def test_table_plot_and_file_say_the_same(tmp_path: Path) -> None:
    rows = [_row("found", 0.9248, 0.93), _row("uniform none", 0.91, 0.92)]
    console = Console(file=io.StringIO(), width=140)
    console.print(comparison_table(rows, "title"))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "92.74 ± 0.37 %" in printed
    assert "+1.24" in printed
    described = comparison(rows)
    assert described[1]["first_ahead"]["difference"] == pytest.approx(0.0124)
    plot_comparison(rows, "title", tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width > 900
    vector = (tmp_path / "plot.svg").read_text()
    assert all(f">{words}</text>" in vector for words in ("found", "uniform none", "test accuracy, %"))
    plot_comparison(rows, "title", tmp_path / "again.png")
    assert (tmp_path / "again.svg").read_text() == vector
    alone = Console(file=io.StringIO(), width=140)
    alone.print(comparison_table(rows[:1], "title"))
    assert "ahead" not in alone.file.getvalue()  # type: ignore[attr-defined]


def _beside(source: Source, chosen: int = 0) -> dict[str, Architecture]:
    head = source.priced.head if source.priced else ClassifierHead(10)
    return beside(source, head, lambda networks: chosen)


def test_what_a_found_network_is_trained_beside() -> None:
    """Those that fill the budget, those of its MACs where it leaves some, and a random one."""
    priced = priced_space("mobilenetv2-32").within(Budget(max_macs=1_200_000))
    small = Source(priced.smallest, "digits", Path("run"), priced, None)
    found = _beside(small, chosen=-1)
    full = {name: network for name, network in found.items() if name.endswith(" full")}
    assert list(full) == ["uniform none full", "uniform se/16 full", "uniform ca/16 full"]  # each kind's last ratio
    assert all(0.98 * 1_200_000 <= measure(network, 10).macs <= 1_200_000 for network in full.values())
    assert {"uniform none", "random"} <= found.keys()
    filling = Source(full["uniform none full"], "digits", Path("run"), priced, None)
    assert set(_beside(filling)) == {"uniform none full", "uniform se/4 full", "uniform ca/4 full", "random"}
    alone = Source(priced.smallest, "digits", Path("mine"), None, None)
    assert not any(name.endswith("full") or name == "random" for name in _beside(alone))


def test_without_times_no_network_is_said_to_fill_a_budget_of_latency() -> None:
    bounded = replace(priced_space("mobilenetv2-32"), budget=Budget(max_macs=1_200_000, max_latency_ns=10**6))
    names = _beside(Source(bounded.smallest, "digits", Path("run"), bounded, None))
    assert not any(name.endswith("full") or name == "random" for name in names)


@pytest.mark.parametrize(("name", "share"), [("mobilenetv2-32", 0.2), ("mobilenetv2-32", 0.6), ("mobile-32", 0.3)])
def test_under_a_latency_bound_those_that_fill_it_are_of_the_space(name: str, share: float) -> None:
    """By the run's own times: here a nanosecond for so many MACs, and some for each piece."""
    priced = priced_space(name)
    pieces = {
        key: 100 + (piece_cost(piece, size).macs + piece_cost(piece, size).elementwise) // 1000
        for key, (piece, size) in space_pieces(priced.space, priced.head).items()
    }
    timed = replace(priced, latency=LatencyTable("a clock", "none", 1, pieces))
    least, most = timed.cost(timed.cheapest("latency_ns")), timed.cost(timed.cheapest("latency_ns", -1))
    bound = round(least.latency_ns + share * (most.latency_ns - least.latency_ns))
    bounded = timed.within(Budget(max_latency_ns=bound))
    found = _beside(Source(timed.smallest, "digits", Path("run"), bounded, None))
    full = {name: network for name, network in found.items() if name.endswith(" full")}
    assert len(full) == 3
    if name == "mobile-32":  # and where the space has none that fills it, its dearest
        dear = replace(bounded, budget=Budget(max_latency_ns=2 * most.latency_ns))
        dearest = _beside(Source(timed.smallest, "digits", Path("run"), dear, None))
        assert dear.cost(dearest["uniform none full"]).macs > 1.5 * bounded.cost(full["uniform none full"]).macs
    for network in full.values():
        assert bounded.space.canonical(network) == network
        assert 0.98 * bound <= bounded.cost(network).latency_ns <= bound
    assert bounded.allows(found["random"])
