"""Average precision of boxes."""

import math

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from foundation.errors import InputError
from tasks.detection.average_precision import Things, average_precision, check_installed


def _scene(generator: torch.Generator, count: int, classes: int) -> Things:
    corners = torch.rand(count, 2, generator=generator) * 60
    sides = torch.rand(count, 2, generator=generator) * 40 + 5
    labels = torch.randint(classes, (count,), generator=generator)
    return {"boxes": torch.cat((corners, corners + sides), 1), "labels": labels}


def _near(true: Things, generator: torch.Generator, classes: int) -> Things:
    """Most of the boxes a little beside their places, some of another class, and some more."""
    other = _scene(generator, 6, classes)
    boxes = true["boxes"] + 3 * torch.randn(true["boxes"].shape, generator=generator)
    boxes = torch.cat((boxes, other["boxes"]))
    labels = torch.cat((true["labels"], other["labels"]))
    return {"boxes": boxes, "labels": labels, "scores": torch.rand(len(boxes), generator=generator)}


def test_it_is_pycocotools() -> None:
    generator = torch.Generator().manual_seed(0)
    true = [_scene(generator, count, 4) for count in (5, 0, 9, 3, 7)]
    found = [_near(one, generator, 4) for one in true]
    values, by_class = average_precision(found, true, 4)

    def rows(pictures: list[Things]) -> list[dict[str, object]]:
        listed: list[dict[str, object]] = []
        for image, one in enumerate(pictures, 1):
            for row, (left, top, right, bottom) in enumerate(one["boxes"].double().tolist()):
                box = [left, top, right - left, bottom - top]
                about = {"image_id": image, "category_id": int(one["labels"][row]), "bbox": box, "iscrowd": 0}
                score = {"score": float(one["scores"][row])} if "scores" in one else {}
                listed.append({**about, "area": box[2] * box[3], "id": len(listed) + 1, **score})
        return listed

    truth, results = COCO(), COCO()
    truth.dataset = {"images": [{"id": n} for n in range(1, 6)], "categories": [{"id": n} for n in range(4)]}
    results.dataset = {**truth.dataset, "annotations": rows(found)}
    truth.dataset["annotations"] = rows(true)
    truth.createIndex()
    results.createIndex()
    oracle = COCOeval(truth, results, "bbox")
    oracle.evaluate()
    oracle.accumulate()
    oracle.summarize()
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    for name, expected in zip(names, oracle.stats, strict=False):
        got = values[name]
        near = 1e-6 if name in names[:3] else 1e-3  # torchmetrics counts a box's area a little otherwise
        assert (math.isnan(got) and expected == -1) or got == pytest.approx(expected, abs=near), name
    precisions = oracle.eval["precision"]
    for number, value in enumerate(by_class):
        assert value == pytest.approx(precisions[:, :, number, 0, 2].mean(), abs=1e-6)
    assert 0.05 < values["ap"] < 0.95


@pytest.fixture
def true() -> list[Things]:
    return [_scene(torch.Generator().manual_seed(1), count, 2) for count in (4, 0, 3)]


def test_the_truth_is_one_and_nothing_is_zero(true: list[Things]) -> None:
    values, by_class = average_precision([{**one, "scores": torch.ones(len(one["labels"]))} for one in true], true, 3)
    assert values["ap"] == values["ap50"] == 1
    assert by_class[:2] == (1, 1)
    assert math.isnan(by_class[2])
    nothing: dict[str, Tensor] = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "scores": torch.zeros(0)}
    values, by_class = average_precision([nothing] * 3, true, 3)
    assert values["ap"] == 0
    assert by_class[:2] == (0, 0)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"`task` detection: torchmetrics is not installed; get it by: pip install"):
        check_installed()


def test_without_any_thing_to_find_it_is_no_number() -> None:
    nothing: dict[str, Tensor] = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}
    values, by_class = average_precision([{**nothing, "scores": torch.zeros(0)}], [nothing], 2)
    assert all(math.isnan(value) for value in (*values.values(), *by_class))
