"""Supernet scores corrected by networks trained by themselves."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import evaluators.proxy.evaluator as proxy
from commands import search
from commands.presets import PRESETS
from evaluators.ranking import kendall
from evaluators.supernet.anchored import FOLDER, AnchoredEvaluator, Anchoring, AnchorSettings
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.settings import Scoring, SupernetRecipe
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.cost.cost import Budget
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from training.data.datasets import Dataset, load_data
from training.recipe import Recipe

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 24, torch.device("cpu"))


def _evaluator(space: PricedSpace, data: Dataset, folder: Path, count: int = 10) -> AnchoredEvaluator:
    folder.mkdir(exist_ok=True)
    supernet = SupernetEvaluator(
        space.within(Budget(max_macs=space.cost(space.largest).macs)),
        data,
        SupernetRecipe(epochs=1, batch_size=16, learning_rate=0.05),
        Scoring(calibration=16, validation=14, batch_size=16),
        seed=0,
        folder=folder,
        reporter=QUIET,
    )
    return AnchoredEvaluator(supernet, AnchorSettings(count, Recipe(epochs=1, batch_size=16, learning_rate=0.05)))


def test_both_together_rank_better_than_either() -> None:
    """Where each sees a part of the truth that the other does not."""
    space = priced_space("mobilenetv2-32")
    rng = random.Random(0)
    networks = [space.sample(rng) for _ in range(240)]
    seen = np.array([sum(stage.expansion for stage in network.stages) for network in networks], dtype=float)
    hidden = np.random.default_rng(0).normal(size=len(networks)) * seen.std()
    truth = 0.8 + 0.01 * (seen - seen.mean()) + 0.01 * hidden
    scores = 0.5 + 0.02 * hidden
    anchoring = Anchoring(space, networks[:100]).fit(networks[:40], list(scores[:40]), list(truth[:40]))
    rest = slice(40, None)
    both = anchoring.predict(networks[rest], list(scores[rest]))
    alone, _ = anchoring.predictor.predict(networks[rest])
    assert kendall(both, truth[rest]) > kendall(scores[rest], truth[rest]) + 0.05
    assert kendall(both, truth[rest]) > kendall(alone, truth[rest]) + 0.05
    assert float(np.abs(both - truth[rest]).mean()) < float(np.abs(truth[rest] - truth[rest].mean()).mean())


def test_scores_that_say_nothing_leave_the_regression() -> None:
    space = priced_space("mobilenetv2-32")
    rng = random.Random(0)
    networks = [space.sample(rng) for _ in range(60)]
    truth = [space.cost(network).macs / 2e6 for network in networks]
    anchoring = Anchoring(space, networks).fit(networks[:30], [0.1] * 30, truth[:30])
    predicted = anchoring.predict(networks[30:], [0.1] * 30)
    alone, _ = anchoring.predictor.predict(networks[30:])
    assert kendall(predicted, alone) > 0.95  # not 1: accuracies end at 1
    assert ((predicted >= 0) & (predicted <= 1)).all()
    flat = Anchoring(space, networks).fit(networks[:30], [0.1] * 30, [0.5] * 30).predict(networks[30:], [0.1] * 30)
    assert flat == pytest.approx([0.5] * 30)


def test_anchors_are_trained_once_and_scores_are_the_architectures(
    tiny_space: PricedSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[nn.Module] = []
    plain = proxy.LabelStep

    def recorded(network: nn.Module, *rest: Any) -> Any:
        trained.append(network)
        return plain(network, *rest)

    monkeypatch.setattr(proxy, "LabelStep", recorded)
    first = _evaluator(tiny_space, data, tmp_path)
    first.prepare()
    assert len(trained) == len({anchor.digest() for anchor in first.anchors}) == 10
    assert (tmp_path / FOLDER / "proxy.json").exists()
    assert not list((tmp_path / FOLDER).glob("proxy/*"))
    asked = [tiny_space.sample(random.Random(index)) for index in range(5)]
    scores = [first.evaluate(architecture) for architecture in asked]
    again = _evaluator(tiny_space, data, tmp_path)
    again.prepare()
    assert len(trained) == 10
    assert [again.evaluate(architecture) for architecture in reversed(asked)][::-1] == scores
    assert again.identity() == first.identity()
    assert first.identity() != _evaluator(tiny_space, data, tmp_path / "other", 11).identity()


def test_a_killed_run_goes_on_with_its_anchors(
    tiny_space: PricedSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _evaluator(tiny_space, data, tmp_path / "whole")
    whole.prepare()
    killed = _evaluator(tiny_space, data, tmp_path / "killed")
    trained = 0
    plain = killed.training.rung

    def dying(*arguments: Any) -> Any:
        nonlocal trained
        trained += 1
        if trained == 4:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(killed.training, "rung", dying)
    with pytest.raises(KeyboardInterrupt):
        killed.prepare()
    again = _evaluator(tiny_space, data, tmp_path / "killed")
    again.prepare()
    architecture = tiny_space.smallest
    assert again.evaluate(architecture) == whole.evaluate(architecture)


def test_too_few_anchors_are_refused() -> None:
    with pytest.raises(InputError, match="`anchors` 9: expected 0, or at least 10"):
        AnchorSettings(9, Recipe())


@pytest.mark.usefixtures("few_references")
def test_the_command(picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digits = PRESETS["digits"]
    monkeypatch.setitem(PRESETS, "digits", replace(digits, anchor=digits.anchor.lasting(1)))
    flags = ["--supernet-epochs", "1", "--batch-size", "16", "--trials", "4", "--startup", "2", "--quiet"]
    search.main(["--data", f"folder:{picture_folder}", "--anchors", "10", "--out", "run", *flags])
    assert (tmp_path / "run" / "best.json").exists()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "validation accuracy, as expected of own training" in page
    flags_told = "--supernet-epochs 1 --batch-size 16 --anchors 10"
    assert flags_told in page
    with pytest.raises(InputError, match=r"holds another run: `anchors` is 10 there and 11 here"):
        search.main(["--data", f"folder:{picture_folder}", "--anchors", "11", "--out", "run", *flags])
