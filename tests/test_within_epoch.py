"""Checkpoints within an epoch: a kill costs what came after the latest, and the bits are those of no kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from commands import adapt, retrain
from search_space.spaces import priced_space
from tests.saying import Saying
from training import within_epoch
from training.adaptation.shot import Shot
from training.checkpoint import load_checkpoint
from training.data.datasets import load_data
from training.loop import fit
from training.methods.base import FunctionMethod
from training.methods.label_step import LabelStep
from training.model_file import load_model
from training.recipe import Recipe

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.1, ema_decay=0.9, augmentation="crop-flip")
STEPS = 8  # of 67 pictures


class Killed(BaseException):
    pass


@pytest.fixture
def each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(within_epoch, "SECONDS", 0.0)


def _train(
    folder: Path, data: Any, kill_at: int | None = None, reporter: Any = None
) -> tuple[dict[str, Tensor], list[int]]:
    """The weights with their average, and the steps that were taken."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(5)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.Flatten(), nn.LazyLinear(4))
    model(torch.zeros(2, 3, 32, 32))
    taken = []

    def step(images: Tensor, labels: Tensor, number: int) -> float:
        if number == kill_at:
            raise Killed
        taken.append(number)
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss.item()

    usable, history = fit(
        FunctionMethod(model, step),
        data.train,
        RECIPE,
        seed=1,
        checkpoint=folder / "checkpoint",
        identity={"what": "test"},
        reporter=reporter or Saying(quiet=True),
        what="test",
    )
    losses = {f"loss {entry['epoch']}": torch.tensor(entry["loss"]) for entry in history}
    return {**usable.state_dict(), **{f"raw {k}": v for k, v in model.state_dict().items()}, **losses}, taken


@pytest.mark.parametrize("kill_at", [1, 3, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS - 1])
def test_a_killed_training_goes_on_within_its_epoch(
    picture_folder: Path, tmp_path: Path, each_step: None, kill_at: int
) -> None:
    data = load_data(f"folder:{picture_folder}", 32, CPU)
    whole, steps = _train(tmp_path / "whole", data)
    assert steps == list(range(2 * STEPS))
    with pytest.raises(Killed):
        _train(tmp_path, data, kill_at)
    saying = Saying(quiet=True)
    torch.manual_seed(77)  # another process has another state
    again, steps = _train(tmp_path, data, reporter=saying)
    assert steps == list(range(kill_at, 2 * STEPS))
    assert again.keys() == whole.keys()
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    epoch, step = divmod(kill_at, STEPS)
    told = [f"test: goes on at step {step + 1} of {STEPS} in epoch {epoch + 1} of 2"] if step else []
    assert [line for line in saying.said if "goes on" in line] == told


def test_the_usual_checkpoints_are_those_of_epochs(picture_folder: Path, tmp_path: Path) -> None:
    data = load_data(f"folder:{picture_folder}", 32, CPU)
    with pytest.raises(Killed):
        _train(tmp_path, data, STEPS + 3)
    state = load_checkpoint(tmp_path / "checkpoint")
    assert state is not None
    assert "within" not in state
    assert len(state["history"]) == 1


def test_a_checkpoint_within_an_epoch_that_does_not_fit_is_refused(
    picture_folder: Path, tmp_path: Path, each_step: None
) -> None:
    data = load_data(f"folder:{picture_folder}", 32, CPU)
    with pytest.raises(Killed):
        _train(tmp_path, data, 3)
    state = load_checkpoint(tmp_path / "checkpoint")
    assert state is not None
    for damaged in (
        {},
        {**state["within"], "ranks": []},
        {**state["within"], "ranks": [{"random": [], "buffers": [1]}]},
    ):
        torch.save({**state, "within": damaged}, tmp_path / "checkpoint")
        with pytest.raises(Exception, match="does not fit") as caught:
            _train(tmp_path, data)
        assert type(caught.value).__name__ == "InputError"


def test_batches_that_are_skipped_are_not_touched(picture_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load_data(f"folder:{picture_folder}", 32, CPU).train
    whole = list(train.batches(8, seed=3, augmentation=RECIPE.augment))
    later = list(train.batches(8, seed=3, augmentation=RECIPE.augment, skipped=5))
    assert len(later) == len(whole) - 5
    for (images, targets), (others, wanted) in zip(later, whole[5:], strict=True):
        assert torch.equal(images, others)
        assert isinstance(targets, Tensor)
        assert isinstance(wanted, Tensor)
        assert torch.equal(targets, wanted)
    touched = []
    delivered = type(train)._delivered

    def spy(plans: Any) -> Any:
        for one in delivered(train, plans):
            touched.append(one[0].index)
            yield one

    monkeypatch.setattr(train, "_delivered", spy)
    assert len(list(train.batches(8, seed=3, skipped=len(whole) - 1))) == len(touched) == 1


def test_commands_go_on_within_an_epoch(
    picture_folder: Path, tmp_path: Path, each_step: None, killed_at: Callable[..., None]
) -> None:
    """Drop path draws from torch's random state, and pseudo-labels are of the network that an epoch began with."""
    network = tmp_path / "network.json"
    network.write_text(priced_space("mobilenetv2-32").smallest.to_json())
    flags = ["--data", f"folder:{picture_folder}", "--epochs", "2", "--batch-size", "16", "--quiet"]
    train = [str(network), *flags, "--drop-path", "0.3", "--ema-decay", "0.9"]
    retrain.main([*train, "--out", str(tmp_path / "whole")])
    killed_at(LabelStep, 6, lambda: retrain.main([*train, "--out", str(tmp_path / "killed")]))
    state = load_checkpoint(tmp_path / "killed" / "given-0" / "checkpoint")
    assert state is not None
    assert state["within"]["steps"] == 2
    retrain.main([*train, "--out", str(tmp_path / "killed")])
    weights = "given-0/weights.safetensors"
    assert (tmp_path / "whole" / weights).read_bytes() == (tmp_path / "killed" / weights).read_bytes()
    adapting = [str(tmp_path / "whole" / "given-0"), *flags, "--rotation-epochs", "1"]
    adapt.main([*adapting, "--out", str(tmp_path / "one")])
    killed_at(Shot, 8, lambda: adapt.main([*adapting, "--out", str(tmp_path / "two")]))
    adapt.main([*adapting, "--out", str(tmp_path / "two")])
    one, two = (load_model(tmp_path / name / "shot" / "weights.safetensors")[0].state_dict() for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
