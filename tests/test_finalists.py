"""Finalists: which are chosen, that their trainings are the retraining's own, and that a killed one ends alike."""

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.compare import Contest, Foreseen
from commands.planning import plan_finalists
from commands.presets import PRESETS
from commands.recipes import RECIPES
from commands.search_settings import SearchSettings, settings_of
from evaluators import finalists as training_of_finalists
from evaluators.base import Metrics
from evaluators.finalists import FinalistSettings, FinalistTraining, begun
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space import Architecture, Budget, InputError
from search_space.cost.priced_space import PricedSpace
from search_space.first_weights import SCRATCH, TORCHVISION, FirstWeights
from search_space.spaces import named_space, priced_space
from studies.finalists import UNLIKE, finalists, trained, winner, write_finalists
from studies.front import filling, promising
from studies.trials import Candidate
from tasks.classification.room import CLASSIFICATION
from training import standalone
from training.checkpoint import load_weights
from training.data.datasets import Dataset, load_data
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import train_standalone

Launched = Callable[..., subprocess.CompletedProcess[str]]
QUIET = Reporter(quiet=True)
RECIPE = Recipe(epochs=5, batch_size=16, learning_rate=0.1)


class Killed(BaseException):
    pass


class Telling(Reporter):
    """Keeps what it is to say."""

    def __init__(self, quiet: bool = False):
        super().__init__(quiet)
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 24, torch.device("cpu"))


def _candidates(priced: PricedSpace, count: int, seed: int = 0) -> list[Candidate]:
    rng = random.Random(seed)
    drawn = dict.fromkeys(priced.sample(rng) for _ in range(count))
    return [
        Candidate(one, priced.cost(one), Measured(ACCURACY, round(rng.random(), 3), {"loss": 1.0})) for one in drawn
    ]


def _training(data: Dataset, folder: Path, count: int = 4) -> FinalistTraining:
    chosen = FinalistSettings(count, RECIPE)
    return FinalistTraining(lambda side: data, len(data.train), CLASSIFICATION, chosen, folder, QUIET)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12))
def test_finalists_are_unlike_and_most_of_them_fill_the_budget(seed: int, count: int) -> None:
    priced = priced_space("mobilenetv2-32").within(Budget(max_macs=1_200_000))
    candidates = _candidates(priced, 40, seed)
    chosen = finalists(candidates, priced.space, priced.budget, count)
    assert len(chosen) == count == len({one.architecture for one in chosen})
    full = filling(candidates, priced.budget)
    assert chosen[0] == min(full, key=lambda one: one.merit)
    assert sum(one in full for one in chosen) >= min(count - count // 8, len(full))
    made = [priced.space.choices(one.architecture) for one in chosen]
    for index, own in enumerate(made):
        for other in made[:index]:
            names = own.keys() | other.keys()
            unlike = sum(own.get(name, "none") != other.get(name, "none") for name in names)
            assert unlike >= UNLIKE * len(names)


@pytest.mark.parametrize(("count", "small"), [(1, 0), (7, 0), (8, 1), (16, 2)])
def test_one_finalist_of_eight_may_be_small(count: int, small: int) -> None:
    priced = priced_space("mobilenetv2-32").within(Budget(max_macs=1_200_000))
    flattered = [  # as shared weights do
        replace(one, measured=Measured(ACCURACY, 1 - one.cost.macs / 2e6, {"loss": 1.0}))
        for one in _candidates(priced, 120)
    ]
    full = filling(flattered, priced.budget)
    assert len(full) > 16
    chosen = finalists(flattered, priced.space, priced.budget, count)
    assert sum(one not in full for one in chosen) == small


def test_where_all_are_alike_the_best_are_taken(tiny_space: PricedSpace) -> None:
    candidates = _candidates(tiny_space, 6)[:3]
    chosen = finalists(candidates, tiny_space.space, Budget(max_macs=10**9), 8)
    assert sorted(one.merit for one in chosen) == sorted(one.merit for one in candidates)


def test_those_that_fill_the_budget_are_among_the_promising() -> None:
    priced = priced_space("mobilenetv2-32").within(Budget(max_macs=1_200_000))
    candidates = _candidates(priced, 60)
    # Scores that flatter small networks, as shared weights do.
    candidates = [
        replace(one, measured=Measured(ACCURACY, 1 - one.cost.macs / 2e6, {"loss": 1.0})) for one in candidates
    ]
    full = filling(candidates, priced.budget)
    best = sorted(full, key=lambda one: one.merit)[:3]
    assert not set(map(id, best)) & set(map(id, promising(candidates, 12)[:6]))
    assert set(map(id, best)) <= set(map(id, promising(candidates, 12, budget=priced.budget)))


@pytest.mark.parametrize(
    ("count", "epochs"), [(1, (2,)), (3, (2,)), (4, (2, 4)), (7, (2, 4)), (8, (2, 4, 5)), (16, (2, 4, 5))]
)
def test_no_rung_for_one_alone(count: int, epochs: tuple[int, ...]) -> None:
    assert FinalistSettings(count, RECIPE).halving.epochs == epochs


@pytest.mark.parametrize(("count", "last"), [(4, 4), (8, 5)])
def test_a_training_in_parts_is_the_retrainings_own(
    data: Dataset, tiny_space: PricedSpace, tmp_path: Path, count: int, last: int
) -> None:
    network = tiny_space.largest
    training = _training(data, tmp_path / "run", count)
    values = [training.rung(network, rung) for rung in range(len(training.halving.epochs))]
    assert all(0 <= value.value <= 1 for value in values)
    (place,) = begun(tmp_path / "run", network)
    assert len((place / "metrics.jsonl").read_text().splitlines()) == last

    told = Telling(quiet=True)
    said = told.said
    whole = _whole(data, network, tmp_path / "whole", told, [])
    gone_on = _whole(data, network, tmp_path / "gone-on", told, [place])
    assert [line for line in said if "goes on" in line] == [f"found: goes on from where {place} has it"]
    assert gone_on.test.measured == whole.test.measured
    _same(tmp_path / "whole", tmp_path / "gone-on")
    events = [path.name for path in (place / "tensorboard").iterdir()]
    gone = {path.name for path in (tmp_path / "gone-on" / "tensorboard").iterdir()} - set(events)
    assert bool(gone) == (last < RECIPE.epochs)  # a training that is whole is only tested
    said.clear()
    (tmp_path / "torn").mkdir()  # a kill while it was taken over
    for name in ("metrics.jsonl", "weights.safetensors"):
        shutil.copy(place / name, tmp_path / "torn")
    _whole(data, network, tmp_path / "torn", told, [place])
    assert any("goes on" in line for line in said)
    _same(tmp_path / "whole", tmp_path / "torn")
    said.clear()
    _whole(data, network, tmp_path / "other", told, [place], seed=1)  # another seed is another training
    assert not any("goes on" in line for line in said)


def _whole(data: Dataset, network: Any, folder: Path, reporter: Reporter, places: list[Path], seed: int = 0) -> Any:
    return train_standalone(
        network,
        data,
        Procedure(RECIPE, CLASSIFICATION),
        seed=seed,
        folder=folder,
        reporter=reporter,
        what="found",
        begun=places,
    )


def _same(one: Path, other: Path) -> None:
    first, second = (load_weights(folder / "weights.safetensors")[0] for folder in (one, other))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_killed_finalist_ends_alike(
    data: Dataset, tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    network = tiny_space.largest
    expected = [_training(data, tmp_path / "one", 8).rung(network, rung) for rung in (0, 1, 2)]
    count = 0

    def killing(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Killed
        original(*arguments)

    original = standalone._to_tensorboard
    monkeypatch.setattr(standalone, "_to_tensorboard", killing)
    with pytest.raises(Killed):
        _training(data, tmp_path / "two", 8).evaluate(network, thorough=True)
    monkeypatch.undo()
    assert [_training(data, tmp_path / "two", 8).rung(network, rung) for rung in (0, 1, 2)] == expected
    _same(*(begun(tmp_path / name, network)[0] for name in ("one", "two")))


def test_the_better_half_goes_on_and_the_best_wins(data: Dataset, tmp_path: Path) -> None:
    priced = priced_space("mobilenetv2-32").within(Budget(max_macs=1_000_000))
    chosen = _candidates(priced, 4)
    training = _training(data, tmp_path)
    finals = trained(chosen, training, QUIET)
    assert [len(final.rungs) for final in finals] == [2, 2, 1, 1]
    assert min(final.rungs[0] for final in finals[:2]) >= max(final.rungs[0] for final in finals[2:])
    assert finals[0].rungs[1] >= finals[1].rungs[1]
    for final in finals:  # weights of those that went no further are gone, their numbers stay
        (place,) = begun(tmp_path, final.candidate.architecture)
        assert (place / "weights.safetensors").exists() == (len(final.rungs) == 2)
        assert (place / "rungs.json").exists()
    told = training.settings.described()
    write_finalists(tmp_path, finals, told, ACCURACY)
    assert winner(tmp_path, told, ACCURACY) == replace(finals[0].candidate, rungs=())
    assert winner(tmp_path, {**told, "count": 5}, ACCURACY) is None
    for broken in (3, [], {"settings": told, "finalists": []}, {"settings": told, "finalists": [{"rungs": [1]}]}):
        (tmp_path / "finalists.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"finalists\.json: not a run's finalists"):
            winner(tmp_path, told, ACCURACY)


def test_those_that_fail_are_left_out(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    priced = priced_space("mobilenetv2-32")
    chosen = _candidates(priced, 3)
    bad = chosen[1].architecture
    original = FinalistTraining.rung

    def failing(self: FinalistTraining, architecture: Any, rung: int) -> Measured:
        if architecture == bad:
            raise RuntimeError("too wide")
        return original(self, architecture, rung)

    monkeypatch.setattr(FinalistTraining, "rung", failing)
    finals = trained(chosen, _training(data, tmp_path, 3), Reporter())
    assert bad not in [final.candidate.architecture for final in finals]
    assert len(finals) == 2
    assert f"finalist {bad.digest()[:12]} is left out: RuntimeError: too wide" in capsys.readouterr().out


def test_how_many_by_default() -> None:
    def count(given: SearchSettings, pictures: int = 12_000) -> int:
        planned = plan_finalists(given, pictures, SCRATCH)
        return planned.count if planned else 0

    usual = settings_of("digits")
    assert count(usual) == 8
    assert count(replace(usual, trials=100)) == 3
    assert count(replace(usual, trials=12)) == 0
    assert count(replace(usual, trials=12, finalists=5)) == 5
    assert count(replace(usual, finalists=0)) == 0
    assert count(replace(usual, evaluator="zero-cost")) == 0
    assert count(replace(usual, evaluator="zero-cost", finalists=2)) == 2
    assert count(settings_of("imagenet")) == 0
    for name in ("digits", "cifar10", "photos", "segmentation", "detection", "pose", "tokens", "actions"):
        assert count(settings_of(name)) == PRESETS[name].finalists, name
    planned = plan_finalists(usual, 12_000, TORCHVISION)
    assert planned is not None
    assert (planned.recipe, planned.init) == (RECIPES["quick"], SCRATCH)
    photos = plan_finalists(settings_of("photos"), 2_000, TORCHVISION)
    assert photos is not None
    assert (photos.recipe, photos.init) == (RECIPES["photos"], TORCHVISION)
    of_a_run = FirstWeights("supernet 0123456789abcdef", path="/runs/x")
    planned = plan_finalists(usual, 12_000, of_a_run)
    assert planned is not None
    assert planned.init == of_a_run


@pytest.mark.usefixtures("short_recipes")
def test_from_the_search_to_the_retraining(
    launched: Launched, picture_folder: Path, narrow_space_file: Path, tmp_path: Path
) -> None:
    """The commands: the winner is the run's best, is told, and is not trained anew; a second call trains nothing."""
    command = ["search.py", "--data", f"folder:{picture_folder}", "--space", str(narrow_space_file)]
    command += ["--max-macs", "none", "--evaluator", "zero-cost", "--score", "naswot", "--trials", "4"]
    command += ["--finalists", "4", "--out", "run", "--seed", "3"]
    planned = _run(launched, tmp_path, *command, "--dry-run")
    assert "4 finalists trained by themselves" in planned
    assert "finalists " in planned.split("time:")[1]
    said = _run(launched, tmp_path, *command)
    assert "finalists" in said
    told = json.loads((tmp_path / "run" / "finalists.json").read_text())
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["digest"] == told["finalists"][0]["digest"]
    assert [len(one["rungs"]) for one in told["finalists"]] == [2, 2, 1, 1]
    files = {name: (tmp_path / "run" / name).read_bytes() for name in ("best.json", "front.json", "finalists.json")}
    page = (tmp_path / "run" / "report.html").read_text()
    rung, epochs = told["finalists"][0]["rungs"][-1], told["settings"]["epochs"][-1]
    assert f"validation accuracy by itself, {epochs} epochs</dt><dd>{100 * rung:.2f} ± " in page
    again = _run(launched, tmp_path, *command)
    assert "finalists:" not in again
    assert {name: (tmp_path / "run" / name).read_bytes() for name in files} == files
    whole = told["settings"]["recipe"]["epochs"]
    planned = _run(launched, tmp_path, "retrain.py", "run", "--dry-run")
    assert f"; {epochs} of all {whole} epochs are done already" in planned
    retrained = _run(launched, tmp_path, "retrain.py", "run")
    assert "found, seed 0: goes on from where" in retrained
    planned = _run(launched, tmp_path, "retrain.py", "run", "--seeds", "2", "--dry-run")
    assert f"; {whole} of all {2 * whole} epochs are done already" in planned
    assert "finalist" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.usefixtures("few_references", "short_recipes")
def test_fewer_trials_leave_what_a_finished_search_came_to(
    launched: Launched, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.planning.TRIALS_A_FINALIST", 2)
    command = ["search.py", "digits", "--data", f"folder:{picture_folder}", "--supernet-epochs", "1"]
    command += ["--batch-size", "16", "--startup", "4", "--out", "run"]
    _run(launched, tmp_path, *command, "--trials", "6")
    names = ("best.json", "front.json", "finalists.json")
    files = {name: (tmp_path / "run" / name).read_bytes() for name in names}
    assert len(json.loads(files["finalists.json"])["finalists"]) == 3
    for trials in ("4", "1"):
        again = _run(launched, tmp_path, *command, "--trials", trials)
        assert "run: already complete, with 6 candidates; for more give --trials" in again
        assert {name: (tmp_path / "run" / name).read_bytes() for name in names} == files


def _run(launched: Launched, folder: Path, script: str, *arguments: str) -> str:
    done = launched(folder, script, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_task_measures_may_be_of_any_kind_of_number(
    data: Dataset, tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = tiny_space.smallest
    measured = Measured(ACCURACY, np.float64(0.5), {"loss": 1})
    monkeypatch.setattr(
        training_of_finalists, "train_part", lambda *given, folder, **more: (folder.mkdir(parents=True), measured)[1]
    )
    training = _training(data, tmp_path)
    assert training.rung(network, 0) == training.rung(network, 0) == Measured(ACCURACY, 0.5, {"loss": 1.0})


def test_a_contest_reads_the_pictures_of_each_side(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a latency bound the ratios of a kind may have sides of their own."""
    read: list[int] = []
    networks = [
        named_space("mobile-96").at(side).extreme(lambda _, options: options[0], largest=False) for side in (48, 96)
    ]

    def trained_by(network: Architecture, *given: Any, folder: Path, **more: Any) -> Measured:
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").touch()
        return Metrics(network.resolution / 100, 0.1)

    monkeypatch.setattr(training_of_finalists, "train_part", trained_by)
    settings = FinalistSettings(0, RECIPE)
    training = FinalistTraining(
        lambda side: (read.append(side), data)[1], 12, CLASSIFICATION, settings, tmp_path, QUIET
    )
    foreseen = Foreseen(training)
    assert foreseen(networks[:1]) == 0
    assert (foreseen.missing, foreseen.epochs, list(tmp_path.iterdir())) == (1, settings.halving.epochs[0], [])
    contest = Contest(training)
    assert contest(networks) == 1
    foreseen = Foreseen(training)
    assert (foreseen(networks), foreseen.missing) == (1, 0)
    assert read == [48, 96]
    (kept,) = tmp_path.glob("finalists/*/weights.safetensors")  # those of the ratios that lost are gone
    assert kept.parent == begun(tmp_path, networks[1])[0]
