"""How well numbers are known, what they do not tell apart, and what of an outcome needs a word."""

import html
import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluators.base import Metrics, Score
from evaluators.titles import title_of
from foundation.json_files import shown
from foundation.metric import ACCURACY, Measured, Metric, corrected, described, is_corrected, read_metric
from reports.record import Record
from reports.remarks import few_steps, remarks
from reports.report import report
from reports.terminal.comparison import ComparedNetwork, comparison_table
from reports.terminal.tables import front_table
from reports.trainings import Place, Retrained
from reports.uncertainty import draw, error_of, error_of_measured, near_chance, of_share, with_error
from search_space.cost.cost import Cost
from search_space.cost.priced_space import PricedSpace
from studies.trials import Candidate

SCORE = corrected(ACCURACY)


def _record(space: PricedSpace, values: list[tuple[float, int]], name: str = "supernet", **more: Any) -> Record:
    """A run whose front has these accuracies at these MACs, of 4,000 validation pictures."""
    rng = random.Random(0)
    found = [Candidate(space.sample(rng), Cost(macs, macs), Metrics(value, 0.1)) for value, macs in values]
    recipe = {"epochs": 10, "batch_size": 64}
    identity = {
        "space": space.to_dict(),
        "budget": {"max_macs": 1_000_000},
        "evaluator": {"name": name, "recipe": recipe},
        "sampler": {"name": "tpe", "objectives": ["accuracy", "macs"]},
    }
    fields = {
        "identity": identity,
        "free": {"pictures": {"train": 12_000, "validation": 4_000}},
        "best": min(found, key=lambda one: one.merit),
        "front": tuple(found),
        "classes": tuple("abcdefghij"),
        "data": "digits",
        **more,
    }
    return Record(folder=Path("runs/mine"), **fields)


def _page(record: Record) -> str:
    return html.unescape(report(record)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_errors_of_two_sizes() -> None:
    assert with_error(ACCURACY, 0.884, of_share(0.884, 4_000)) == "88.40 ± 0.51 %"
    assert 100 * of_share(0.7, 90) == pytest.approx(4.83, abs=0.01)
    assert with_error(ACCURACY, 0.884, None) == "88.40 %"
    assert of_share(1.0, 100) == pytest.approx(0.007, abs=0.001)  # all of a hundred is no certainty


@settings(deadline=None)
@given(st.floats(0.02, 0.98), st.integers(50, 5_000))
def test_the_error_is_that_of_a_binomial(share: float, pictures: int) -> None:
    assert of_share(share, pictures) == pytest.approx(stats.binom(pictures, share).std() / pictures)


def test_a_corrected_score_moves_as_its_accuracy_does() -> None:
    """Against draws of the pictures: the correction stays, the accuracy varies."""
    rng, pictures, shift = np.random.default_rng(0), 4_000, 1.3

    def score(right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        odds = np.log((right + 0.5) / (pictures - right + 0.5)) + shift
        return 1 / (1 + np.exp(-odds))

    drawn = score(rng.binomial(pictures, 0.85, 20_000).astype(float))
    measured = Measured(SCORE, float(score(np.array([0.85 * pictures]))[0]), {"accuracy": 0.85, "loss": 0.5})
    assert error_of_measured(measured, pictures) == pytest.approx(float(drawn.std()), rel=0.03)


@pytest.mark.parametrize("metric", [Metric("mean_iou", "%", 100.0, 2), Metric("return"), Metric("naswot")])
def test_no_error_is_guessed(metric: Metric) -> None:
    assert error_of(metric, 0.5, 4_000) is None
    assert error_of(ACCURACY, 0.5, None) is None
    assert error_of_measured(Score("naswot", 3.0), 4_000) is None


def test_what_is_measured_on_no_pictures_has_no_error(tiny_space: PricedSpace) -> None:
    assert _record(tiny_space, [(0.8, 5)]).scored_pictures == 4_000
    assert _record(tiny_space, [(0.8, 5)], "tabular").scored_pictures is None
    before = _record(tiny_space, [(0.8, 5)])  # a corrected score that is called accuracy, as runs had it before
    evaluator = {"name": "supernet", "prior": {"score": "progressivity"}}
    assert replace(before, identity={**before.identity, "evaluator": evaluator}).scored_pictures is None
    for broken in (None, {"validation": "4000"}, {"validation": -1}, 3):
        assert _record(tiny_space, [(0.8, 5)], free={"pictures": broken}).scored_pictures is None, shown(broken)


def test_a_corrected_score_is_no_accuracy() -> None:
    assert is_corrected(SCORE)
    assert not is_corrected(ACCURACY)
    assert SCORE.written(0.99492) == "0.9949"
    assert SCORE.beside == ("accuracy", "loss")
    assert read_metric(json.loads(json.dumps(described(SCORE)))) == SCORE
    title = title_of({"name": "supernet", "prior": {"score": "progressivity"}}, SCORE)
    assert title.number == "score"
    words = "corrected by a score of the untrained network (progressivity)"
    assert title.figure == f"score in the search: accuracy {words}"
    assert title.meaning == f"validation accuracy with shared weights, {words}"
    errors = corrected(Metric("error", "px", decimals=1, higher_is_better=False))
    assert (errors.name, errors.unit, errors.higher_is_better) == ("score", "", False)
    assert corrected(Metric("score")).name == "corrected score"


def test_what_cannot_be_told_from_the_best_is_marked(tiny_space: PricedSpace) -> None:
    """Of 4,000 pictures 88.4 % is known to half a point, so the difference of two to seven tenths."""
    record = _record(tiny_space, [(0.80, 100), (0.878, 300), (0.879, 500), (0.884, 900)])
    digests = [one.architecture.digest() for one in record.front]
    found = draw(record.front, record.scored_pictures)
    assert found is not None
    assert found.best == digests[3]
    assert found.digests == frozenset(digests[1:])
    assert found.smallest == digests[1]
    page = _page(record)
    assert "2 of them cannot be told from the best score" in page
    assert "smallest of these is network 2." in page
    assert page.count("a draw, the smallest") == 1
    assert "88.40 ± 0.51 %" in page
    assert page.count('class="member alike"') == 3
    assert page.count('class="error"') == 4
    table = front_table(record.front, "a front", {digest: 10 + i for i, digest in enumerate(digests)}, 4_000)
    assert "2 cannot be told from the best" in str(table.caption)
    assert "trial 11, 300 MACs" in str(table.caption)
    assert "88.40 ± 0.51 %" in list(table.columns[1].cells)
    alone = _record(tiny_space, [(0.80, 100), (0.884, 900)])
    assert draw(alone.front, 4_000) is None
    assert draw(alone.front, None) is None
    assert "beside the best" not in _page(alone)
    assert "member alike" not in _page(alone)


@pytest.mark.parametrize(("accuracy", "near"), [(0.105, True), (0.109, True), (0.112, False), (0.5, False)])
def test_an_accuracy_near_chance_is_said(tiny_space: PricedSpace, accuracy: float, near: bool) -> None:
    assert near_chance(accuracy, 4_000, 10) == near
    said = remarks(_record(tiny_space, [(accuracy, 900_000)]))
    assert any("not told from guessing one of 10 classes (10.00 %)" in one for one in said) == near
    assert any("--supernet-epochs 40" in one for one in said) == near


@pytest.mark.parametrize(("epochs", "pictures", "says"), [(2, 12_000, 374), (1, 128, 2), (3, 12_000, None)])
def test_few_steps_are_said_with_the_flag(epochs: int, pictures: int, says: int | None) -> None:
    for name in ("supernet", "anchored"):
        recipe: dict[str, Any] = {"name": "supernet", "recipe": {"epochs": epochs, "batch_size": 64}}
        said = few_steps(recipe if name == "supernet" else {"name": name, "supernet": recipe}, pictures)
        if says is None:
            assert said is None
            continue
        assert said is not None
        assert f"have {says} training steps" in said
        wanted = int(said.split("--supernet-epochs ")[1].split()[0])
        assert few_steps({"name": "supernet", "recipe": {"epochs": wanted, "batch_size": 64}}, pictures) is None
    assert few_steps({"name": "tabular"}, 100) is None
    begun = {"name": "supernet", "init": "torchvision", "recipe": {"epochs": 1, "batch_size": 64}}
    assert few_steps(begun, 12_000) is None
    assert (
        few_steps({"name": "supernet", "weights": "of another run", "recipe": {"epochs": 1, "batch_size": 9}}, 9)
        is None
    )


BUDGET = "of the budget"


@pytest.mark.parametrize(("share", "says"), [(0.86, False), (0.62, True)])
@pytest.mark.parametrize("times", [1, 100])  # of a budget that no network reaches what there is counts
def test_a_winner_far_below_its_budget_is_commented(
    tiny_space: PricedSpace, share: float, says: bool, times: int
) -> None:
    most = tiny_space.cost(tiny_space.largest).macs
    macs = round(share * most)
    budget = {"max_macs": times * most}
    alone = _record(tiny_space, [(0.8, macs)])  # nothing larger was looked at
    assert not [one for one in remarks(replace(alone, identity={**alone.identity, "budget": budget})) if BUDGET in one]
    record = _record(tiny_space, [(0.8, macs), (0.7, most)])
    record = replace(record, identity={**record.identity, "budget": budget})
    said = [one for one in remarks(record) if BUDGET in one]
    assert bool(said) == says
    if says:
        assert "takes 62 % of the budget of MACs" in said[0]
        assert "The best takes 62 % of the budget of MACs" in _page(record)
    # The bound that it is nearest to counts.
    both = replace(record, identity={**record.identity, "budget": {"max_macs": most, "max_params": 1}})
    assert not [one for one in remarks(both) if BUDGET in one]


def test_a_single_seed_has_the_error_of_its_pictures(tiny_space: PricedSpace) -> None:
    record = _record(tiny_space, [(0.8, 900_000)])
    assert record.best is not None
    trained = Retrained("found", record.best.architecture, record.best.cost, 0, 0.884)
    page = _page(replace(record, retrained=(trained,), places={"retrain": Place(pictures=4_000)}))
    assert "88.40 ± 0.51 %" in page
    right = np.arange(90) < 60
    row = ComparedNetwork("found", record.best.architecture, record.best.cost, (60 / 90,), (1.0,), (right,))
    assert list(comparison_table([row], "").columns[1].cells) == ["66.67 ± 4.97 %"]
    assert math.isclose(of_share(60 / 90, 90), 0.0497, abs_tol=1e-4)
