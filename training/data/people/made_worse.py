"""True boxes as a detector might have them: some missed, all of them moved, false ones among them."""

import numpy as np

from training.data.people.clip import Array, People

MISSED, FALSE, JITTER = 0.10, 0.05, 3.0
"""Shares of boxes missed and of false ones, and pixels that each side moves at most."""

_LEAST = 4.0  # pixels of a side


def worse(people: People, size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, Array]:
    """Boxes of a frame as a detector might have them, N×4, and of whom each is: N places among the people, -1: none."""
    boxes = people.boxes.astype(np.float64)
    count = len(boxes)
    missed, doubled = rng.random(count) < MISSED, rng.random(count) < FALSE
    moved = boxes + rng.uniform(-JITTER, JITTER, (count, 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + _LEAST)
    extent = (boxes[:, 2:] - boxes[:, :2])[doubled]
    corner = rng.random((len(extent), 2)) * [size[1], size[0]] - extent / 2
    every = np.concatenate([moved[~missed], np.concatenate([corner, corner + extent], 1)])
    return every.astype(np.float32), np.concatenate([np.flatnonzero(~missed), np.full(len(extent), -1)])
