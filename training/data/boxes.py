"""Boxes around the things in a picture, as files say them: checked, and read with their pictures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foundation.errors import InputError
from training.data import annotated, into_memory
from training.data.corrupt import TRAINED
from training.data.dataset import Dataset, Wanted
from training.data.pictures import Pictures
from training.data.preparation import Found, read_file
from training.data.whole_pictures import Size, scaled_boxes, whole_picture
from training.targets import Target

ROUNDED = 1.0  # pixels that a box may reach beyond its picture, by rounding or by counting from 1: it is cut there
MEAN = STD = (0.5, 0.5, 0.5)
"""Of channels in 0 to 1, as torchvision's SSDLite has them."""

NAMED = {TRAINED: "training"}

_THIN = 0.01  # pixels of a side, below which a box has no area
_CORNER = 2  # pixels: a box in shares ends at 1, or at 1.5 where its centre was taken for its left edge

Corners = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels from the picture's upper left corner."""


class Thing(NamedTuple):
    """A box and the number of its class.

    Attributes:
        ignored: whether it counts nowhere: whoever finds it is neither right nor wrong.
    """

    corners: Corners
    label: int
    ignored: bool


class Boxed(NamedTuple):
    """A picture and what is in it.

    Attributes:
        file: that says so.
        size: of the picture, upright, as the file says.
    """

    picture: str
    file: str
    size: Size
    things: tuple[Thing, ...]


class Boxes:
    """Takes boxes that lie in their pictures.

    Args:
        skipped: whether others are left out and counted; else the first is refused.
    """

    def __init__(self, skipped: bool):
        self._skipped = skipped
        self._left_out: list[str] = []

    def cut(self, where: str, box: str, corners: Corners, size: Size) -> Corners | None:
        """The box cut at the picture's edge; None for one that is left out.

        Args:
            where, box: how messages call the place and the box, as its file writes it.

        Raises InputError naming the place of one that reaches more than a pixel beyond its picture, or has no area.
        """
        left, top, right, bottom = corners
        width, height = size
        cut = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
        if min(right - left, bottom - top) < _THIN:
            problem = "has no area"
        elif (
            min(left, top) < -ROUNDED
            or max(right - width, bottom - height) > ROUNDED
            or min(cut[2] - cut[0], cut[3] - cut[1]) < _THIN
        ):
            problem = f"reaches beyond its picture of {width}×{height} pixels"
        else:
            return cut
        if not self._skipped:
            raise InputError(f"{where}: box {box} {problem}; mend or remove it, or give `skip_corrupt`")
        self._left_out.append(f"{where}: box {box} {problem}")
        return None

    @property
    def notes(self) -> list[str]:
        """A line for the user on what was left out."""
        count = len(self._left_out)
        return [f"boxes that cannot be used and are left out: {count} (e.g. {self._left_out[0]})"] if count else []


def of_boxed(
    wanted: Wanted, root: str, classes: tuple[str, ...], parts: Mapping[str, Sequence[Boxed]], notes: Sequence[str]
) -> Dataset:
    """The data set of pictures with boxes that have been found.

    Targets are of each picture `boxes` (`tv_tensors.BoundingBoxes`, K×4 float32, XYXY, in the square) and `labels` (K,
    int64, from 0 in the order of the classes). In validation and test there is `ignored` as well (K, bool): which boxes
    count nowhere (in COCO's evaluation `iscrowd`). In training these are left out.

    Each picture is scaled to a square, aspect not kept, see `training.data.whole_pictures`. One without boxes stays: it
    shows what is none of the classes. With `skip_corrupt` pictures that cannot be decoded are left out.

    Raises InputError where no box of all leaves its picture's corner: that is what shares of a picture look like.
    """
    _check_unit(wanted.spec, [boxed for pictures in parts.values() for boxed in pictures if boxed.things])
    return annotated.dataset(
        wanted,
        root,
        classes,
        parts,
        notes,
        picture=lambda boxed: boxed.picture,
        said=lambda boxed: repr((boxed.size, [tuple(thing) for thing in boxed.things])),
        read=lambda split, pictures: _read(split, pictures, classes, wanted),
        mean=MEAN,
        std=STD,
    )


def _check_unit(spec: str, pictures: Sequence[Boxed]) -> None:
    if any(max(thing.corners) > _CORNER for boxed in pictures for thing in boxed.things):
        return
    if large := next((boxed for boxed in pictures if min(boxed.size) > _CORNER), None):
        raise InputError(
            f"`data` {spec}: all boxes lie within {_CORNER} pixels of their picture's upper left corner, as one of "
            f"{large.picture} (by {large.file}); are they shares of the picture? give them in pixels"
        )


def _read(split: str, pictures: Sequence[Boxed], classes: tuple[str, ...], wanted: Wanted) -> Pictures:
    into_memory.check_memory(wanted.spec, split, len(pictures), wanted.side, channels=3)
    trained = split == TRAINED

    def read(number: int) -> tuple[Tensor, Target, Found]:
        boxed = pictures[number]
        pixels, size, found = whole_picture(read_file(boxed.picture), wanted.side)
        if size != boxed.size:
            turned = ", upright as its EXIF says" if found.turned else ""
            raise InputError(
                f"{boxed.picture}: has {size[0]}×{size[1]} pixels{turned}, but {boxed.file} says "
                f"{boxed.size[0]}×{boxed.size[1]}; give the size and the boxes of the upright picture"
            )
        things = [thing for thing in boxed.things if not (trained and thing.ignored)]
        return pixels, _target(things, size, wanted.side, flagged=not trained), found

    images, targets = into_memory.read_all(
        split,
        [boxed.picture for boxed in pictures],
        wanted.side,
        read,
        wanted.reporter,
        skip_corrupt=wanted.skip_corrupt,
    )
    counted = [target["labels"][~target["ignored"]] if "ignored" in target else target["labels"] for target in targets]
    counts = torch.cat(counted).bincount(minlength=len(classes))
    if not counts.any():
        raise InputError(
            f"`data` {wanted.spec}: the {NAMED.get(split, split)} pictures have no boxes that count; add some"
        )
    annotated.tell_lacking(split, "boxes", counts, classes, wanted.reporter)
    return Pictures(images, targets)


def _target(things: Sequence[Thing], size: Size, side: int, *, flagged: bool) -> Target:
    from torchvision.tv_tensors import BoundingBoxes  # takes a second to import, and most commands need none

    corners = torch.tensor([thing.corners for thing in things], dtype=torch.float64).reshape(-1, 4)
    boxes: Any = BoundingBoxes(scaled_boxes(corners, size, side).float(), format="XYXY", canvas_size=(side, side))
    target = {"boxes": boxes, "labels": torch.tensor([thing.label for thing in things], dtype=torch.int64)}
    if flagged:
        target["ignored"] = torch.tensor([thing.ignored for thing in things], dtype=torch.bool)
    return target
