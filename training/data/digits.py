"""Canvases composed from real handwriting: two small problems whose best attention differs.

scikit-learn ships 1,797 handwritten digits of 8×8 pixels (the test part of UCI's Optical Recognition of Handwritten
Digits, 13 writers). They are divided into train, validation and test before anything is composed, by a division that no
seed changes, so no handwriting is seen in two splits. A canvas is 32×32, grey.

- `pointed`: four digits, one a quadrant, and a tick on the left and on the top border. The label is the digit in the
  row and the column that the ticks mark, as one reads a table: position decides.
- `clutter`: one digit among fragments of others. Where it stands does not matter.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.pictures import Pictures
from training.data.shipped import shipped

SIDE = 32
SIZES = {"train": 12_000, "validation": 4_000, "test": 4_000}
# Of the training canvases, in 0 to 1.
MEAN = {"pointed": 0.217, "clutter": 0.214}
STD = {"pointed": 0.289, "clutter": 0.283}

_SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}

_Floats = NDArray[np.float32]


def compose(variant: str, split: str, seed: int = 0, count: int | None = None) -> Pictures:
    """The canvases of a split: `SIZES[split]` of them, or `count`; the same for the same seed.

    A canvas's source is the number of the handwritten digit that its label is of.
    """
    rng = np.random.default_rng([seed, list(SIZES).index(split)])
    digits, labels = source(split)
    images, chosen = VARIANTS[variant](digits, count or SIZES[split], rng)
    noisy = images + rng.standard_normal(images.shape, dtype=np.float32) * 0.2
    pixels = (noisy.clip(0, 1) * 255).round().astype(np.uint8)
    return Pictures(
        torch.from_numpy(pixels)[:, None], torch.from_numpy(labels[chosen]), torch.from_numpy(chosen.astype(np.int64))
    )


@lru_cache(maxsize=len(SIZES))
def source(split: str) -> tuple[_Floats, NDArray[np.int64]]:
    """The handwritten digits of a split (n×8×8, in 0 to 1) and their labels; each class is divided alike."""
    table = np.loadtxt(shipped("scikit-learn", "sklearn/datasets/data/digits.csv.gz"), np.float32, delimiter=",")
    images = (table[:, :-1].reshape(-1, 8, 8) / 16).astype(np.float32)
    labels = table[:, -1].astype(np.int64)
    rng = np.random.default_rng(1797)
    chosen: list[int] = []
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(labels == digit))
        start = 0
        for name, share in _SHARES.items():
            end = len(members) if name == "test" else start + round(share * len(members))
            if name == split:
                chosen.extend(members[start:end])
            start = end
    return images[chosen], labels[chosen]


def _pointed(digits: _Floats, count: int, rng: np.random.Generator) -> tuple[_Floats, NDArray[np.int64]]:
    size, border, pitch, tick = 11, 3, 14, 5
    canvases = np.zeros((count, SIDE, SIDE), dtype=np.float32)
    large = _enlarged(digits, size)
    chosen = rng.integers(len(digits), size=(count, 2, 2))
    jitter = rng.integers(0, pitch - size + 1, size=(count, 2, 2, 2))  # by canvas, row, column and axis
    for row in range(2):
        for column in range(2):
            top = border + pitch * row + jitter[:, row, column, 0]
            left = border + pitch * column + jitter[:, row, column, 1]
            _paste(canvases, large[chosen[:, row, column]], top, left)
    marked = rng.integers(2, size=(count, 2))
    offset = rng.integers(-1, 2, size=(count, 2))
    start = border + pitch * marked + (pitch - tick) // 2 + offset
    stroke = np.ones((count, tick, 2), dtype=np.float32)
    _paste(canvases, stroke, start[:, 0], np.zeros(count, dtype=np.int64))
    _paste(canvases, stroke.transpose(0, 2, 1), np.zeros(count, dtype=np.int64), start[:, 1])
    return canvases, chosen[np.arange(count), marked[:, 0], marked[:, 1]]


def _clutter(digits: _Floats, count: int, rng: np.random.Generator) -> tuple[_Floats, NDArray[np.int64]]:
    size, fragments, piece = 16, 4, 8
    canvases = np.zeros((count, SIDE, SIDE), dtype=np.float32)
    large = _enlarged(digits, size)
    for _ in range(fragments):
        donors = large[rng.integers(len(digits), size=count)]
        y, x = rng.integers(0, size - piece + 1, size=(2, count))
        within = np.arange(piece)
        pieces = donors[
            np.arange(count)[:, None, None], (y[:, None] + within)[:, :, None], (x[:, None] + within)[:, None]
        ]
        top, left = rng.integers(0, SIDE - piece + 1, size=(2, count))
        _paste(canvases, pieces, top, left)
    chosen = rng.integers(len(digits), size=count)
    top, left = rng.integers(0, SIDE - size + 1, size=(2, count))
    _paste(canvases, large[chosen], top, left)
    return canvases, chosen


VARIANTS: dict[str, Callable[[_Floats, int, np.random.Generator], tuple[_Floats, NDArray[np.int64]]]] = {
    "pointed": _pointed,
    "clutter": _clutter,
}


def _enlarged(digits: _Floats, size: int) -> _Floats:
    """n×8×8 to n×size×size, bilinear."""
    tensor = torch.from_numpy(digits)[:, None]
    return torch.nn.functional.interpolate(tensor, size=(size, size), mode="bilinear")[:, 0].numpy()


def _paste(canvases: _Floats, patches: _Floats, top: NDArray[np.int64], left: NDArray[np.int64]) -> None:
    """Lays a patch on each canvas (in place); where ink meets ink the darker stays."""
    count, height, width = patches.shape
    index = (
        np.arange(count)[:, None, None],
        (top[:, None] + np.arange(height))[:, :, None],
        (left[:, None] + np.arange(width))[:, None, :],
    )
    canvases[index] = np.maximum(canvases[index], patches)
