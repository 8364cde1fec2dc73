"""Which training pictures are held out for validation where the data have no such part of their own."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LARGEST_SHARE = 0.1


def hold_out(labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Numbers of the pictures that stay, and of those held out, each in order: always the same for the same labels.

    Held out are `most` pictures, or a tenth of all if that is less, as evenly over the classes as can be; every class
    keeps one at least. Whatever a run's seed, the pictures are the same ones.
    """
    count = min(most, int(LARGEST_SHARE * len(labels)))
    rng = np.random.default_rng(2103)
    offered = [rng.permutation(members)[1:] for members in _by_class(labels.numpy())]
    # Turn by turn one of each class, until there are enough.
    turns = np.concatenate([np.arange(len(members)) for members in offered])
    places = rng.permutation(len(offered)).repeat([len(members) for members in offered])
    chosen = np.concatenate(offered)[np.lexsort((places, turns))[:count]]
    held = torch.zeros(len(labels), dtype=torch.bool)
    held[torch.from_numpy(chosen)] = True
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _by_class(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Numbers of the pictures of each class that has any."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
