"""Boxes and masks move as the pixels of their pictures do, whatever augmentation does to these."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.tv_tensors import BoundingBoxes, KeyPoints, Mask, Video

from foundation.errors import InputError
from training.augmentation.draws import Draws, draw_alterations
from training.augmentation.places import have_places
from training.augmentation.recipe import Augmentation
from training.data.held import HeldSplit
from training.data.pictures import Pictures
from training.resize import resized_batch
from training.targets import Targets

CPU = torch.device("cpu")
HEIGHT, WIDTH = 40, 48


def _split(rectangles: list[tuple[int, int, int, int]], kind: str) -> HeldSplit:
    """A picture for each rectangle (left, top, right, bottom), which is white in it, on black."""
    images = torch.zeros(len(rectangles), 1, HEIGHT, WIDTH, dtype=torch.uint8)
    for image, (left, top, right, bottom) in zip(images, rectangles, strict=True):
        image[:, top:bottom, left:right] = 255
    whole = images[:, 0] // 255
    targets: Targets = Mask(whole.to(torch.int64))
    if kind != "masks":
        targets = [
            {
                "boxes": BoundingBoxes(torch.tensor([corners]).float(), format="XYXY", canvas_size=(HEIGHT, WIDTH)),
                "masks": Mask(mask[None]),
                "labels": torch.tensor([7]),
                "number": torch.tensor(number),
            }
            for number, (corners, mask) in enumerate(zip(rectangles, whole, strict=True))
        ]
    return HeldSplit(Pictures(images, targets), (0.0,), (1.0,), CPU)


def _extent(bright: Tensor) -> tuple[int, int, int, int]:
    rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def _check(image: Tensor, target: dict[str, Tensor], slack: float, *, tight: bool) -> None:
    """The box and the mask fit what is bright. Where a turned rectangle was cut off, its box may be wider."""
    bright = image[0] > 0.5
    if not len(target["boxes"]):
        assert bright.sum() <= 2 * (HEIGHT + WIDTH) * slack  # nothing but a sliver is left
        assert len(target["labels"]) == len(target["masks"]) == 0
        return
    assert target["labels"].tolist() == [7]
    mask = target["masks"][0] > 0
    if not bright.any():
        return
    # They differ on the rectangle's border at most, whose pixels are mixed, and by a pixel at most.
    border = torch.nn.functional.max_pool2d((image[:1] > 0.05).float(), 3, 1, 1)[0] > 0
    dark = torch.nn.functional.pad((image[:1] < 0.95).float(), (1, 1, 1, 1), value=1.0)
    core = torch.nn.functional.max_pool2d(dark, 3, 1)[0] == 0
    assert not (mask & ~border).any()
    assert not (core & ~mask).any()
    left, top, right, bottom = target["boxes"][0].tolist()
    found = _extent(bright)
    assert left <= found[0] + slack
    assert top <= found[1] + slack
    assert right >= found[2] - slack
    assert bottom >= found[3] - slack
    if tight:
        assert max(abs(a - b) for a, b in zip((left, top, right, bottom), found, strict=True)) <= slack


@st.composite
def _rectangle(draw: st.DrawFn, margin: int) -> tuple[int, int, int, int]:
    left, top = draw(st.integers(margin, WIDTH - margin - 6)), draw(st.integers(margin, HEIGHT - margin - 6))
    return left, top, draw(st.integers(left + 6, WIDTH - margin)), draw(st.integers(top + 6, HEIGHT - margin))


CASES = {
    "crop-flip": (Augmentation("crop-flip"), True),
    "random-resized-crop": (Augmentation("random-resized-crop"), True),
    "rand-augment": (Augmentation("none", rand_augment=6), False),
    "all": (Augmentation("crop-flip", rand_augment=6), False),
    "cropped and all": (Augmentation("random-resized-crop", rand_augment=6), False),
}


@pytest.mark.parametrize("name", CASES)
@given(rectangle=_rectangle(0), seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_they_fit_the_bright_pixels(name: str, rectangle: tuple[int, int, int, int], seed: int) -> None:
    augmentation, tight = CASES[name]
    split = _split([rectangle] * 4, "boxes")

    def moving(*given: Any) -> Draws:
        """Of RandAugment nothing or what moves pixels: what turns black into white says nothing about places."""
        drawn = draw_alterations(*given)
        return drawn if drawn.operations is None else replace(drawn, operations=drawn.operations % 6)

    with patch("training.data.split.draw_alterations", moving):
        images, targets = next(split.batches(4, seed=seed, augmentation=augmentation))
    assert not isinstance(targets, Tensor)
    for image, target in zip(images, targets, strict=True):
        _check(image, dict(target), 2.5, tight=tight)


@given(rectangle=_rectangle(0), seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_batch_of_masks_is_moved_as_masks_of_pictures_are(rectangle: tuple[int, int, int, int], seed: int) -> None:
    augmentation = Augmentation("crop-flip", rand_augment=9)
    masks = next(_split([rectangle] * 4, "masks").batches(4, seed=seed, augmentation=augmentation))[1]
    single = next(_split([rectangle] * 4, "boxes").batches(4, seed=seed, augmentation=augmentation))[1]
    assert isinstance(masks, Mask)
    for mask, target in zip(masks, single, strict=True):
        if len(target["masks"]):
            assert torch.equal(mask.as_subclass(Tensor), target["masks"][0].as_subclass(Tensor))


@pytest.mark.parametrize("resolution", [20, 24, 64])
@given(rectangle=_rectangle(0))
@settings(max_examples=20, deadline=None)
def test_they_are_scaled_with_their_pictures(resolution: int, rectangle: tuple[int, int, int, int]) -> None:
    images, targets = next(_split([rectangle], "boxes").batches(1))
    found, scaled = resized_batch(images, targets, resolution)
    assert not isinstance(scaled, Tensor)
    boxes = scaled[0]["boxes"]
    assert isinstance(boxes, BoundingBoxes)
    assert boxes.canvas_size == (resolution, resolution)
    _check(found[0], dict(scaled[0]), 1.5, tight=True)


def test_what_is_bright_at_an_edge_is_repeated_with_its_box() -> None:
    split = _split([(0, 0, 10, 40)] * 32, "boxes")
    images, targets = next(split.batches(32, seed=3, augmentation=Augmentation("crop-flip")))
    assert not isinstance(targets, Tensor)
    widths = set()
    for image, target in zip(images, targets, strict=True):
        assert tuple(target["boxes"][0].tolist()) == _extent(image[0] > 0.5)
        widths.add(int((image[0, 0] > 0.5).sum()))
    assert len(widths) > 3


def test_pixels_and_draws_are_those_of_pictures_with_labels() -> None:
    augmentation = Augmentation("random-resized-crop", rand_augment=9, erasing=0.5)
    placed = _split([(10, 10, 30, 30)] * 8, "boxes")
    labelled = HeldSplit(Pictures(placed.images, torch.arange(8)), (0.0,), (1.0,), CPU)
    one, two = (next(split.batches(8, seed=1, augmentation=augmentation))[0] for split in (placed, labelled))
    assert torch.equal(one, two)


def test_an_evaluation_leaves_them_as_they_are() -> None:
    split = _split([(5, 5, 5, 9), (10, 10, 30, 30)], "boxes")  # the first has no width
    _, targets = next(split.batches(2))
    assert [len(target["boxes"]) for target in targets] == [1, 1]


def test_what_cannot_be_moved_is_refused() -> None:
    with pytest.raises(InputError, match="Video cannot be moved with their pictures"):
        have_places([{"video": Video(torch.zeros(1, 3, HEIGHT, WIDTH))}])
    assert not have_places(torch.arange(3))
    assert not have_places([{"labels": torch.arange(3)}])


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation("crop-flip"), Augmentation("random-resized-crop"), Augmentation(rand_augment=9)],
    ids=["crop-flip", "random-resized-crop", "rand-augment"],
)
def test_points_move_as_the_corners_of_boxes_do(augmentation: Augmentation) -> None:
    """The middle of a rectangle is where the middle of what is bright is; mirrored pictures are among them."""
    rectangles = [(18, 14, 26, 22)] * 48
    split = _split(rectangles, "boxes")
    points = torch.tensor([[22.0, 18.0], [0.0, 0.0], [WIDTH, 0.0]])
    split.targets = [{"points": KeyPoints(points, canvas_size=(HEIGHT, WIDTH))} for _ in rectangles]
    images, targets = next(split.batches(48, seed=0, augmentation=augmentation))
    assert not isinstance(targets, Tensor)
    mirrored = 0
    checked = 0
    for image, target in zip(images, targets, strict=True):
        (x, y), first, second = target["points"].tolist()
        mirrored += first[0] > second[0]
        if 0 < x < WIDTH and 0 < y < HEIGHT:
            bright = (image[0] > 0.5).nonzero().float() + 0.5
            if len(bright) and 6 < x < WIDTH - 6 and 6 < y < HEIGHT - 6 and bright.std() > 0 and len(bright) < 600:
                checked += 1
                assert bright.mean(0).tolist() == pytest.approx([y, x], abs=2.0)
    assert checked > 10
    assert (mirrored > 5) == (augmentation.crop != "none")


def test_points_are_scaled_with_their_pictures() -> None:
    points = KeyPoints(torch.tensor([[12.0, 10.0]]), canvas_size=(HEIGHT, WIDTH))
    _, targets = resized_batch(torch.zeros(1, 3, HEIGHT, WIDTH), [{"points": points}], 24)
    assert not isinstance(targets, Tensor)
    assert targets[0]["points"].tolist() == [[6.0, 6.0]]
