"""Methods: a step with parameter groups, a state in the checkpoint and an evaluated module replays after any kill."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import foundation.plugins
from commands import retrain
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.network import build
from search_space.spaces import priced_space
from training.checkpoint import load_weights
from training.data.datasets import Dataset, load_data
from training.loop import fit
from training.methods.base import FunctionMethod, Method
from training.methods.choice import METHODS
from training.optimisers import optimiser, rate
from training.recipe import OPTIMISERS, SCHEDULES, Recipe
from training.specs import named

QUIET = Reporter(quiet=True)


class Killed(BaseException):
    pass


class Remembering(Method):
    """Learns from labels and from the mean features of the pictures before: a state that changes at every step."""

    def __init__(self, kill_at: int | None = None):
        features = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 8), nn.Dropout(0.1))
        head = nn.Linear(8, 4)
        super().__init__(nn.ModuleList([features, head]))
        self.features, self.head = features, head
        self.memory = torch.zeros(8)
        self.epochs: list[int] = []
        self.strength = 0.0
        self.kill_at = kill_at

    def groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        return [
            {"params": list(self.features.parameters()), "weight_decay": recipe.weight_decay},
            {"params": list(self.head.parameters()), "lr": 2 * recipe.learning_rate},
        ]

    def begin_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)
        self.strength = 0.1 * epoch

    def __call__(self, images: Tensor, labels: Tensor, number: int) -> float:
        if number == self.kill_at:
            raise Killed
        features = self.features(images)
        loss = nn.functional.cross_entropy(self.head(features), labels)
        loss = loss + self.strength * (features.mean(0) - self.memory).square().mean()
        loss.backward()
        self.memory = 0.9 * self.memory + 0.1 * features.detach().mean(0)
        return loss.item()

    def evaluated(self) -> nn.Module:
        return self.features

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory = state["memory"]


def _trained(folder: Path, data: Dataset, recipe: Recipe, kill_at: int | None = None) -> tuple[Remembering, nn.Module]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(3)
    method = Remembering(kill_at)
    usable, _ = fit(
        method,
        data.train,
        recipe,
        seed=1,
        checkpoint=folder / "checkpoint",
        identity={"what": "test"},
        reporter=QUIET,
        what="test",
    )
    return method, usable


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))


RECIPE = Recipe(epochs=3, batch_size=16, learning_rate=0.01, augmentation="crop-flip")


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("kill_at", [2, 4, 9])
def test_a_state_survives_a_kill(data: Dataset, tmp_path: Path, name: str, ema_decay: float, kill_at: int) -> None:
    recipe = replace(RECIPE, ema_decay=ema_decay, optimiser=name, schedule="linear")
    whole, usable = _trained(tmp_path / "whole", data, recipe)
    with pytest.raises(Killed):
        _trained(tmp_path / "killed", data, recipe, kill_at)
    again, continued = _trained(tmp_path / "killed", data, recipe)
    assert torch.equal(whole.memory, again.memory)
    assert whole.memory.abs().sum() > 0
    for name_, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name_]), name_
    for name_, tensor in usable.state_dict().items():
        assert torch.equal(tensor, continued.state_dict()[name_]), name_
    assert whole.epochs == [0, 1, 2]
    assert again.epochs == [0, 1, 2][kill_at // 4 :]  # 67 training pictures are four steps


def test_the_evaluated_part_is_returned_and_averaged(data: Dataset, tmp_path: Path) -> None:
    method, usable = _trained(tmp_path / "plain", data, RECIPE)
    assert usable is method.evaluated()
    method, usable = _trained(tmp_path / "averaged", data, replace(RECIPE, ema_decay=0.9))
    assert usable is not method.evaluated()
    assert usable.state_dict().keys() == method.evaluated().state_dict().keys()


def test_a_checkpoint_without_the_state_is_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        _trained(tmp_path, data, RECIPE, kill_at=5)
    state = torch.load(tmp_path / "checkpoint", weights_only=True)
    del state["method"]
    torch.save(state, tmp_path / "checkpoint")
    with pytest.raises(InputError, match=r"does not fit \('memory'\); remove it to train from the beginning"):
        _trained(tmp_path, data, RECIPE)


def test_an_optimisers_state_of_other_parameters_is_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        _trained(tmp_path, data, RECIPE, kill_at=5)
    state = torch.load(tmp_path / "checkpoint", weights_only=True)
    kept = state["optimizer"]["state"]
    kept[0], kept[1] = kept[1], kept[0]
    assert kept[0]["momentum_buffer"].shape != kept[1]["momentum_buffer"].shape
    torch.save(state, tmp_path / "checkpoint")
    with pytest.raises(InputError, match=r"does not fit \(the optimiser's momentum_buffer is of other parameters\)"):
        _trained(tmp_path, data, RECIPE)


def test_a_group_has_its_own_rate() -> None:
    method = Remembering()
    groups = optimiser(method.groups(RECIPE), RECIPE).param_groups
    assert [group["lr"] for group in groups] == [0.01, 0.02]


def test_norms_and_biases_do_not_decay() -> None:
    method = FunctionMethod(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), lambda *_: 0.0)
    decaying, others = method.groups(RECIPE)
    assert [parameter.ndim for parameter in decaying["params"]] == [2]
    assert [parameter.ndim for parameter in others["params"]] == [1, 1, 1]
    assert (decaying["weight_decay"], others["weight_decay"]) == (RECIPE.weight_decay, 0.0)


def test_optimisers_are_torchs() -> None:
    parameter = {"params": [nn.Parameter(torch.ones(2, 2))], "weight_decay": 0.1}
    sgd = optimiser([parameter], replace(RECIPE, momentum=0.8))
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.8, True)
    adamw = optimiser([parameter], replace(RECIPE, optimiser="adamw", momentum=0.85))
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.defaults["betas"] == (0.85, 0.999)
    assert adamw.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize(
    ("schedule", "middle", "last"), [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1.0, 1.0)]
)
def test_schedules(schedule: str, middle: float, last: float) -> None:
    recipe = replace(RECIPE, warmup=0.2, schedule=schedule)
    assert [rate(done, 100, recipe) for done in (0, 19)] == pytest.approx([1 / 21, 20 / 21])
    assert [rate(done, 100, recipe) for done in (20, 60, 100)] == pytest.approx([1.0, middle, last])


def test_the_names_are_all_there() -> None:
    for schedule in SCHEDULES:
        assert rate(0, 10, replace(RECIPE, schedule=schedule)) > 0
    with pytest.raises(InputError, match="`optimiser`: 'adam' is unknown; known: sgd, adamw"):
        replace(RECIPE, optimiser="adam")


def test_what_was_added_later_changes_no_recipe_begun_before() -> None:
    assert not {"optimiser", "schedule"} & RECIPE.described().keys()
    assert replace(RECIPE, optimiser="adamw").described()["optimiser"] == "adamw"


PLUGIN = '''
import torch
from torch import nn

from training.methods.base import Method
from training.methods.registry import METHODS


class WithProjector(Method):
    """Learns labels, and to predict its own features of a step before: a projector that no network keeps."""

    def __init__(self, training):
        channels = training.network.classifier.in_features
        projector = nn.Linear(channels, channels).to(training.data.device)
        super().__init__(nn.ModuleDict({"network": training.network, "projector": projector}))
        self.training, self.before = training, torch.zeros(channels)

    def __call__(self, images, targets, number):
        network, projector = self.model["network"], self.model["projector"]
        features = network.last_map(images).mean((2, 3))
        loss = self.training.task.loss(network.classifier(features[:, :, None, None]), targets)
        loss = loss + 0.1 * (projector(features).mean(0) - self.before).square().mean()
        loss.backward()
        self.before = features.detach().mean(0)
        return loss.item()

    def evaluated(self):
        return self.model["network"]

    def state_dict(self):
        return {"before": self.before}

    def load_state_dict(self, state):
        self.before = state["before"]


METHODS.register("with-projector")(WithProjector)
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(METHODS, "_things", dict(METHODS._things))
    monkeypatch.setattr(foundation.plugins, "_LOADED", {})
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def command(tmp_path: Path, picture_folder: Path, plugin: Path) -> list[str]:
    source = tmp_path / "architecture.json"
    source.write_text(json.dumps(priced_space("mobilenetv2-32").smallest.to_dict()))
    more = ["--data", f"folder:{picture_folder}", "--epochs", "3", "--batch-size", "16", "--quiet"]
    return [str(source), *more, "--plugin", str(plugin), "--method", "with-projector"]


def test_a_plugin_s_method_trains_by_the_command(command: list[str], tmp_path: Path, plugin: Path) -> None:
    retrain.main([*command, "--dry-run", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    retrain.main([*command, "--out", str(tmp_path / "out")])
    folder = tmp_path / "out" / "given-0"
    assert json.loads((folder / "recipe.json").read_text())["method"] == "with-projector"
    kept = load_weights(folder / "weights.safetensors")[0]
    assert kept.keys() == build(priced_space("mobilenetv2-32").smallest, 4).state_dict().keys()  # without the projector
    with pytest.raises(InputError, match="method"):
        retrain.main([*command[:-1], "labels", "--out", str(tmp_path / "out")])


def test_a_plugin_s_method_goes_on_after_a_kill(
    command: list[str], tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrain.main([*command, "--out", str(tmp_path / "whole")])
    steps = iter(range(100))
    original = METHODS["with-projector"].__call__  # type: ignore[operator]

    def dying(self: Any, *arguments: Any) -> float:
        if next(steps) == 6:
            raise Killed
        return float(original(self, *arguments))

    with monkeypatch.context() as patch:
        patch.setattr(METHODS["with-projector"], "__call__", dying)
        with pytest.raises(Killed):
            retrain.main([*command, "--out", str(tmp_path / "killed")])
    retrain.main([*command, "--out", str(tmp_path / "killed")])
    name = "given-0/weights.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_an_unknown_method_is_refused(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`method` wrong: unknown; known: labels"):
        retrain.main([*command[:-1], "wrong", "--out", str(tmp_path / "out")])


def test_labels_are_the_method_that_leaves_no_trace() -> None:
    assert named("method", "labels") == named("task", "classification") == {}
    assert named("method", "other") == {"method": "other"}
