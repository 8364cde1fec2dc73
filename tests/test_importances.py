"""How much each decision matters: of stages, and of blocks where these differ."""

import random
from dataclasses import replace

import pytest

from foundation.metric import ACCURACY, Measured
from reports import analysis
from search_space.architecture import Attention
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from studies.trials import Candidate
from tests.report_records import candidates as _candidates


def test_importances_find_what_was_planted(tiny_space: PricedSpace) -> None:
    found = analysis.importances(_candidates(tiny_space, 150))
    for field in ("fanova", "ped_anova"):
        shares = {(one.stage, one.decision): getattr(one, field) for one in found}
        assert sum(shares.values()) == pytest.approx(1)
        assert max(shares, key=lambda key: shares[key]) == (2, "attention")


def test_blocks_that_differ_are_decisions_of_their_own() -> None:
    """Each by itself: all of a stage's together are a name for nearly every candidate, which fANOVA never ends with."""
    space = priced_space("t2t-32")
    rng = random.Random(0)
    found = []
    for architecture in (space.sample(rng) for _ in range(120)):
        second = architecture.stage_rows()[3].attention[1]
        measured = Measured(ACCURACY, 0.5 + 0.1 * (second.kind == "ca") + rng.gauss(0, 0.01), {"loss": 1.0})
        found.append(Candidate(architecture, space.cost(architecture), measured))
    for field in ("fanova", "ped_anova"):
        shares = {(one.stage, one.decision): getattr(one, field) for one in analysis.importances(found)}
        assert max(shares, key=lambda key: shares[key]) == (4, "attention of block 2")
        assert (4, "attention") not in shares


def test_decisions_have_the_same_names_in_every_row(tiny_space: PricedSpace) -> None:
    rng = random.Random(1)
    rows = analysis.decisions([tiny_space.sample(rng) for _ in range(20)])
    assert len({tuple(row) for row in rows}) == 1
    assert {name.partition(" ")[2] for name in rows[0]} >= {"attention", "width", "depth", "kernel"}
    assert not any("block" in name for name in rows[0])


def test_options_are_in_order() -> None:
    labels = [Attention("se", 16).label, Attention("se", 4).label, Attention("ca", 8).label, Attention("none").label]
    assert analysis.in_order(labels) == ["–", "ca/8", "se/4", "se/16"]
    assert analysis.in_order(["24", "8", "16", "–", "8"]) == ["–", "8", "16", "24"]


def test_decisions_of_thinned_out_candidates_are_named_as_those_of_all(
    tiny_space: PricedSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage has its attention by block where a single candidate's blocks differ, also one that is left out."""
    found = _candidates(tiny_space, 40)
    stages = found[1].architecture.stages
    mixed = replace(stages[1], attention=(Attention("ca", 8), Attention("none")))
    found[1] = replace(found[1], architecture=replace(found[1].architecture, stages=(stages[0], mixed, *stages[2:])))
    monkeypatch.setattr(analysis, "MOST_IMPORTANT", 20)
    names = set(analysis.decisions([one.architecture for one in found])[0])
    assert {f"{one.stage} {one.decision}" for one in analysis.importances(found)} <= names
