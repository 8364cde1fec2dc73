"""The scenes: real digits on real photographs, made by a seed, divided before they are made."""

import hashlib

import numpy as np
import pytest
import torch

from foundation.errors import InputError
from training.data.digits import source
from training.data.scenes import CLASSES, CONTEXT, GRID, SIZES, photographs, scenes, tiles

FEW = 40


def _bytes(split: str, **options: int) -> str:
    found = scenes(split, count=FEW, **options)
    parts = [found.pictures, found.classes, *found.boxes, *found.digits, *found.originals]
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def test_a_seed_makes_the_same_bytes() -> None:
    assert _bytes("train") == _bytes("train")
    others = [_bytes("train", seed=1), _bytes("validation"), _bytes("test"), _bytes("train", side=48)]
    assert len({_bytes("train"), *others}) == 5


def test_more_scenes_begin_with_the_same() -> None:
    few, more = scenes("test", count=50), scenes("test", count=120)
    assert torch.equal(more.pictures[:50], few.pictures)
    assert torch.equal(more.classes[:50], few.classes)


def test_no_crop_and_no_digit_is_of_two_splits() -> None:
    for photograph in photographs():
        own = [set(map(tuple, tiles(split, photograph.shape).tolist())) for split in SIZES]
        assert all(own)
        assert len(set.union(*own)) == sum(map(len, own)) == (photograph.shape[0] // 64) * (photograph.shape[1] // 64)
        assert all(
            top + 64 <= photograph.shape[0] and left + 64 <= photograph.shape[1] for top, left in set.union(*own)
        )
    digits = [{image.tobytes() for image in source(split)[0]} for split in SIZES]
    assert len(set.union(*digits)) == sum(map(len, digits))


@pytest.mark.parametrize("side", [48, 96, 192])
def test_classes_boxes_and_digits_agree(side: int) -> None:
    found = scenes("validation", side, count=FEW)
    assert found.pictures.shape == (FEW, 3, side, side)
    assert found.classes.shape == (FEW, side, side)
    assert set(found.classes.unique().tolist()) == set(range(len(CLASSES)))
    cell = side // GRID
    ink = [CLASSES.index(name) for name in CONTEXT["far"]]
    labels = source("validation")[1]
    for classes, boxes, digits, originals in zip(
        found.classes, found.boxes, found.digits, found.originals, strict=True
    ):
        assert 1 <= len(boxes) == len(digits) == len(originals) <= GRID**2
        assert digits.tolist() == labels[originals.numpy()].tolist()
        inked = torch.isin(classes, torch.tensor(ink))
        assert len(classes[inked].unique()) == 1  # the bar stands on one border
        around = torch.zeros_like(inked)
        for (left, top, right, bottom), digit in zip(boxes.int().tolist(), digits.tolist(), strict=True):
            inside = inked[top:bottom, left:right]
            assert inside.any(0).all() or inside.any(1).all()
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
            around[top:bottom, left:right] = True
            row, column = top // cell * cell, left // cell * cell
            own = classes[row : row + cell, column : column + cell]
            middle = own[~inked[row : row + cell, column : column + cell]].unique()
            assert middle.tolist() == [CLASSES.index("low" if digit < 5 else "high")]
        assert not (inked & ~around).any()


def test_the_bar_stands_where_the_ink_says() -> None:
    found = scenes("train", count=200)
    white = (found.pictures == 255).all(1)
    for picture, classes in zip(white, found.classes, strict=True):
        left = (classes == CLASSES.index("ink-left")).any()
        border = picture[:, :4] if left else picture[:, -4:]
        assert border.all(1).sum() >= 24


def test_every_class_is_met_often() -> None:
    shares = np.bincount(scenes("train", count=500).classes.numpy().ravel(), minlength=len(CLASSES)) / (500 * 96 * 96)
    assert (shares > 0.03).all()


@pytest.mark.parametrize("side", [32, 50, 196])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(InputError, match=f"wants {side}"):
        scenes("train", side)


def test_relabelling_changes_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    before = scenes("test", 96, count=20)
    order = [0, 1, 2, 4, 3, 6, 5]
    monkeypatch.setattr("training.data.scenes.CLASSES", tuple(CLASSES[number] for number in order))
    after = scenes("test", 96, count=20)
    assert torch.equal(after.pictures, before.pictures)
    assert torch.equal(after.classes, torch.tensor(order, dtype=torch.uint8)[before.classes.long()])
    assert not torch.equal(after.classes, before.classes)
