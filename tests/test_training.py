"""The loop of every training: it continues exactly, stops on a broken loss, and its files are whole."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foundation.files import remove_leftovers, write_json
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter, duration
from foundation.seeds import derive
from search_space import Architecture, InputError
from search_space.spaces import priced_space
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from training.data.datasets import Split, load_data
from training.diverged import DivergedError
from training.loop import fit
from training.methods.base import FunctionMethod
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import train_standalone
from training.task import Examination

QUIET = Reporter(quiet=True)


class Killed(BaseException):
    pass


def _train(
    folder: Path, data: Any, recipe: Recipe, kill_at: int | None = None, reporter: Reporter = QUIET
) -> dict[str, Tensor]:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(3 * 32 * 32, 4))

    def step(images: Tensor, labels: Tensor, number: int) -> float:
        if number == kill_at:
            raise Killed
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss.item()

    usable, _ = fit(
        FunctionMethod(model, step),
        data.train,
        recipe,
        seed=1,
        checkpoint=folder / "checkpoint",
        identity={"what": "test"},
        reporter=reporter,
        what="test",
    )
    return dict(usable.state_dict())


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("kill_at", [2, 4, 9])
def test_a_killed_training_ends_alike(picture_folder: Path, tmp_path: Path, ema_decay: float, kill_at: int) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    recipe = Recipe(epochs=3, batch_size=16, ema_decay=ema_decay, augmentation="crop-flip", learning_rate=0.01)
    (tmp_path / "whole").mkdir()
    whole = _train(tmp_path / "whole", data, recipe)
    with pytest.raises(Killed):
        _train(tmp_path, data, recipe, kill_at)
    assert (tmp_path / "checkpoint").exists() == (kill_at >= 4)
    continued = _train(tmp_path, data, recipe)
    assert all(torch.equal(whole[name], continued[name]) for name in whole)
    finished = _train(tmp_path, data, recipe, kill_at=0)  # takes no step
    assert all(torch.equal(whole[name], finished[name]) for name in whole)


@pytest.mark.parametrize(("batch_size", "epochs", "steps"), [(64, 2, 2), (4, 5, 85), (4, 6, 0), (2, 3, 0)])
def test_a_training_of_few_steps_is_said(
    picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], batch_size: int, epochs: int, steps: int
) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    recipe = Recipe(epochs=epochs, batch_size=batch_size, learning_rate=0.01)
    _train(tmp_path, data, recipe, reporter=Reporter())
    said = (
        f"test: {steps} steps in all ({len(data.train)} pictures, batches of {batch_size}); "
        "if that is too few, lower `batch_size` or raise the epochs\n"
    )
    assert capsys.readouterr().out == (said if steps else "")
    _train(tmp_path, data, recipe, reporter=Reporter())  # finished
    assert capsys.readouterr().out == ""


def test_a_checkpoint_of_another_training_is_refused(picture_folder: Path, tmp_path: Path) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    _train(tmp_path, data, Recipe(epochs=1, batch_size=16))
    with pytest.raises(InputError, match="belongs to another training"):
        _train(tmp_path, data, Recipe(epochs=2, batch_size=16))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_loss_ends_in_a_clear_error(picture_folder: Path, tmp_path: Path, value: float) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    model = nn.Linear(1, 1)
    recipe = Recipe(epochs=3, batch_size=16)

    def step(images: Tensor, labels: Tensor, number: int) -> float:
        model.weight.sum().backward()
        return value if number == 5 else 1.0

    with pytest.raises(DivergedError, match=r"at step 5 \(epoch 2\)"):
        fit(
            FunctionMethod(model, step),
            data.train,
            recipe,
            seed=0,
            checkpoint=tmp_path / "c",
            identity={},
            reporter=QUIET,
            what="it",
        )
    state = load_checkpoint(tmp_path / "c")
    assert state is not None
    assert len(state["history"]) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_gradient_ends_before_anything_is_saved(picture_folder: Path, tmp_path: Path, value: float) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    model = nn.Linear(1, 1)

    def step(images: Tensor, labels: Tensor, number: int) -> float:
        (model.weight.sum() * (value if number == 2 else 1.0)).backward()
        return 1.0

    with pytest.raises(DivergedError, match=rf"gradient's norm became {value} at step 2 \(epoch 1\)"):
        fit(
            FunctionMethod(model, step),
            data.train,
            Recipe(epochs=3, batch_size=16),
            seed=0,
            checkpoint=tmp_path / "c",
            identity={},
            reporter=QUIET,
            what="it",
            after_epoch=lambda model, history: pytest.fail("the epoch did not end"),
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [{}, {"model": {}}, {"identity": None}, [1, 2], torch.zeros(3), "text"])
def test_a_checkpoint_of_other_content_is_refused(picture_folder: Path, tmp_path: Path, content: Any) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    path = tmp_path / "checkpoint"
    torch.save(content, path)
    before = path.read_bytes()
    message = "belongs to another training" if isinstance(content, dict) else "not a checkpoint"
    with pytest.raises(InputError, match=f"{path}: {message}"):
        _train(tmp_path, data, Recipe(epochs=1, batch_size=16))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(b"PK", id="header"),
        pytest.param(b"identity", id="identity"),
        pytest.param(b"optimizer", id="key"),
        pytest.param(None, id="tensor"),
    ],
)
def test_a_checkpoint_with_flipped_bits_is_refused(picture_folder: Path, tmp_path: Path, where: bytes | None) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    recipe = Recipe(epochs=1, batch_size=16)
    weight = next(iter(_train(tmp_path, data, recipe).values()))
    path = tmp_path / "checkpoint"
    content = bytearray(path.read_bytes())
    content[content.index(where or weight.numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        _train(tmp_path, data, recipe)


def test_learning_rate_warms_up_and_falls_to_zero(picture_folder: Path, tmp_path: Path) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    _train(tmp_path, data, Recipe(epochs=5, batch_size=16, warmup=0.2, learning_rate=1.0))
    state = load_checkpoint(tmp_path / "checkpoint")
    assert state is not None
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.0, abs=1e-9)
    assert state["optimizer"]["param_groups"][1]["weight_decay"] == 0.0


def test_standalone_training(picture_folder: Path, tmp_path: Path) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    architecture = priced_space("mobilenetv2-32").smallest
    recipe = Recipe(epochs=4, batch_size=16, learning_rate=0.05)

    def train(folder: Path) -> Any:
        return train_standalone(
            architecture, data, Procedure(recipe, CLASSIFICATION), seed=0, folder=folder, reporter=QUIET, what="found"
        )

    result = train(tmp_path / "a")
    lines = [json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    tensors, metadata = load_weights(tmp_path / "a" / "weights.safetensors")
    assert metadata["architecture"] == architecture.to_json()
    assert 0 <= result.test.measured.value <= 1
    assert train(tmp_path / "a").test.measured == result.test.measured
    again = train(tmp_path / "b")
    assert again.test.measured == result.test.measured
    assert all(torch.equal(t, load_weights(tmp_path / "b" / "weights.safetensors")[0][n]) for n, t in tensors.items())


def test_the_weights_kept_are_those_of_the_best_epoch(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(f"folder:{picture_folder}", 32, torch.device("cpu"))
    validated: list[dict[str, Tensor]] = []
    tested: list[dict[str, Tensor]] = []

    def scripted(network: nn.Module, architecture: Architecture, split: Split, *_: object) -> Examination:
        weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        (tested if split is data.test else validated).append(weights)
        # Of equals the first is kept.
        return Examination(Measured(ACCURACY, (0.3, 0.8, 0.5, 0.8)[len(validated) - 1]), 0)

    monkeypatch.setattr("training.standalone._examine", scripted)
    recipe = Recipe(epochs=4, batch_size=16, learning_rate=0.05)
    architecture = priced_space("mobilenetv2-32").smallest
    train_standalone(
        architecture, data, Procedure(recipe, CLASSIFICATION), seed=0, folder=tmp_path, reporter=QUIET, what="found"
    )
    kept, _ = load_weights(tmp_path / "weights.safetensors")
    equal = [all(torch.equal(kept[name], tensor) for name, tensor in weights.items()) for weights in validated]
    assert equal == [False, True, False, False]
    assert len(tested) == 1
    assert all(torch.equal(kept[name], tensor) for name, tensor in tested[0].items())


@pytest.mark.parametrize(
    ("field", "value"), [("epochs", 0), ("batch_size", 1), ("learning_rate", -1.0), ("augmentation", "magic")]
)
def test_recipes_are_checked(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        Recipe(**{field: value})


class TestFiles:
    """Whole or absent."""

    def test_a_full_disk_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "best.json"
        write_json(path, {"old": 1})

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_json(path, {"new": 2})
        assert json.loads(path.read_text()) == {"old": 1}
        assert [entry.name for entry in tmp_path.iterdir()] == ["best.json"]

    def test_leftovers_of_a_kill_are_removed(self, tmp_path: Path) -> None:
        (tmp_path / ".front.json.abc.tmp").write_text("half")
        (tmp_path / ".kept.tmp").write_text("the user's")
        remove_leftovers(tmp_path, ["front.json"])
        assert [entry.name for entry in tmp_path.iterdir()] == [".kept.tmp"]

    def test_no_number_that_json_does_not_have(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="Out of range"):
            write_json(tmp_path / "x.json", {"loss": float("nan")})
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
    def test_broken_checkpoints_are_named(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "checkpoint"
        path.write_bytes(content)
        with pytest.raises(InputError, match="checkpoint: not a checkpoint"):
            load_checkpoint(path)
        with pytest.raises(InputError, match="not a safetensors file"):
            load_weights(path)

    def test_a_checkpoint_runs_no_code(self, tmp_path: Path) -> None:
        import pickle

        class Evil:
            def __reduce__(self) -> Any:
                return (os.mkdir, (str(tmp_path / "owned"),))

        path = tmp_path / "checkpoint"
        path.write_bytes(pickle.dumps(Evil(), protocol=2))
        with pytest.raises(InputError):
            load_checkpoint(path)
        assert not (tmp_path / "owned").exists()

    def test_round_trip(self, tmp_path: Path) -> None:
        save_checkpoint(tmp_path / "c", {"a": torch.arange(3), "n": [1, "x"]})
        state = load_checkpoint(tmp_path / "c")
        assert state is not None
        assert torch.equal(state["a"], torch.arange(3))
        assert load_checkpoint(tmp_path / "absent") is None
        save_weights(tmp_path / "w", {"a": torch.arange(4).view(2, 2).t()}, {"k": "v"})
        tensors, metadata = load_weights(tmp_path / "w")
        assert torch.equal(tensors["a"], torch.arange(4).view(2, 2).t())
        assert metadata == {"k": "v"}


def test_seeds_are_told_apart_by_purpose() -> None:
    purposes: list[tuple[int | str, ...]] = [(0, "a", 1), (0, "a1"), (0, "a", "1"), (1, "a", 1), (0, "a", 2)]
    assert len({derive(*purpose) for purpose in purposes}) == len(purposes)
    assert derive(0, "a") == derive(0, "a")
    assert all(0 <= derive(n) < 2**63 for n in range(100))


def test_duration() -> None:
    assert [duration(s) for s in (0.42, 7, 130, 7500)] == ["0.4s", "7s", "2m 10s", "2h 5m"]
