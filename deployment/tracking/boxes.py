"""How much boxes have in common."""

import numpy as np

from training.data.people.clip import Array


def overlaps(ones: Array, others: Array) -> Array:
    """Intersection over union of each of N boxes (left, top, right, bottom) with each of M: N×M, in 0 to 1."""
    low = np.maximum(ones[:, None, :2], others[None, :, :2])
    high = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (ones, others)]
    whole = areas[0][:, None] + areas[1][None] - shared
    found: Array = shared / np.maximum(whole, 1e-12)
    return found
