"""A supernet's accuracies corrected by a zero-cost score."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import search
from evaluators.prior import REFERENCE, Prior
from evaluators.ranking import kendall
from evaluators.supernet import Scoring, SupernetEvaluator, SupernetRecipe
from evaluators.zero_cost import Batch, Scorer
from evaluators.zero_cost.registry import _REGISTRY, ScoreFunction
from search_space.architecture import Architecture
from search_space.cost import Budget
from search_space.errors import InputError
from search_space.space import SearchSpace
from training.data import Dataset, load_data
from training.progress import Reporter

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 24, torch.device("cpu"))


@pytest.fixture
def scorer(tiny_space: SearchSpace, data: Dataset) -> Scorer:
    return Scorer(tiny_space, Budget(), data, 0, Batch(size=8, reference=12))


def _counted(monkeypatch: pytest.MonkeyPatch, function: ScoreFunction) -> None:
    monkeypatch.setitem(_REGISTRY, "counted", function)


def test_each_counts_by_its_own_spread(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score in other units corrects alike, and what sees the other half of the truth helps."""
    values = {network.digest(): random.Random(network.digest()).gauss(0, 1) for network in scorer.sample()}
    hidden = {digest: random.Random(digest + "hidden").gauss(0, 1) for digest in values}
    corrected = []
    for unit in (1.0, 1000.0):
        _counted(monkeypatch, lambda network, *_, unit=unit: 5 + unit * values[network.architecture.digest()])
        folder = tmp_path / str(unit)
        folder.mkdir()
        prior = Prior("counted", scorer, folder)
        prior.prepare(lambda network: 0.5 + 0.02 * hidden[network.digest()], QUIET)
        networks = scorer.sample()
        corrected.append([prior.corrected(a, 0.5 + 0.02 * hidden[a.digest()]) for a in networks])
    assert corrected[0] == pytest.approx(corrected[1])
    digests = [network.digest() for network in scorer.sample()]
    truth = [hidden[digest] + values[digest] for digest in digests]
    assert kendall(corrected[0], truth) > kendall([hidden[digest] for digest in digests], truth)
    # The budget's networks keep their mean accuracy, and the correction its spread.
    plain = np.array([0.5 + 0.02 * hidden[digest] for digest in digests])
    correction = np.array(corrected[0]) - plain
    assert correction.mean() == pytest.approx(0, abs=1e-9)
    assert correction.std() == pytest.approx(plain.std())


def test_what_does_not_differ_corrects_nothing(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _counted(monkeypatch, lambda *_: 3.0)
    prior = Prior("counted", scorer, tmp_path)
    prior.prepare(lambda network: 0.25, QUIET)
    assert prior.corrected(scorer.space.smallest, 0.75) == 0.75


def test_accuracies_stay_accuracies(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _counted(monkeypatch, lambda network, *_: float(sum(p.numel() for p in network.parameters())))
    prior = Prior("counted", scorer, tmp_path)
    prior.prepare(lambda network: random.Random(network.digest()).random(), QUIET)
    assert 0 <= prior.corrected(scorer.space.smallest, 0.0) <= prior.corrected(scorer.space.largest, 1.0) == 1


def test_references_are_scored_once(scorer: Scorer, tmp_path: Path) -> None:
    asked: list[Architecture] = []

    def accuracy(network: Architecture) -> float:
        asked.append(network)
        return len(asked) / 100

    first, again = (Prior("progressivity", scorer, tmp_path) for _ in range(2))
    first.prepare(accuracy, QUIET)
    again.prepare(accuracy, QUIET)
    assert len(asked) == 12
    network = scorer.space.smallest
    assert again.corrected(network, 0.5) == first.corrected(network, 0.5) != 0.5
    (tmp_path / REFERENCE).write_text('{"accuracy": [0.5], "score": [1.0]}')
    with pytest.raises(InputError, match=rf"{REFERENCE}: not the scores of 12 reference networks; remove it"):
        Prior("progressivity", scorer, tmp_path).prepare(accuracy, QUIET)


def test_an_unknown_prior() -> None:
    with pytest.raises(InputError, match=r"--prior best: unknown; known: none, az_nas, "):
        search.main(["--prior", "best", "--dry-run", "--quiet"])


def test_draws_are_averaged(tiny_space: SearchSpace, data: Dataset) -> None:
    network = tiny_space.smallest
    once, more = (Scorer(tiny_space, Budget(), data, 0, Batch(size=8, draws=draws)) for draws in (1, 3))
    singles = [more._drawn(network, "progressivity", draw) for draw in range(3)]
    assert len(set(singles)) == 3
    assert once.score(network, "progressivity") == singles[0]
    assert more.score(network, "progressivity") == pytest.approx(np.mean(singles))
    assert more.score(network, "params") == once.score(network, "params")


def test_a_supernets_scores(tiny_space: SearchSpace, data: Dataset, scorer: Scorer, tmp_path: Path) -> None:
    def evaluator(prior: Prior | None) -> SupernetEvaluator:
        return SupernetEvaluator(
            tiny_space,
            data,
            SupernetRecipe(epochs=1, batch_size=16, learning_rate=0.05),
            Scoring(calibration=16, validation=14, batch_size=16),
            seed=0,
            folder=tmp_path,
            reporter=QUIET,
            prior=prior,
        )

    plain, corrected = evaluator(None), evaluator(Prior("progressivity", scorer, tmp_path))
    plain.prepare()
    corrected.prepare()
    assert corrected.prior is not None
    for network in (tiny_space.smallest, tiny_space.largest):
        shared, found = plain.evaluate(network), corrected.evaluate(network)
        assert found.loss == shared.loss
        assert found.accuracy == corrected.prior.corrected(network, shared.accuracy)
    assert plain.identity() != corrected.identity()
    assert "corrected by progressivity" in corrected.about()
