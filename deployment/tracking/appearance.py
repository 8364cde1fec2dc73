"""What a box looks like: histograms of colour of its upper and lower half. Nothing of it is learnt."""

import numpy as np

from training.data.people.clip import Array

BINS = 4  # of each channel
MARGIN = 0.2  # of the box's width on both sides, which is mostly background


def looks(picture: Array, boxes: Array) -> Array:
    """The square roots of the shares of colours in each of N boxes, N×128 (float32), rows of length 1.

    The product of two rows is the mean of the Bhattacharyya coefficients of both halves.

    Args:
        picture: H×W×3 (uint8).
        boxes: N×4: left, top, right, bottom in pixels.
    """
    return np.stack([_of_box(picture, box) for box in boxes]) if len(boxes) else np.zeros((0, 2 * BINS**3), np.float32)


def _of_box(picture: Array, box: Array) -> Array:
    height, width = picture.shape[:2]
    left, top, right, bottom = (float(side) for side in box)
    inner = MARGIN * (right - left)
    columns = slice(*_whole(left + inner, right - inner, width))
    middle = (top + bottom) / 2
    halves = [picture[slice(*_whole(low, high, height)), columns] for low, high in ((top, middle), (middle, bottom))]
    found = np.concatenate([np.sqrt(_shares(half)) for half in halves]) / np.sqrt(2)
    return found.astype(np.float32)


def _whole(low: float, high: float, most: int) -> tuple[int, int]:
    """Begin and end of the pixels from `low` to `high` that are in the picture; at least one."""
    begin = min(max(round(low), 0), most - 1)
    return begin, min(max(round(high), begin + 1), most)


def _shares(pixels: Array) -> Array:
    bins = (pixels.reshape(-1, 3).astype(np.int64) * BINS) // 256
    counts = np.bincount(bins @ [BINS**2, BINS, 1], minlength=BINS**3)
    shares: Array = counts / counts.sum()
    return shares
