"""The examples do what they say, at small size."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from torch import nn

from search_space import attention
from search_space.architecture import Architecture, Attention
from search_space.backbones import hand_designed
from search_space.families.mobile.architecture import Stage
from search_space.network import build
from training.model_file import ModelInfo, save_model

EXAMPLES = Path(__file__).parent.parent / "examples"
FEW = ["--supernet-epochs", "1", "--trials", "4", "--startup", "2", "--batch-size", "32", "--quiet"]


def _example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_script_is_tested() -> None:
    plugins = {"row_attention", "nearest_mean"}  # which tests/test_documents.py searches with
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - plugins - {"__init__"}
    from_python = {"load_and_predict", "own_dataset", "registered_attention"}  # tests/test_coordnas.py runs them
    assert scripts == {"own_pictures", "custom_attention", "detection_and_segmentation"} | from_python


def test_own_pictures_writes_digits(tmp_path: Path) -> None:
    """That it searches and retrains, tests/test_documents.py shows."""
    example = _example("own_pictures")
    (tmp_path / "digit-3").mkdir()
    (tmp_path / "digit-3" / "000.png").write_bytes(b"mine")
    example.write_digits(tmp_path, each=8)
    with Image.open(tmp_path / "digit-3" / "007.png") as picture:
        assert (picture.size, picture.mode) == ((32, 32), "L")
    assert len(list(tmp_path.glob("*/*.png"))) == 80
    assert (tmp_path / "digit-3" / "000.png").read_bytes() == b"mine"


def test_custom_attention_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attention.OPS, "_things", dict(attention.OPS._things))
    monkeypatch.setattr("foundation.plugins._LOADED", {})
    monkeypatch.setattr("training.data.digits.SIZES", {"train": 200, "validation": 100, "test": 100})
    _example("custom_attention").main(["--out", "rows", *FEW, "--trials", "12"])
    front = json.loads(Path("rows/front.json").read_text())["front"]
    last = capsys.readouterr().out.split("attention at the ")[1]
    assert last.startswith(f"{2 * len(front)} stages of the front's {len(front)} networks:\n")
    space = json.loads(Path("rows/config.json").read_text())["identity"]["space"]
    assert {option["kind"] for option in space["stages"][0]["attention"]} == {"none", "ca", "rows"}


@pytest.fixture
def small_file(tmp_path: Path) -> str:
    """A trained network's file: strides 2, 4, 8, a head, coordinate attention where it has a place."""
    coordinate = (Attention("ca", 8),)
    stages = tuple(
        Stage("inverted_residual", width, stride, 2, kernel_size, coordinate)
        for width, stride, kernel_size in ((8, 1, 3), (12, 2, 5), (16, 2, 3))
    )
    architecture = Architecture(64, 8, 2, stages, 32, "relu6")
    path = tmp_path / "weights.safetensors"
    info = ModelInfo(architecture, ("a", "b"), (0.5,), (0.2,), "folder")
    save_model(path, build(architecture, 2).state_dict(), info)
    return str(path)


def test_backbones_of_detection_and_segmentation_train(small_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = _example("detection_and_segmentation")
    example.main(["--source", small_file, "--size", "64"])
    printed = capsys.readouterr().out
    assert "maps of [12, 32, 512, 256, 256, 128] channels" in printed
    assert "last map 8×8, stride 8" in printed
    for line in printed.splitlines():
        if line.startswith("  loss "):
            first, *_, last = (float(value) for value in line.removeprefix("  loss ").split(" → "))
            assert last < first


def test_gradients_of_both_reach_the_stem(small_file: str) -> None:
    example = _example("detection_and_segmentation")
    images = torch.rand(2, 3, 64, 64)
    detector = example.ssdlite(example.backbone(small_file), num_classes=2, size=64)
    target = {"boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0]]), "labels": torch.tensor([1])}
    sum(detector(list(images), [target, target]).values()).backward()
    segmenter = example.deeplabv3(example.backbone(small_file), num_classes=2, output_stride=4)
    out = segmenter(images)["out"]
    assert out.shape == (2, 2, 64, 64)
    out.square().mean().backward()
    for body in (detector.backbone.body, segmenter.backbone):
        assert body.stem.conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["mobilenetv2-ca", "mobilenext", "efficientnet_b0"])
def test_maps_lie_where_they_should(name: str) -> None:
    example = _example("detection_and_segmentation")
    pyramid = example.PyramidBackbone(example.backbone(name)).eval()
    images = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        maps = pyramid(images)
    assert [tuple(features.shape[1:]) for features in maps.values()] == [
        (width, side, side) for width, side in zip(pyramid.widths, (8, 4, 2, 1, 1, 1), strict=True)
    ]
    for output_stride in (8, 16, 32):
        network = example.backbone(name).eval()
        network_as_it_was = build(network.architecture).eval()
        network_as_it_was.load_state_dict(network.state_dict())
        segmenter = example.deeplabv3(network, 2, output_stride).eval()
        with torch.no_grad():
            dilated = segmenter.backbone(images)["out"]
            plain = network_as_it_was.stages(network_as_it_was.stem(images))
        assert dilated.shape[-1] == 128 // output_stride
        if output_stride == 32:
            torch.testing.assert_close(dilated, plain)


def test_a_dilated_network_sees_what_the_plain_one_does() -> None:
    """Without attention the dilated map holds the plain one at every second pixel."""
    example = _example("detection_and_segmentation")
    architecture = hand_designed("mobilenetv2-none")
    assert architecture
    plain = build(architecture).double().eval()
    dilated = build(architecture).double().eval()
    for model in (plain, dilated):
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    example.dilate(dilated, 16)
    images = torch.rand(1, 3, 96, 96, dtype=torch.float64)
    with torch.no_grad():
        coarse, fine = (model.stages[:6](model.stem(images)) for model in (plain, dilated))
    assert fine.shape[-1] == 2 * coarse.shape[-1]
    torch.testing.assert_close(fine[..., ::2, ::2], coarse)
