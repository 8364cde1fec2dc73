"""How points move between two frames: dense inverse search (arXiv:1603.03590), by OpenCV."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from foundation.errors import InputError, first_line
from training.data.people.clip import Array


def flow_between(picture: Callable[[int], Array]) -> Callable[[int, int, Array], Array]:
    """Says how far points of one frame have moved in another, see `deployment.tracking.smoothing.Flow`.

    Args:
        picture: the frame of a number, H×W×3 (uint8).

    Raises InputError where OpenCV is not there.
    """
    cv2 = _opencv()
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    @lru_cache(maxsize=4)
    def grey(number: int) -> Array:
        found: Array = cv2.cvtColor(picture(number), cv2.COLOR_RGB2GRAY)
        return found

    @lru_cache(maxsize=2)
    def field(first: int, second: int) -> Array:
        one, other = grey(first), grey(second)
        if one.shape != other.shape:
            sizes = " and ".join(f"{shape[1]}×{shape[0]}" for shape in (one.shape, other.shape))
            raise InputError(
                f"`smoothing`: frames {first + 1} and {second + 1} have {sizes} pixels; give frames of one size, or "
                "`smoothing` 0"
            )
        try:
            found: Array = search.calc(one, other, None)
        except cv2.error as error:
            raise InputError(
                f"`smoothing`: frames {first + 1} and {second + 1}: {first_line(error)}; leave it out by `smoothing` 0"
            ) from None
        return found

    def moved(first: int, second: int, points: Array) -> Array:
        whole = field(first, second)
        most = np.array([whole.shape[1] - 1, whole.shape[0] - 1])
        columns, rows = np.clip(np.floor(points).astype(np.int64), 0, most).T
        found: Array = whole[rows, columns]
        return found

    return moved


def _opencv() -> Any:
    """Its module. Raises InputError where it is not installed, or lacks the libraries of a screen."""
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            f"`smoothing`: OpenCV cannot be loaded ({error}); get it by: pip install opencv-python-headless"
        ) from None
    return cv2
