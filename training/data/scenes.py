"""Scenes made by a seed: real handwritten digits on real photographs, with a class for every pixel and boxes.

The photographs are the two that scikit-learn ships and the one that matplotlib ships; the digits are those of
`training.data.digits`. Both are divided into train, validation and test before anything is made, by a division that no
seed changes: no crop and no digit is seen in two splits.

A scene is a grid of 4×4 cells. Each cell is a crop of one photograph, and two of five hold a digit. One bar stands on
the left or the right border. What a pixel's class depends on is, by the class:

- near (`temple`, `flower`, `portrait`): the photograph that it is of, where the cell holds no digit;
- middle (`low`, `high`): whether the digit of its cell is below five;
- far (`ink-left`, `ink-right`): on the digit's ink, the border that the bar stands on.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from foundation.errors import InputError
from training.data.digits import source
from training.data.shipped import shipped

CLASSES = ("temple", "flower", "portrait", "low", "high", "ink-left", "ink-right")
CONTEXT = {"near": CLASSES[:3], "middle": CLASSES[3:5], "far": CLASSES[5:]}
"""The classes by how far a network must see to tell them."""

# Of the training scenes, in 0 to 1.
MEAN = (0.379, 0.388, 0.384)
STD = (0.334, 0.287, 0.299)

SIZES = {"train": 2_000, "validation": 500, "test": 1_000}
GRID = 4
LEAST_SIDE, MOST_SIDE = 48, 192

_SHARE = 0.4  # of the cells that hold a digit
_TILE = 64  # pixels of a photograph that are of one split
_TILES = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}
_INK = 0.35  # of the pen's strength, from which on a pixel is ink
_BAR = (0.04, 0.25)  # width and height, as shares of a side
_TOGETHER = 50  # scenes that are made at a time: few enough to stay in the cache

_Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Scenes:
    """N scenes of S×S pixels.

    Attributes:
        pictures: N×3×S×S (uint8).
        classes: N×S×S (uint8), numbers of `CLASSES`.
        boxes: of each scene K×4 (float32): left, top, right, bottom in pixels, around each digit's ink.
        digits: of each scene K (int64), which digits these are.
        originals: of each scene K (int64), their numbers among the handwritten digits of the split.
    """

    pictures: Tensor
    classes: Tensor
    boxes: list[Tensor]
    digits: list[Tensor]
    originals: list[Tensor]


def scenes(split: str, side: int = 96, seed: int = 0, count: int | None = None) -> Scenes:
    """The scenes of a split: `SIZES[split]` of them, or `count`; the same for the same seed.

    Args:
        side: in pixels, see `check_side`.
    """
    check_side(side)
    rng = np.random.default_rng([seed, list(SIZES).index(split), side])
    total = count or SIZES[split]
    parts = [_some(split, min(_TOGETHER, total - begun), side, rng) for begun in range(0, total, _TOGETHER)]
    return Scenes(
        torch.cat([part.pictures for part in parts]),
        torch.cat([part.classes for part in parts]),
        *([one for part in parts for one in getattr(part, name)] for name in ("boxes", "digits", "originals")),
    )


def check_side(side: int) -> None:
    """Raises InputError for a side in pixels that scenes are not made at."""
    if side % GRID or not LEAST_SIDE <= side <= MOST_SIDE:
        raise InputError(
            f"`data` scenes: of a multiple of {GRID} from {LEAST_SIDE} to {MOST_SIDE} pixels, but the space wants "
            f"{side}; choose a `space` of other resolutions"
        )


def _some(split: str, number: int, side: int, rng: np.random.Generator) -> Scenes:
    """So many scenes, the next of the generator's."""
    cell = side // GRID
    cells = number * GRID * GRID
    photograph, grounds = _grounds(split, cells, cell, rng)
    ink, original = _drawn(split, cells, cell, rng)
    left = rng.random(number) < 0.5
    holds = rng.random((number, GRID * GRID)) < _SHARE
    holds[np.arange(number), rng.integers(GRID * GRID, size=number)] = True  # each scene has one at least
    ink *= holds.reshape(-1, 1, 1)

    # A digit is bright on what is dark, and dark on what is bright.
    dark = grounds.mean((1, 2, 3)) < 128
    pen = np.where(dark, rng.uniform(200, 255, cells), rng.uniform(0, 55, cells)).astype(np.float32)
    drawn = grounds + ink[..., None] * (pen[:, None, None, None] - grounds)
    pictures = _assembled(drawn, number, cell)

    digit = source(split)[1][original]
    middle = np.where(digit < 5, CLASSES.index("low"), CLASSES.index("high"))
    far = np.where(left, CLASSES.index("ink-left"), CLASSES.index("ink-right")).repeat(GRID * GRID)
    own = np.where(holds.ravel(), middle, photograph).astype(np.uint8)
    inked: NDArray[np.bool_] = np.greater(ink, _INK)
    classes = np.where(inked, far.astype(np.uint8)[:, None, None], own[:, None, None])
    whole = _assembled(classes[..., None], number, cell)[..., 0]

    _put_bars(pictures, left, rng)
    boxes, digits, originals = _boxed(inked, holds, digit, original, cell)
    return Scenes(
        torch.from_numpy((pictures + 0.5).astype(np.uint8)).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(whole),
        boxes,
        digits,
        originals,
    )


@lru_cache(maxsize=1)
def photographs() -> tuple[_Bytes, ...]:
    """The photographs of the near classes, in their order: H×W×3."""
    from PIL import Image

    found = []
    for path in (
        shipped("scikit-learn", "sklearn/datasets/images/china.jpg"),
        shipped("scikit-learn", "sklearn/datasets/images/flower.jpg"),
        shipped("matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg"),
    ):
        with Image.open(path) as photograph:
            found.append(np.asarray(photograph.convert("RGB")))
    return tuple(found)


def tiles(split: str, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The corners (top, left) of the tiles of a photograph of that shape which are the split's."""
    rows, columns = shape[0] // _TILE, shape[1] // _TILE
    own = [(row, column) for row in range(rows) for column in range(columns) if (row + 2 * column) % 5 in _TILES[split]]
    return np.array(own, dtype=np.int64) * _TILE


def _grounds(
    split: str, cells: int, cell: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each cell the number of a photograph, and a crop of it, as bright or dark as it comes: cells×C×C×3."""
    chosen = rng.integers(len(photographs()), size=cells)
    offsets = rng.integers(_TILE - cell + 1, size=(cells, 2))
    places = rng.random(cells)
    mirrored = rng.random(cells) < 0.5
    found = np.empty((cells, cell, cell, 3), dtype=np.float32)
    steps = np.arange(cell)
    for number, photograph in enumerate(photographs()):
        of = np.flatnonzero(chosen == number)
        corners = tiles(split, photograph.shape)
        corner = corners[(places[of] * len(corners)).astype(np.int64)] + offsets[of]
        rows = (corner[:, :1] + steps)[:, :, None]
        columns = (corner[:, 1:] + steps)[:, None, :]
        found[of] = photograph[rows, columns]
    found[mirrored] = found[mirrored][:, :, ::-1]
    found *= rng.uniform(0.7, 1.2, cells).astype(np.float32)[:, None, None, None]
    return chosen, np.minimum(found, 255, out=found)


def _drawn(
    split: str, cells: int, cell: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A handwritten digit in each cell, as the pen's strength in 0 to 1 (cells×C×C), and its number in the split."""
    images, _ = source(split)
    chosen = rng.integers(len(images), size=cells)
    # Of the cell's side it takes 65 to 90 %, wherever that lies within.
    size = rng.uniform(0.65, 0.9, cells)
    shift = rng.uniform(-1, 1, (cells, 2)) * (1 - size)[:, None]
    transform = np.zeros((cells, 2, 3), dtype=np.float32)
    transform[:, 0, 0] = transform[:, 1, 1] = 1 / size
    transform[:, :, 2] = -shift / size[:, None]
    grid = F.affine_grid(torch.from_numpy(transform), [cells, 1, cell, cell], align_corners=False)
    ink = F.grid_sample(torch.from_numpy(images[chosen])[:, None], grid, align_corners=False)
    return ink[:, 0].numpy(), chosen


def _assembled(cells: NDArray[Any], number: int, cell: int) -> NDArray[Any]:
    """Cells (N·16)×C×C×D as scenes N×S×S×D."""
    depth = cells.shape[-1]
    rows = cells.reshape(number, GRID, GRID, cell, cell, depth).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(rows.reshape(number, GRID * cell, GRID * cell, depth))


def _put_bars(pictures: NDArray[Any], left: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """A white bar with a black edge at the border, at any height. It has the class of what it covers."""
    side = pictures.shape[1]
    width, height = (max(2, round(share * side)) for share in _BAR)
    tops = rng.integers(side - height + 1, size=len(pictures))
    for picture, top, is_left in zip(pictures, tops, left, strict=True):
        bar = picture[top : top + height]
        if is_left:
            bar[:, :width], bar[:, width] = 255, 0
        else:
            bar[:, side - width :], bar[:, side - width - 1] = 255, 0


def _boxed(
    inked: NDArray[np.bool_],
    holds: NDArray[np.bool_],
    digit: NDArray[np.int64],
    original: NDArray[np.int64],
    cell: int,
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """By scene the boxes around the ink of its cells, the digits, and their numbers."""
    across, down = np.asarray(inked.any(1)), np.asarray(inked.any(2))
    sides = [across.argmax(1), down.argmax(1), cell - across[:, ::-1].argmax(1), cell - down[:, ::-1].argmax(1)]
    place = np.arange(len(inked)) % (GRID * GRID)
    corners = np.stack([place % GRID, place // GRID] * 2, 1) * cell
    boxes = torch.from_numpy((np.stack(sides, 1) + corners).astype(np.float32))
    ends = [int(count) for count in holds.sum(1)]
    kept = torch.from_numpy(np.flatnonzero(holds.ravel()))
    return (
        list(boxes[kept].split(ends)),
        list(torch.from_numpy(digit)[kept].split(ends)),
        list(torch.from_numpy(original)[kept].split(ends)),
    )
