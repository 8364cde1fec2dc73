"""The task detection: the scenes' boxes, its measure, and whole commands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from commands import evaluate, predict, retrain, search
from foundation.errors import InputError
from search_space import Architecture
from search_space.cost.cost import measure
from search_space.space_file import read_space
from tasks.detection.room import Detection
from tasks.detection.ssdlite import SSDLiteHead
from tests.small_spaces import small_space
from training.data.scenes import scenes
from training.task import Answering, Drawing

CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent

SPACE = small_space("small-48", 2)


class Given(nn.Module):
    """Says what it is told to, a batch at a time."""

    def __init__(self, outputs: list[dict[str, Tensor]]):
        super().__init__()
        self.outputs = iter(outputs)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return next(self.outputs)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("training.data.scenes.SIZES", {"train": 96, "validation": 32, "test": 32})


@pytest.mark.usefixtures("few")
def test_boxes_of_the_scenes_are_the_digits() -> None:
    data = Detection().data("scenes", 48, CPU)
    made = scenes("validation", 48)
    (images, targets), *_ = data.validation.batches(8)
    assert images.shape == (8, 3, 48, 48)
    assert float(images.min()) == pytest.approx(-1)  # as torchvision normalises for SSDLite
    assert float(images.max()) == pytest.approx(1)
    for target, boxes, digits in zip(targets, made.boxes, made.digits, strict=False):
        assert torch.equal(target["boxes"].as_subclass(Tensor), boxes)
        assert torch.equal(target["labels"], digits)
        assert target["boxes"].canvas_size == (48, 48)
    assert data.classes == tuple("0123456789")


@pytest.mark.usefixtures("few")
def test_who_says_the_truth_is_right() -> None:
    """Default boxes that are the boxes themselves, with a large logit for the right class."""
    data = Detection().data("scenes", 48, CPU)
    outputs = []
    for _, targets in data.validation.batches(8):
        most = max(len(target["labels"]) for target in targets)
        classes = torch.full((8, most, 11), -20.0)
        classes[:, :, 0] = 20
        defaults = torch.rand(8, most, 4).sort(2).values
        for row, target in enumerate(targets):
            for place, (box, label) in enumerate(zip(target["boxes"], target["labels"], strict=True)):
                classes[row, place, 0], classes[row, place, 1 + int(label)] = -20, 20
                defaults[row, place] = box.as_subclass(Tensor) / 48
        outputs.append({"classes": classes, "boxes": torch.zeros(8, most, 4), "defaults": defaults})
    found = Detection().measure(Given(outputs), data.validation.batches(8))
    assert found.measured.value == pytest.approx(1)
    assert found.pictures == 32
    assert found.by_class is not None
    by_class = found.by_class()
    assert sum(by_class.counts) == sum(len(digits) for digits in scenes("validation", 48).digits)
    assert by_class.shares["ap"] == pytest.approx([1] * 10)
    assert [entry.name for entry in found.entries] == [
        "ap",
        "ap50",
        "ap75",
        "ap_small",
        "ap_medium",
        "ap_large",
        "loss",
    ]
    assert found.entries[4].value is None  # no digit is as large as 32 pixels


def test_what_is_ignored_counts_nowhere() -> None:
    from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

    boxes = torch.tensor([[0.0, 0.0, 40.0, 40.0], [50.0, 50.0, 90.0, 90.0]])
    defaults = (boxes / 100)[None]
    classes = torch.tensor([[[-20.0, 20.0], [-20.0, 20.0]]])
    outputs = {"classes": classes, "boxes": torch.zeros(1, 2, 4), "defaults": defaults}
    placed = BoundingBoxes(boxes, format=BoundingBoxFormat.XYXY, canvas_size=(100, 100))
    target = {"boxes": placed, "labels": torch.zeros(2).long(), "ignored": torch.tensor([False, True])}
    found = Detection().measure(Given([outputs]), [(torch.zeros(1, 3, 100, 100), [target])])
    assert found.measured.value == pytest.approx(1)  # the second is neither right nor wrong
    only = {"boxes": placed[:1], "labels": torch.zeros(1).long()}
    other = Detection().loss(outputs, [{**target, "ignored": torch.tensor([False, True])}])
    placed_only = BoundingBoxes(only["boxes"], format=BoundingBoxFormat.XYXY, canvas_size=(100, 100))
    assert torch.equal(other, Detection().loss(outputs, [{**only, "boxes": placed_only}]))


def test_it_answers_and_draws() -> None:
    assert isinstance(Detection(), Answering)
    assert isinstance(Detection(), Drawing)


@pytest.mark.parametrize(
    ("spec", "side", "problem"),
    [
        ("digits", 96, "known: scenes, scenes:people, coco:PATH, voc:PATH"),
        ("scenes", 32, "wants 32"),
        ("coco:", 96, "no such folder"),
    ],
)
def test_data_that_there_is_not(spec: str, side: int, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Detection().data(spec, side, CPU)


@pytest.mark.usefixtures("few", "few_references")
def test_from_the_search_to_the_exported_file(capsys: pytest.CaptureFixture[str]) -> None:
    """All commands on few and small scenes, with the presets' own settings where they are small enough."""
    Path("small.toml").write_text(SPACE)
    given = ["--task", "detection", "--space", "small.toml", "--head", "ssdlite/16", "--max-macs", "1M", "--out", "run"]
    sizes = ["--trials", "4", "--startup", "2", "--supernet-epochs", "1", "--batch-size", "16", "--finalists", "0"]
    search.main([*given, *sizes, "--quiet"])
    best = json.loads(Path("run/best.json").read_text())
    assert best["task"] == "detection:ssdlite/16"
    assert best["cost"]["macs"] <= 1_000_000
    head = SSDLiteHead.after(10, 16, (2, 4, 8), 48)
    assert measure(Architecture.from_dict(best["architecture"]), head).macs == best["cost"]["macs"]
    retrain.main(["run", "--epochs", "1", "--export", "onnx"])
    printed = capsys.readouterr().out
    assert "test AP" in printed
    assert "no report" not in printed
    (found, *_) = json.loads(Path("run/retrain/results.json").read_text())
    assert list(found["test"]) == ["ap", "ap50", "loss"]
    section = Path("run/report.html").read_text().split('<section id="sees">')[1].split("</section>")[0]
    assert section.count("<img ") == 1
    assert ">AP small</button>" in section

    # In processes of their own, in which no task was asked for.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import coordnas; print(coordnas.load_run('run').space.name)"
    for command in (["-c", code], [str(ROOT / "describe.py"), "run"]):
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
    for file in ("weights.safetensors", "model.onnx"):
        evaluate.main([f"run/retrain/found-0/{file}", "--out", f"evaluated-{file}"])
    ours, theirs = (
        json.loads(Path(f"evaluated-{file}/evaluation.json").read_text())
        for file in ("weights.safetensors", "model.onnx")
    )
    assert ours["ap"] == found["test"]["ap"]
    assert theirs["ap"] == pytest.approx(ours["ap"], abs=1e-6)
    assert not Path("evaluated-model.onnx/confusion.png").exists()

    Image.fromarray(scenes("test", 48, count=1).pictures[0].permute(1, 2, 0).numpy()).save("scene.png")
    predict.main(["run/retrain/found-0", "scene.png", "--out", "drawn"])
    assert Path("drawn/scene.png").exists()
    assert "%" in capsys.readouterr().out


def test_pictures_of_ones_own_in_cocos_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SPACE)
    architecture = read_space("small.toml").widest(own_kernels=False)[0][1]
    Path("small.json").write_text(architecture.to_json())
    for split, count in (("train", 34), ("val", 4), ("test", 4)):
        made = scenes("train" if split == "train" else split.replace("val", "validation"), 48, count=count)
        folder = Path("mine", split)
        folder.mkdir(parents=True)
        annotations: list[dict[str, object]] = []
        for number, (picture, boxes, digits) in enumerate(zip(made.pictures, made.boxes, made.digits, strict=True)):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
            for (left, top, right, bottom), digit in zip(boxes.tolist(), digits.tolist(), strict=True):
                box = [left, top, right - left, bottom - top]
                annotations.append(
                    {"id": len(annotations), "image_id": number, "category_id": digit, "bbox": box, "iscrowd": 0}
                )
        images = [{"id": n, "file_name": f"{n}.png", "width": 48, "height": 48} for n in range(count)]
        categories = [{"id": n, "name": str(n)} for n in range(10)]
        said = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations.json").write_text(json.dumps(said))
    given = ["--task", "detection", "--head", "ssdlite/16", "--data", "coco:mine", "--epochs", "1", "--out", "out"]
    retrain.main(["small.json", *given, "--quiet"])
    assert json.loads(Path("out/results.json").read_text())[0]["test"]["ap"] >= 0
