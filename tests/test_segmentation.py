"""The task segmentation: its head, loss and measure, and whole commands on scenes."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torchmetrics.classification import MulticlassJaccardIndex
from torchvision.tv_tensors import Mask

from commands import retrain, search
from foundation import distributed
from foundation.errors import InputError
from search_space import Architecture, build
from search_space.cost.cost import measure
from search_space.head import read_head
from search_space.spaces import priced_space
from tasks.choice import task
from tasks.segmentation.heads import ConvHead
from tasks.segmentation.room import SEGMENTATION, confusion, enlarged, intersections
from tests.small_spaces import SMALL_96
from training.data.scenes import CLASSES
from training.data.whole_pictures import IGNORED

CPU = torch.device("cpu")


class Given(nn.Module):
    """Says what it is told to."""

    def __init__(self, logits: torch.Tensor):
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


@pytest.mark.parametrize("missing", [False, True])
def test_miou_is_torchmetrics(missing: bool) -> None:
    """By one confusion matrix over all pictures; classes neither there nor predicted do not count."""
    generator = torch.Generator().manual_seed(0)
    classes = 5
    masks = torch.randint(0, 3 if missing else classes, (6, 9, 13), generator=generator, dtype=torch.uint8)
    masks[torch.rand(masks.shape, generator=generator) < 0.2] = IGNORED
    logits = torch.randn(6, classes, 5, 7, generator=generator)
    if missing:
        logits[:, 3:] = -100.0
    found = SEGMENTATION.measure(Given(logits), [(torch.zeros(6, 3, 9, 13), Mask(masks))])
    oracle = MulticlassJaccardIndex(classes, average="macro", ignore_index=IGNORED)
    assert found.measured.value == pytest.approx(
        float(oracle(enlarged(logits, (9, 13)).argmax(1), masks.long())), rel=1e-6
    )
    assert found.pictures == 6
    assert found.measured.beside["loss"] == pytest.approx(float(SEGMENTATION.loss(logits, Mask(masks))), rel=1e-5)
    counted = found.predictions["confusion"]
    assert counted.shape == (6, classes, classes)
    assert int(counted.sum()) == int((masks != IGNORED).sum())


def test_the_right_answer_is_all_there_is() -> None:
    masks = torch.randint(0, 4, (2, 8, 8), dtype=torch.uint8)
    right = confusion(masks.long(), masks, 4).sum(0)
    assert intersections(right).tolist() == [1.0] * 4
    wrong = confusion((masks.long() + 1) % 4, masks, 4).sum(0)
    assert intersections(wrong).tolist() == [0.0] * 4


def test_pictures_without_a_class_anywhere_teach_nothing() -> None:
    masks = Mask(torch.full((2, 8, 8), IGNORED, dtype=torch.uint8))
    assert SEGMENTATION.loss(torch.randn(2, 3, 4, 4), masks).item() == 0
    found = SEGMENTATION.measure(Given(torch.randn(2, 3, 4, 4)), [(torch.zeros(2, 3, 8, 8), masks)])
    assert found.measured.value == 0


@pytest.mark.parametrize("name", ["mobile-32", "mobilenetv2-32"])
def test_the_head_is_counted_at_its_size(name: str) -> None:
    space = priced_space(name).space.at(96)
    network = space.extreme(lambda _, options: options[0], largest=False)
    head = ConvHead(7, width=24)
    built = build(network, head)
    assert built(torch.randn(2, 3, 96, 96)).shape[:2] == (2, 7)
    side = built(torch.randn(2, 3, 96, 96)).shape[-1]
    cost = measure(network, head)
    assert cost.params == sum(parameter.numel() for parameter in built.parameters())
    # It follows the last stage: the convolution that is for a mean over the map is left out.
    channels = network.to_dict()["stages"][-1]["width"]
    assert cost.macs - measure(network, ConvHead(7, width=23)).macs == side**2 * (9 * channels + 7)
    assert read_head(head.to_dict()) == head


@pytest.mark.parametrize(("spec", "side", "message"), [("digits", 96, "known: scenes"), ("scenes", 32, "wants 32")])
def test_what_there_is_not_is_refused(spec: str, side: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SEGMENTATION.data(spec, side, CPU)


def test_classes_a_head_cannot_have() -> None:
    with pytest.raises(InputError, match="num_classes: expected an integer from 1"):
        ConvHead(0)
    with pytest.raises(InputError, match="width: expected an integer from 1"):
        ConvHead(3, width=0)


@pytest.mark.usefixtures("few_references", "short_recipes")
def test_from_the_search_to_the_retraining(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands, on few and small scenes: the shared weights hold the head, and its score is the task's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("training.data.scenes.SIZES", {"train": 96, "validation": 32, "test": 32})
    Path("small.toml").write_text(SMALL_96)
    given = [
        "--task",
        "segmentation",
        "--data",
        "scenes",
        "--space",
        "small.toml",
        "--max-macs",
        "2M",
        "--out",
        "run",
    ]
    sizes = ["--trials", "4", "--startup", "2", "--supernet-epochs", "1", "--batch-size", "16", "--finalists", "2"]
    search.main([*given, *sizes, "--quiet"])
    best = json.loads(Path("run/best.json").read_text())
    assert best["task"] == "segmentation"
    assert best["cost"]["macs"] <= 2_000_000
    retrain.main(["run", "--epochs", "1", "--compare"])
    printed = capsys.readouterr().out
    assert "test mIoU" in printed
    assert "uniform none full" in printed
    (found, *_) = json.loads(Path("run/retrain/results.json").read_text())
    assert list(found["test"]) == ["loss", "miou"]
    assert "no report" not in printed
    networks = {path.parent.name for path in Path("run/retrain").glob("*/examples.png")}
    assert networks == {path.parent.name for path in Path("run/retrain").glob("*/weights.safetensors")}
    section = Path("run/report.html").read_text().split('<section id="sees">')[1].split("</section>")[0]
    assert section.count("<img ") == len(networks) + 1  # the confusion matrix as well
    assert all(f'<td class="words">{name}</td>' in section for name in CLASSES)
    assert measure(Architecture.from_dict(best["architecture"]), ConvHead(len(CLASSES))).macs == best["cost"]["macs"]


def test_it_is_a_task_of_its_own() -> None:
    assert task("segmentation").metric.name == "miou"


def test_a_process_without_pictures_tells_what_the_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = torch.tensor([[[5, 1], [2, 8]]], dtype=torch.int32)
    alone = SEGMENTATION.examination([(counts, 4.0)])
    other = (counts.sum(0, dtype=torch.float64), 4.0)
    monkeypatch.setattr(distributed, "from_all", lambda here: [other, here])
    shared = SEGMENTATION.examination([], shared=True)
    assert shared.measured == alone.measured
    assert shared.pictures == 0
