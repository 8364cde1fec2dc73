"""`adapt.py`: whole commands on small pictures, files that other commands take, kills, and bad input by name."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from commands import adapt, evaluate, predict
from foundation.errors import InputError
from search_space import Architecture, Attention, Stage, build
from training.checkpoint import load_weights
from training.data.digits import source
from training.data.split import Split
from training.model_file import ModelInfo, load_model, save_model

CLASSES = tuple(f"digit{digit}" for digit in range(4))
SMALL = ("--epochs", "2", "--rotation-epochs", "1", "--batch-size", "16", "--recipe", "digits", "--device", "cpu")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network of four classes that nobody trained."""
    stages = (Stage("inverted_residual", 8, 2, 1, 3, (Attention("none"),)),)
    architecture = Architecture(16, 8, 2, stages, 12, "relu6")
    folder = tmp_path / "network"
    folder.mkdir()
    network = build(architecture, len(CLASSES))
    torch.nn.init.normal_(network.classifier.weight)  # drawn by 0.01 it is sure of nothing
    info = ModelInfo(architecture, CLASSES, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "folder")
    save_model(folder / "weights.safetensors", network.state_dict(), info)
    return folder / "weights.safetensors"


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures without labels."""
    root = tmp_path_factory.mktemp("flat")
    images, _ = source("validation")
    for index, image in enumerate(images[:40]):
        Image.fromarray((np.kron(image, np.ones((2, 2))) * 255).astype(np.uint8)).save(root / f"{index:02}.png")
    return root


def _adapted(weights: Path, data: Path, out: Path, *more: str) -> Any:
    adapt.main([str(weights), "--data", f"folder:{data}", "--out", str(out), *SMALL, *more])
    return json.loads((out / "adaptation.json").read_text())


def test_what_is_written_is_a_network_that_others_take(
    weights: Path, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "adapted"
    result = _adapted(weights, picture_folder, out)
    assert [entry["name"] for entry in result["networks"]] == ["source only", "batch statistics", "SHOT"]
    assert all(0 <= entry["accuracy"] <= 1 for entry in result["networks"])
    before, after = load_weights(weights)[0], load_weights(out / "shot/weights.safetensors")[0]
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == name.startswith("classifier"), name
    assert load_model(out / "shot/weights.safetensors")[1] == load_model(weights)[1]
    assert "are adapted to, so none is left to test on" in capsys.readouterr().out
    evaluate.main([str(out / "shot"), "--split", "train", "--device", "cpu"])  # it says where its pictures are
    assert f"data folder:{picture_folder}, as" in capsys.readouterr().out
    predict.main([str(out / "shot"), str(next(picture_folder.rglob("*.png"))), "--device", "cpu"])


def test_labels_train_nothing(weights: Path, picture_folder: Path, tmp_path: Path) -> None:
    """The same pictures without their folders come to the same weights."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in picture_folder.rglob("*.png"):
        shutil.copyfile(path, flat / f"{path.parent.name}-{path.name}")
    with_labels = _adapted(weights, picture_folder, tmp_path / "a")
    without = _adapted(weights, tmp_path / "flat", tmp_path / "b")
    assert without["networks"][0]["accuracy"] is None
    assert with_labels["networks"][0]["entropy"] == without["networks"][0]["entropy"]
    assert (tmp_path / "a/shot/weights.safetensors").read_bytes() == (
        tmp_path / "b/shot/weights.safetensors"
    ).read_bytes()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [4, 8, 18])
def test_a_killed_adaptation_ends_with_the_same_bits(
    weights: Path, flat: Path, tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed as it teaches the rotation, in the last epoch of SHOT, and after it."""
    transfer = ("--labelling-transfer", "--transfer-batch", "8")
    whole = _adapted(weights, flat, tmp_path / "whole", *transfer)
    left = [at]

    def counted(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(*arguments, **options)

    real = Split.batches  # one a phase's epoch, and one each time that all pictures are looked at
    with monkeypatch.context() as patch:
        patch.setattr(Split, "batches", counted)
        with pytest.raises(Killed):
            _adapted(weights, flat, tmp_path / "killed", *transfer)
    assert _adapted(weights, flat, tmp_path / "killed", *transfer) == whole
    for name in ("shot/weights.safetensors", "labelling-transfer/weights.safetensors", "adaptation.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_page_shows_classes_before_and_after(weights: Path, flat: Path, picture_folder: Path, tmp_path: Path) -> None:
    labelled = _adapted(weights, picture_folder, tmp_path / "<i>")
    page = (tmp_path / "<i>" / "report.html").read_text()
    assert "<title>&lt;i&gt; · CoordNAS</title>" in page
    first, *_, last = labelled["networks"]
    for value in (first["accuracy"], last["accuracy"], *(one for one in last["recalls"] if one is not None)):
        assert f"{100 * value:.2f}\N{NO-BREAK SPACE}%" in page
    assert "recall, source only" in page
    assert "without a label" in page
    unlabelled = _adapted(weights, flat, tmp_path / "flat")
    page = (tmp_path / "flat" / "report.html").read_text()
    assert "The pictures have no labels" in page
    assert "recall" not in page
    assert f"{unlabelled['networks'][-1]['entropy']:.4f}" in page


def test_another_adaptation_in_the_same_folder(weights: Path, flat: Path, tmp_path: Path) -> None:
    _adapted(weights, flat, tmp_path / "out")
    with pytest.raises(InputError, match=r"holds another run: .*diversity"):
        _adapted(weights, flat, tmp_path / "out", "--diversity", "0.5")


def test_the_labelling_transfer_draws_a_new_hypothesis(weights: Path, flat: Path, tmp_path: Path) -> None:
    result = _adapted(weights, flat, tmp_path / "out", "--labelling-transfer")
    assert [entry["name"] for entry in result["networks"]][-1] == "SHOT++"
    parts = ("shot", "labelling-transfer")
    shot, transferred = (load_weights(tmp_path / "out" / part / "weights.safetensors")[0] for part in parts)
    assert not torch.allclose(shot["classifier.weight"], transferred["classifier.weight"], atol=0.1)
    assert _adapted(weights, flat, tmp_path / "out")["networks"] == result["networks"][:-1]  # the same SHOT without it


def _refused(weights: Path, data: Path | str, out: Path, *more: str) -> str:
    """What the command says, in one line; nothing is written."""
    spec = str(data) if ":" in str(data) else f"folder:{data}"
    with pytest.raises(InputError) as refused:
        adapt.main([str(weights), "--data", spec, "--out", str(out), *SMALL, *more])
    assert not out.exists()
    (line,) = str(refused.value).splitlines()
    return line


def _saved(weights: Path, folder: Path, **changed: Any) -> Path:
    network, info = load_model(weights)
    folder.mkdir()
    save_model(folder / "weights.safetensors", network.state_dict(), replace(info, **changed))
    return folder / "weights.safetensors"


def test_bad_pictures(weights: Path, flat: Path, picture_folder: Path, tmp_path: Path) -> None:
    out, pictures = tmp_path / "out", tmp_path / "pictures"
    assert "no such folder: /absent" in _refused(weights, "/absent", out)
    pictures.mkdir()
    assert _refused(weights, pictures, out).endswith(f"no pictures below {pictures}; add some")
    shutil.copytree(picture_folder / "digit0", pictures / "digit0")
    assert "all pictures are of one class (digit0)" in _refused(weights, pictures, out)
    shutil.copytree(picture_folder / "digit1", pictures / "cat")
    said = _refused(weights, pictures, out)
    assert f"digit0 below {pictures} is a class of the network, folder cat is not; its 4 classes are" in said
    assert "40 pictures to adapt to, fewer than a batch of 64; give `batch_size` 40" in _refused(
        weights, flat, out, "--batch-size", "64"
    )
    said = _refused(weights, "digits:uci", out)
    assert "`data` digits:uci: pictures of 32 pixels" in said


def test_a_data_set_of_other_classes(weights: Path, tmp_path: Path) -> None:
    network, info = load_model(weights)
    larger = replace(info, architecture=replace(info.architecture, resolution=32))
    save_model(weights, network.state_dict(), larger)
    said = _refused(weights, "digits:uci", tmp_path / "out")
    assert "has 10 classes (0, …), the network has 4 (digit0, …)" in said


def test_bad_networks(weights: Path, flat: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = _saved(weights, tmp_path / "a", task="segmentation")
    assert "of task segmentation; only a classifier of pictures (classification) can be adapted" in _refused(
        other, flat, out
    )
    stages = (Stage("inverted_residual", 8, 2, 1, 3, (Attention("none"),)),)
    architecture = Architecture(16, 8, 2, stages, 12, "relu6")
    info = ModelInfo(architecture, ("cat",), (0.5,), (0.3,), "folder")
    save_model(tmp_path / "one.safetensors", build(architecture, 1).state_dict(), info)
    assert "knows one class (cat)" in _refused(tmp_path / "one.safetensors", flat, out)


def test_equally_sure_predictions(weights: Path, flat: Path, tmp_path: Path) -> None:
    """A classifier of zeros gives every picture the same prediction, and keeps doing so, since it stays."""
    network, info = load_model(weights)
    torch.nn.init.zeros_(network.classifier.weight)  # type: ignore[arg-type]
    save_model(weights, network.state_dict(), info)
    with pytest.raises(InputError, match="equally sure of all 40 pictures"):
        _adapted(weights, flat, tmp_path / "out", "--labelling-transfer")


@pytest.mark.parametrize(
    ("flag", "value"), [("--diversity", "11"), ("--rotation-epochs", "0"), ("--backbone-rate", "0"), ("--recipe", "x")]
)
def test_settings_out_of_range(flag: str, value: str, weights: Path, flat: Path, tmp_path: Path) -> None:
    with pytest.raises((InputError, SystemExit)):
        adapt.main([str(weights), "--data", f"folder:{flat}", "--out", str(tmp_path / "out"), flag, value])
    assert not (tmp_path / "out").exists()


def test_lopsided_shares_are_told(
    weights: Path, flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, info = load_model(weights)
    torch.nn.init.constant_(network.classifier.bias, 0)  # type: ignore[arg-type]
    network.classifier.bias.data[2] = 100  # type: ignore[index, operator]
    save_model(weights, network.state_dict(), info)
    _adapted(weights, flat, tmp_path / "out")
    said = capsys.readouterr().out
    assert "warning: source only: predictions are lopsided, as spread out as 1.0 equal classes of 4" in said


def test_folders_that_are_no_classes_hold_pictures_without_labels(
    weights: Path, flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(flat, tmp_path / "pictures/2024")
    assert _adapted(weights, tmp_path / "pictures", tmp_path / "out")["networks"][0]["accuracy"] is None
    assert "(2024) are not classes of the network (digit0, digit1, digit2, …)" in capsys.readouterr().out


def test_of_splits_the_training_pictures_are_adapted_to(weights: Path, picture_folder: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(picture_folder, tmp_path / "pictures" / split)
    assert _adapted(weights, tmp_path / "pictures", tmp_path / "out")["pictures"] == 96
