"""Which training pictures are held out for validation where the data have no such part of their own."""

import numpy as np
import torch
from torch import Tensor

LARGEST_SHARE = 0.1


def hold_out(labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Numbers of the pictures that stay, and of those held out, each in order: always the same for the same labels.

    Held out are `most` pictures, or a tenth of all if that is less, as evenly over the classes as can be; every class
    keeps one at least. Whatever a run's seed, the pictures are the same ones.
    """
    count = min(most, int(LARGEST_SHARE * len(labels)))
    rng = np.random.default_rng(2103)
    of_class = [rng.permutation(members) for members in _by_class(labels.numpy())]
    # Turn by turn one of each class, until there are enough.
    turns = [
        (turn, place, int(number))
        for place, members in zip(rng.permutation(len(of_class)), of_class, strict=True)
        for turn, number in enumerate(members[: len(members) - 1])
    ]
    held = torch.zeros(len(labels), dtype=torch.bool)
    held[[number for _, _, number in sorted(turns)[:count]]] = True
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _by_class(labels: "np.typing.NDArray[np.int64]") -> "list[np.typing.NDArray[np.int64]]":
    order = np.argsort(labels, kind="stable")
    return [members for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(members)]
