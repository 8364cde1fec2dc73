"""Another task than classification, as a plugin brings it: trained, scored, killed and continued; whole commands."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torchvision.tv_tensors import BoundingBoxes, Mask

from evaluators.choice import EVALUATORS, Setup
from evaluators.halving import Halving
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.proxy.settings import ProxySettings
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.given import given_weights
from evaluators.supernet.settings import Scoring, SupernetRecipe
from evaluators.zero_cost.scoring import Batch, Scorer
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.cost.priced_space import PricedSpace
from search_space.network import build
from studies.runs.source import read_source
from tasks.choice import TASKS, task
from tasks.classification.room import CLASSIFICATION
from tests.bright_squares import Centre
from training.checkpoint import load_weights
from training.data.datasets import Dataset
from training.methods.label_step import LabelStep
from training.model_file import ModelInfo, load_model
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import train_standalone
from training.targets import in_float32, joined, moved, picked, shared_out

ROOT = Path(__file__).parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]
QUIET = Reporter(quiet=True)
CPU = torch.device("cpu")
CENTRE = Centre()
RECIPE = Recipe(epochs=3, batch_size=32, learning_rate=0.05, augmentation="crop-flip", ema_decay=0.8)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return CENTRE.data("squares", 32, CPU)


@pytest.fixture
def priced(tiny_space: PricedSpace) -> PricedSpace:
    return replace(tiny_space, num_classes=2)


class Killed(BaseException):
    pass


def _trained(priced: PricedSpace, data: Dataset, folder: Path) -> Any:
    return train_standalone(
        priced.largest, data, Procedure(RECIPE, CENTRE), seed=0, folder=folder, reporter=QUIET, what="found"
    )


def test_it_is_trained_alone(priced: PricedSpace, data: Dataset, tmp_path: Path) -> None:
    found = _trained(priced, data, tmp_path)
    assert found.test.measured.metric == CENTRE.metric
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {"validation_error", "validation_loss", "validation_worst", "raw_validation_error"} <= lines[0].keys()
    kept = load_weights(tmp_path / "predictions.safetensors")[0]["off"]
    assert float(kept.mean()) == pytest.approx(found.test.measured.value)
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        info = ModelInfo.from_metadata(file.metadata(), "weights")
    assert (info.task, info.described, info.classes) == ("centre", {"unit": "share of a side"}, ())
    assert json.loads((tmp_path / "recipe.json").read_text())["task"] == "centre"
    network, info = load_model(tmp_path / "weights.safetensors")
    assert (network.num_classes, info.head) == (2, CENTRE.head(data.num_classes, priced.largest))


def test_the_lowest_error_is_kept(priced: PricedSpace, data: Dataset, tmp_path: Path) -> None:
    _trained(priced, data, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    errors = [line[f"{raw}validation_error"] for line in lines for raw in ("", "raw_")]
    network = build(priced.largest, CENTRE.head(data.num_classes, priced.largest))
    network.load_state_dict(load_weights(tmp_path / "weights.safetensors")[0])
    side = priced.largest.resolution
    from training.resize import resized_batches

    measured = CENTRE.measure(network, resized_batches(data.validation.batches(256), side)).measured
    assert measured.value == pytest.approx(min(errors), rel=1e-5)


@pytest.mark.parametrize("kill_at", [1, 4, 7])
def test_a_killed_training_ends_with_the_same_bits(
    priced: PricedSpace, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    _trained(priced, data, tmp_path / "whole")
    step, calls = LabelStep.__call__, iter(range(100))

    def dying(self: LabelStep, images: Tensor, targets: Any, number: int) -> float:
        if next(calls) == kill_at:
            raise Killed
        return step(self, images, targets, number)

    with monkeypatch.context() as patch:
        patch.setattr(LabelStep, "__call__", dying)
        with pytest.raises(Killed):
            _trained(priced, data, tmp_path / "killed")
    _trained(priced, data, tmp_path / "killed")
    for name in ("weights.safetensors", "predictions.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_the_halves_of_a_batch_add_up(priced: PricedSpace, data: Dataset) -> None:
    """A step takes 32 pictures in two halves, each with its own boxes."""
    images, targets = next(data.train.batches(32, seed=0))
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 2))
    loss = LabelStep(network, 32, Recipe(), CENTRE, 2)(images, targets, 0)
    assert loss == pytest.approx(CENTRE.loss(network(images), targets).item(), rel=1e-5)


def test_the_proxy_scores_it(priced: PricedSpace, data: Dataset, tmp_path: Path) -> None:
    settings = ProxySettings(
        recipe=replace(RECIPE, ema_decay=0.0), halving=Halving(generation=1, epochs=(1, 2)), pictures=0.5
    )

    def made() -> ProxyEvaluator:
        evaluator = ProxyEvaluator(data, settings, seed=0, folder=tmp_path, task=CENTRE)
        evaluator.prepare()
        return evaluator

    one = made().evaluate(priced.largest, thorough=True)
    assert one.metric == CENTRE.metric
    assert one.beside.keys() == {"loss"}
    assert one.merit == -one.value < 0
    assert made().evaluate(priced.largest, thorough=True) == one  # from its file


def test_the_supernet_scores_it(priced: PricedSpace, data: Dataset, tmp_path: Path) -> None:
    recipe = SupernetRecipe(epochs=2, batch_size=32, learning_rate=0.05, augmentation="crop-flip", random_networks=1)

    def scored(folder: Path) -> Any:
        folder.mkdir(exist_ok=True)
        scoring = Scoring(calibration=32, validation=16, batch_size=16)
        evaluator = SupernetEvaluator(priced, data, recipe, scoring, seed=0, folder=folder, reporter=QUIET, task=CENTRE)
        evaluator.prepare()
        return evaluator.evaluate(priced.smallest), evaluator.evaluate(priced.largest, thorough=True)

    one = scored(tmp_path / "a")
    assert {measured.metric for measured in one} == {CENTRE.metric}
    assert scored(tmp_path / "a") == one == scored(tmp_path / "b")
    assert json.loads(load_weights(tmp_path / "a" / "supernet.safetensors")[1]["trained"])["task"] == "centre"


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("mixup", 0.2, "`mixup` 0.2: for class labels alone, which task centre does not have; give 0"),
        ("cutmix", 1.0, "`cutmix` 1: for class labels alone"),
        ("label_smoothing", 0.1, "`label_smoothing` 0.1: for class labels alone"),
    ],
)
def test_what_is_for_labels_is_refused(setting: str, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelStep(torch.nn.Flatten(), 32, Recipe(**{setting: value}), CENTRE, 2)
    LabelStep(torch.nn.Flatten(), 32, Recipe(**{setting: value}), CLASSIFICATION, 2)


def test_a_teacher_is_refused() -> None:
    with pytest.raises(InputError, match="`teacher`: for class labels alone"):
        LabelStep(torch.nn.Flatten(), 32, Recipe(), CENTRE, 2, teacher=torch.nn.Flatten())


@pytest.mark.parametrize("name", ["zico", "snip", "grad_norm", "consensus"])
def test_scores_of_labels_are_refused(priced: PricedSpace, data: Dataset, name: str) -> None:
    scorer = Scorer(priced, data, 0, Batch(size=8, reference=2), task=CENTRE)
    with pytest.raises(InputError, match=r"score \w+: for class labels alone, which task centre does not have; use an"):
        scorer.score(priced.largest, name)
    assert scorer.score(priced.largest, "progressivity") < 10


def test_tables_of_accuracies_are_refused(priced: PricedSpace, data: Dataset, tmp_path: Path) -> None:
    setup = Setup(priced, data, 0, tmp_path, QUIET, CENTRE, own="digits")
    with pytest.raises(InputError, match="`evaluator` tabular: for class labels alone"):
        EVALUATORS["tabular"](setup)


def test_shared_weights_of_another_task_are_refused(priced: PricedSpace, data: Dataset, tmp_path: Path) -> None:
    recipe = SupernetRecipe(epochs=1, batch_size=32)
    evaluator = SupernetEvaluator(
        priced, data, recipe, Scoring(32, 16, 16), seed=0, folder=tmp_path, reporter=QUIET, task=CENTRE
    )
    evaluator.prepare()
    assert given_weights(tmp_path, tmp_path / "own", priced, data, CENTRE).about["task"] == "centre"
    with pytest.raises(InputError, match="its weights are of task centre, not classification"):
        given_weights(tmp_path, tmp_path / "own", priced, data)


def test_an_unknown_task() -> None:
    with pytest.raises(InputError, match="`task` mine: unknown; known: classification"):
        task("mine")
    assert TASKS.names()[0] == "classification"


class TestTargets:
    """One mechanism for every kind of targets."""

    @pytest.fixture(params=["labels", "masks", "boxes"])
    def targets(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        if request.param == "labels":
            yield torch.arange(6)
        elif request.param == "masks":
            yield Mask(torch.arange(6)[:, None, None].expand(6, 4, 5).clone())
        else:
            box = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
            yield [{"boxes": BoundingBoxes(box + n, format="XYXY", canvas_size=(9, 9))} for n in range(6)]

    def test_numbers_are_picked(self, targets: Any) -> None:
        for index in (torch.tensor([4, 1]), torch.tensor([0, 1, 0, 0, 1, 0], dtype=torch.bool)):
            found = picked(targets, index)
            assert len(found) == 2
            assert set(map(_key, found)) == {_key(targets[1]), _key(targets[4])}
            assert _kinds(found) == _kinds(targets)

    def test_parts_are_the_whole(self, targets: Any) -> None:
        parts = shared_out(targets, [1, 3, 2])
        assert [len(part) for part in parts] == [1, 3, 2]
        assert [_key(one) for part in parts for one in part] == list(map(_key, targets))
        assert {kind for part in parts for kind in _kinds(part)} == _kinds(targets)

    def test_moving_keeps_the_kind(self, targets: Any) -> None:
        found = moved(targets, lambda tensor: tensor + 0)
        assert list(map(_key, found)) == list(map(_key, targets))
        assert _kinds(found) == _kinds(targets)


def _key(one: Any) -> str:
    tensor = one["boxes"] if isinstance(one, dict) else one
    return str(tensor.as_subclass(Tensor).tolist())


def _kinds(targets: Any) -> set[type]:
    return (
        {type(targets)} if isinstance(targets, Tensor) else {type(value) for one in targets for value in one.values()}
    )


def test_outputs_of_any_shape() -> None:
    parts = [{"maps": [torch.ones(2, 3, dtype=torch.bfloat16)], "out": torch.zeros(2, dtype=torch.int64)}] * 2
    found = joined([in_float32(part) for part in parts])
    assert found["out"].tolist() == [0] * 4
    assert [one.dtype for one in found["maps"]] == [torch.float32] * 2


@pytest.fixture
def run(launched: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command as a process does that has the task by `--plugin` alone."""

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            patch.setattr("foundation.plugins._LOADED", {})
            patch.setattr(TASKS, "_things", {name: TASKS[name] for name in TASKS if name != "centre"})
            return launched(tmp_path, script, *arguments)

    return run


PLUGIN = ("--plugin", str(ROOT / "tests" / "bright_squares.py"))


@pytest.mark.usefixtures("few_references")
def test_the_commands_from_search_to_retraining(run: Run, tmp_path: Path) -> None:
    small = ["--data", "squares", "--supernet-epochs", "1", "--batch-size", "32", "--trials", "4", "--startup", "2"]
    result = run("search.py", *PLUGIN, "--task", "centre", *small, "--out", "run")
    assert result.returncode == 0, result.stderr
    assert "score (lower is better)" in result.stdout  # an error, corrected
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["metrics"].keys() == {"score", "error", "loss"}
    identity = json.loads((tmp_path / "run" / "config.json").read_text())["identity"]
    assert identity["task"] == "centre"
    again = run("search.py", "--task", "classification", "--data", "digits", "--out", "run", *small[2:])
    assert again.returncode != 0
    retrained = run("retrain.py", "run", *PLUGIN, "--epochs", "1", "--batch-size", "32")
    assert retrained.returncode == 0, retrained.stderr
    assert "test error" in retrained.stdout
    (entry,) = json.loads((tmp_path / "run" / "retrain" / "results.json").read_text())
    assert list(entry["test"]) == ["error", "loss", "worst"]
    # A file of the run and a training's folder say the task as well, and so is trained what was searched for.
    assert best["task"] == json.loads((tmp_path / "run" / "front.json").read_text())["task"] == "centre"
    (tmp_path / "alone.json").write_bytes((tmp_path / "run" / "front.json").read_bytes())
    for source in ("run", "run/best.json", "alone.json", "run/retrain/found-0"):
        assert read_source(str(tmp_path / source), None).task == "centre"
    described = run("describe.py", "run", *PLUGIN, "--json", "mine.json")
    assert described.returncode == 0, described.stderr
    assert f"({best['cost']['macs']:,})" in described.stdout
    assert "--task centre" in described.stdout
    trained = run("describe.py", "run/retrain/found-0", *PLUGIN)
    assert f"({best['cost']['macs']:,})" in trained.stdout  # its file says the head


def test_a_task_that_is_not_there_is_one_line(run: Run) -> None:
    result = run("search.py", "--task", "centre")
    assert result.returncode != 0
    assert "--task centre: unknown; known: classification, " in result.stderr.strip().splitlines()[-1]
