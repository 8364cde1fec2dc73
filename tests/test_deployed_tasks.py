"""Networks of segmentation after their training: tested, asked, drawn, exported."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex
from torchvision.transforms.v2 import functional as F

import coordnas
from commands import ending, evaluate, predict, retrain
from deployment.answers import answering
from deployment.evaluation import evaluated
from deployment.export import check_same_outputs, export
from deployment.model_source import read_model
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space import Architecture, Attention, Network, Stage, build
from search_space.head import ClassifierHead
from tasks.colours import colour
from tasks.segmentation.heads import ConvHead
from tasks.segmentation.room import SEGMENTATION
from training.checkpoint import load_weights, save_weights
from training.data import scenes
from training.data.preprocessing import photograph, read_picture
from training.data.whole_pictures import whole_picture
from training.methods.teacher import load_teacher
from training.model_file import ModelInfo, load_model, save_model

CPU = torch.device("cpu")
QUIET = Reporter(quiet=True)
SIDE = 48
STAGES = (Stage("inverted_residual", 12, 2, 2, 3, (Attention("ca", 4),)),)
ARCHITECTURE = Architecture(SIDE, 8, 2, STAGES, None, "relu6")
HEAD = ConvHead(len(scenes.CLASSES), width=16)
INFO = ModelInfo(ARCHITECTURE, scenes.CLASSES, scenes.MEAN, scenes.STD, "scenes", "segmentation", {}, HEAD)


def _network() -> Network:
    """Untrained; its answers are of several classes all the same."""
    torch.manual_seed(1)
    network = build(ARCHITECTURE, HEAD)
    network.train()(torch.randn(8, 3, SIDE, SIDE))  # batch statistics
    torch.nn.init.normal_(network.classifier.logits.weight)
    return network.eval()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.scenes.SIZES", {"train": 24, "validation": 12, "test": 20})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    network = _network()
    save_model(folder / "weights.safetensors", network.state_dict(), INFO)
    export(network, INFO, ("onnx", "safetensors", "torchscript"), folder, QUIET)
    return folder


def ended(command: Any, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["command.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        ending.run(command.main, continues=False)
    return ended.value.code


# The file


def test_a_file_says_its_head(exported: Path) -> None:
    network, info = load_model(exported / "weights.safetensors")
    assert info == INFO
    assert network.classifier.logits.out_channels == len(scenes.CLASSES)
    assert not info.class_labels
    images = torch.randn(2, 3, 50, 60)
    with torch.no_grad():
        assert network(images).equal(_network()(images))


def test_a_classifiers_head_follows_from_its_classes() -> None:
    info = ModelInfo(ARCHITECTURE, ("a", "b"), (0.5,), (0.2,), "digits")
    assert info.to_metadata().keys() == {"architecture", "classes", "normalisation", "data"}
    assert info.head == ClassifierHead(2)
    assert info.class_labels
    assert ModelInfo.from_metadata(info.to_metadata(), "x") == info
    other = replace(info, classes=(), task="centre", head=ClassifierHead(2))
    assert not other.class_labels
    assert ModelInfo.from_metadata(other.to_metadata(), "x") == other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": '{"head": "none"}'}, "head 'none' is unknown; known: "),
        ({"head": '{"head": "conv", "num_classes": 0}'}, "num_classes: expected an integer from 1"),
        ({"head": "[]"}, "not a head"),
        ({"classes": "[]"}, "lacks head"),
    ],
)
def test_a_head_that_is_none(change: dict[str, str], message: str) -> None:
    metadata = {**INFO.to_metadata(), **change}
    if "classes" in change:
        del metadata["head"]
    with pytest.raises(InputError) as raised:
        ModelInfo.from_metadata(metadata, "x.safetensors")
    assert str(raised.value).startswith("x.safetensors: not a trained network's file (")
    assert message in str(raised.value)


# Testing


@pytest.mark.usefixtures("few")
def test_every_file_of_a_network_tests_alike(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By torchmetrics' count; what gives answers alone has no loss, and says so."""
    network, made = _network(), scenes.scenes("test", SIDE)
    mean, std = (torch.tensor(values)[:, None, None] for values in (scenes.MEAN, scenes.STD))
    with torch.no_grad():
        logits = network((made.pictures / 255 - mean) / std)
    taken, truth = F.resize_image(logits, [SIDE, SIDE], antialias=False).argmax(1), made.classes.long()
    found = {}
    for name in ("weights.safetensors", "model.safetensors", "model.onnx"):
        out = tmp_path / name
        assert ended(evaluate, [str(exported / name), "--out", str(out), "--batch-size", "7"], monkeypatch) == 0
        printed = capsys.readouterr().out
        found[name] = json.loads((out / "evaluation.json").read_text())
        assert ("gives answers alone, so there is no loss" in printed) == (name == "model.onnx")
        assert (" loss " in printed) == (name != "model.onnx")
        assert f" {100 * found[name]['miou']:.2f} % " in printed
        with Image.open(out / "confusion.png") as picture:
            assert min(picture.size) > 500
    one = found["weights.safetensors"]
    classes = len(scenes.CLASSES)
    expected = MulticlassJaccardIndex(classes, average="none")(taken, truth)
    assert [entry["iou"] for entry in one["classes"]] == pytest.approx(expected.tolist(), abs=1e-4)
    assert one["miou"] == pytest.approx(float(expected.mean()), abs=1e-4)
    counted = MulticlassConfusionMatrix(classes)(taken, truth)
    for name, row in zip(scenes.CLASSES, counted, strict=True):
        assert sum(one["confusion"][name].values()) == int(row.sum())
    assert [entry["pixels"] for entry in one["classes"]] == counted.sum(1).tolist()
    assert (one["pictures"], one["data"], one["split"]) == (20, "scenes", "test")
    assert one["loss"] > 0
    assert found["model.safetensors"] == one
    assert found["model.onnx"]["loss"] is None
    assert found["model.onnx"]["miou"] == pytest.approx(one["miou"], abs=1e-5)


@pytest.mark.usefixtures("few")
def test_a_table_by_class_says_what_a_class_is_taken_for(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main([str(exported / "weights.safetensors"), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert ["class", "pixels", "iou", "also", "taken", "for"] in [line.split() for line in printed.splitlines()]
    found = json.loads((tmp_path / "evaluation.json").read_text())
    row = dict(found["confusion"]["temple"])
    row.pop("temple", None)
    other = max(row, key=lambda name: row[name])
    (line,) = (line for line in printed.splitlines() if line.startswith("  temple "))
    assert line.split("%")[1].strip() == f"{other} ({row[other]})"
    assert f" {found['classes'][0]['pixels']} " in line


@pytest.mark.usefixtures("few")
def test_numbers_are_those_of_a_training(exported: Path) -> None:
    data = SEGMENTATION.data("scenes", SIDE, CPU)
    expected = SEGMENTATION.measure(_network(), data.validation.batches(5)).measured
    for name, beside in (("weights.safetensors", {"loss"}), ("model.onnx", set())):
        see = read_model(exported / name, CPU).see
        found = evaluated(see, data.validation.batches(5), data.classes, SEGMENTATION).measured
        assert found.value == pytest.approx(expected.value, abs=1e-5)
        assert found.beside.keys() == beside
        assert found.beside.get("loss", expected.beside["loss"]) == pytest.approx(expected.beside["loss"], rel=1e-6)


def test_latency_is_measured_of_any_task(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate.main([str(exported), "--latency", "--rounds", "2", "--runtimes", "eager"])
    assert " ms " in capsys.readouterr().out


# Asking


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = Path("pictures")
    folder.mkdir()
    for number, pixels in enumerate(scenes.scenes("test", 96, count=2).pictures):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx"])
def test_shares_of_a_picture_are_told(
    exported: Path, pictures: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ended(predict, [str(exported / name), "pictures/1.png", "--top", "3"], monkeypatch) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    model = read_model(exported / name, CPU)
    (mask,) = model.see(read_picture(pictures / "1.png", INFO)[None]).answers
    assert mask.shape == (SIDE, SIDE)
    numbers, counts = np.unique(mask.numpy(), return_counts=True)
    ranked = sorted(zip(counts.tolist(), numbers.tolist(), strict=True), key=lambda one: (-one[0], one[1]))[:3]
    assert first == "pictures/1.png"
    assert lines == [f"  {100 * count / SIDE**2:6.2f} %  {scenes.CLASSES[number]}" for count, number in ranked]


def test_classes_that_are_not_there_are_not_told() -> None:
    told = SEGMENTATION.told(torch.tensor([[[2, 2, 0, 2]], [[1, 1, 1, 1]]]), ("a", "b", "c"), 5)
    assert told == [[("c", 0.75), ("a", 0.25)], [("b", 1.0)]]


def test_a_mask_is_drawn_over_its_picture(exported: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(predict, [str(exported), "pictures", "--out", "drawn/here"], monkeypatch) == 0
    assert sorted(path.name for path in Path("drawn/here").iterdir()) == ["0.png", "1.png"]
    model = read_model(exported / "weights.safetensors", CPU)
    (mask,) = model.see(read_picture(pictures / "0.png", INFO)[None]).answers
    assert len(mask.unique()) > 2
    with Image.open("drawn/here/0.png") as picture:
        drawn = torch.from_numpy(np.array(picture.convert("RGB")))
    below = photograph(pictures / "0.png", INFO, 768).permute(1, 2, 0)
    assert (drawn.shape[0], below.shape) == (768, (768, 768, 3))
    for row, column in ((100, 100), (300, 700), (650, 20)):
        class_of = int(mask[row * SIDE // 768, column * SIDE // 768])
        expected = 0.45 * below[row, column] + 0.55 * torch.tensor(colour(class_of))
        assert (drawn[row, column] - expected).abs().max() <= 2
    beside = drawn[:, 768:].reshape(-1, 3).tolist()
    for number in mask.unique().tolist():  # the legend has each colour
        assert list(colour(number)) in beside


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["pictures", "--out", "pictures"], "--out pictures: pictures/0.png is there, and not written by this command"),
        (["pictures", "--out", "mine"], "--out mine: mine/1.png is there, and not written by this command; choose"),
        (
            ["pictures", "other/1.jpg", "--out", "drawn"],
            "--out drawn: pictures/1.png and other/1.jpg would both be written as 1.png; rename one",
        ),
        (["pictures", "--out", "mine/1.png"], "--out mine/1.png: is a file, or lies in one; choose another"),
    ],
)
def test_no_picture_of_the_users_is_overwritten(
    exported: Path,
    pictures: Path,
    given: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in ("other/1.jpg", "mine/1.png"):
        Path(path).parent.mkdir()
        Image.new("RGB", (60, 50)).save(path)
    before = {path: path.read_bytes() for path in Path().rglob("*.*")}
    assert ended(predict, [str(exported), *given], monkeypatch) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().rglob("*.*")} == before
    again = [str(exported), "pictures", "--out", "drawn"]
    assert [ended(predict, again, monkeypatch) for _ in range(2)] == [0, 0]  # its own pictures it writes anew


def test_what_cannot_be_drawn_over_is_named(
    exported: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo("pipe.png")
    assert ended(predict, [str(exported), "pipe.png", "--out", "drawn"], monkeypatch) == 2
    assert "--out drawn: pipe.png is a pipe, which can be read once; save the picture" in capsys.readouterr().err
    long = "a" * 300 + ".png"
    assert ended(predict, [str(exported), long, "pictures", "--out", "drawn"], monkeypatch) == 2
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["0.png", "1.png"]
    assert f"error: {long}: cannot be read (File name too long)" in capsys.readouterr().err


def test_a_classifier_draws_nothing(
    pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = ModelInfo(ARCHITECTURE, ("a", "b"), (0.5,), (0.2,), "folder")
    save_model(Path("model.safetensors"), build(ARCHITECTURE, 2).state_dict(), info)
    assert ended(predict, ["model.safetensors", "pictures", "--out", "drawn"], monkeypatch) == 2
    assert "--out drawn: task classification has nothing to draw; leave it out" in capsys.readouterr().err
    assert not Path("drawn").exists()


@pytest.mark.parametrize("kind", ["masks", "voc", "coco"])
def test_pictures_are_seen_whole_where_they_were_in_training(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((90, 40), 90).convert("RGB").save(path, exif=exif)
    info = replace(INFO, data=kind, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    expected = whole_picture(np.fromfile(path, dtype=np.uint8), SIDE)[0]
    assert (255 * read_picture(path, info)).round().to(torch.uint8).equal(expected)
    drawn_over = photograph(path, info, 180)
    assert drawn_over.shape == (3, 180, 80)  # upright, in its own aspect
    squeezed = F.resize_image(drawn_over, [SIDE, SIDE], antialias=True).float()
    assert (squeezed - expected).abs().mean() < 8


@pytest.mark.usefixtures("pictures")
def test_from_python(exported: Path) -> None:
    trained = coordnas.load_network(exported / "weights.safetensors")
    image = trained.prepare("pictures/0.png")
    masks = trained.answers(image[None])
    with torch.no_grad():
        assert masks.equal(SEGMENTATION.answers(_network()(image[None]), (SIDE, SIDE)))
    seen = trained.predict("pictures/0.png", top=2)
    assert seen == SEGMENTATION.told(masks, scenes.CLASSES, 2)[0]
    assert trained.answers(torch.randn(3, 3, 40, 72)).shape == (3, 40, 72)


# Exports


def _onnx(folder: Path) -> Callable[[Tensor], Tensor]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return lambda images: torch.from_numpy(session.run(["masks"], {"images": images.numpy()})[0])


def _torchscript(folder: Path) -> Callable[[Tensor], Tensor]:
    return torch.jit.load(folder / "model.torchscript.pt")


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("load", [_onnx, _torchscript])
@pytest.mark.parametrize("shape", [(1, 48, 48), (5, 48, 48), (2, 31, 70), (1, 9, 8)])
def test_an_exported_file_gives_masks(
    exported: Path, load: Callable[[Path], Callable[[Tensor], Tensor]], shape: tuple[int, int, int]
) -> None:
    images = torch.randn(shape[0], 3, *shape[1:])
    logits = _network()(images)
    found = load(exported)(images)
    assert found.dtype == torch.int64
    assert found.shape == shape
    whole = torch.nn.functional.interpolate(logits, shape[1:], mode="bilinear")
    best = whole.topk(2, 1)
    decided = best.values[:, 0] - best.values[:, 1] > 1e-4
    assert decided.float().mean() > 0.99
    assert found[decided].equal(best.indices[:, 0][decided])
    assert len(found.unique()) > 1


def test_an_onnx_files_masks_are_for_any_size(exported: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    (images,), (masks,) = model.graph.input, model.graph.output
    shapes = [[axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim] for one in (images, masks)]
    assert shapes == [["batch", 3, "height", "width"], ["batch", "height", "width"]]
    assert (images.name, masks.name) == ("images", "masks")
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert ModelInfo.from_metadata(told, "") == INFO
    assert load_weights(exported / "model.safetensors")[1] == told


@torch.no_grad()
def test_the_check_of_an_export_finds_a_wrong_pixel() -> None:
    network = _network()

    def changed(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        return SEGMENTATION.answers(change(network(images)), images.shape[2:])

    def check(again: Callable[[Tensor], Tensor]) -> None:
        check_same_outputs(network, again, SIDE, Path("x"), "leave it", task=SEGMENTATION)

    check(lambda images: changed(images, lambda logits: logits))
    # A pixel whose two best logits are as good as equal may be of either class.
    check(lambda images: changed(images, lambda logits: logits + 1e-6 * torch.randn_like(logits)))
    with pytest.raises(InputError, match=r"x: its masks differ from the network's by .* at 1 picture of 48×48, more"):
        check(lambda images: changed(images, lambda logits: logits + 0.1 * torch.randn_like(logits)))

    def one_pixel(images: Tensor) -> Tensor:
        masks = changed(images, lambda logits: logits)
        if len(images) == 3:
            masks[1, 5, 7] = (masks[1, 5, 7] + 1) % len(scenes.CLASSES)
        return masks

    with pytest.raises(InputError, match="at 3 pictures of 48×48"):
        check(one_pixel)
    with pytest.raises(InputError, match="by nan at"):
        check(lambda images: changed(images, lambda logits: logits)[:, 1:])
    with pytest.raises(InputError, match="fails at 1 picture of 48×48"):
        check(lambda images: changed(images, lambda logits: logits) + 7)


def test_an_onnx_file_of_another_graph(exported: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported / "model.onnx")
    for entry in model.metadata_props:
        if entry.key == "classes":
            entry.value = json.dumps(scenes.CLASSES[:2])
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="for 2 pictures, and its metadata names 2 classes"):
        read_model(tmp_path / "model.onnx", CPU).see(torch.randn(2, 3, SIDE, SIDE))


@pytest.mark.parametrize("format_name", ["timm", "int8"])
def test_formats_of_classifiers(format_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = f"`export` {format_name}: for class labels alone, which task segmentation does not have; leave it out"
    with pytest.raises(InputError, match=message):
        export(_network(), INFO, (format_name,), tmp_path, QUIET, [torch.randn(1, 3, SIDE, SIDE)])
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(ARCHITECTURE.to_json())
    with pytest.raises(InputError, match=f"`export` {format_name}: for class labels alone"):
        retrain.main(["a.json", "--task", "segmentation", "--data", "scenes", "--export", format_name, "--quiet"])


def test_a_network_without_class_labels_is_no_teacher(exported: Path) -> None:
    data = SEGMENTATION.data("scenes", SIDE, CPU)
    with pytest.raises(InputError, match="of task segmentation, without class labels; expected torchvision:NAME"):
        load_teacher(str(exported / "weights.safetensors"), data)


# Broken files


def test_broken_weights_are_named(exported: Path, tmp_path: Path) -> None:
    tensors, metadata = load_weights(exported / "weights.safetensors")
    del tensors["classifier.logits.bias"]
    save_weights(tmp_path / "x.safetensors", tensors, metadata)
    with pytest.raises(InputError, match=r"x.safetensors: its weights are not of its architecture \(.*logits.bias"):
        load_model(tmp_path / "x.safetensors")
    assert answering(INFO, "x").name == "segmentation"


@pytest.mark.usefixtures("few")
def test_a_network_that_gives_no_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its masks would hold a class all the same."""
    network = _network()
    network.classifier.logits.bias.data.fill_(float("nan"))
    path = tmp_path / "weights.safetensors"
    save_model(path, network.state_dict(), INFO)
    Image.new("RGB", (50, 50)).save(tmp_path / "a.png")
    for command, more in ((evaluate, []), (predict, [str(tmp_path / "a.png")])):
        assert ended(command, [str(path), *more], monkeypatch) == 2
        assert "not finite; was it trained to the end?" in capsys.readouterr().err
