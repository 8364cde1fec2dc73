"""Rectangles of random area and shape within a picture: what is cropped, and what is erased."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Rectangle(NamedTuple):
    """In whole pixels."""

    left: int
    top: int
    width: int
    height: int


def crop(draws: Sequence[Sequence[float]], width: int, height: int) -> Rectangle:
    """8 to 100 % of a picture's area at an aspect ratio from 3:4 to 4:3 (arXiv:1409.4842, section 6).

    The first of the attempts (each four numbers in 0 to 1) that fits. If none does, as in a very long picture, it is
    the largest central rectangle whose aspect ratio is within the bounds, as in torchvision.
    """
    low, high = 3 / 4, 4 / 3
    found = _first(draws, width, height, (0.08, 1.0), (low, high))
    if found is not None:
        return found
    inner_width, inner_height = min(width, round(height * high)), min(height, round(width / low))
    return Rectangle((width - inner_width) // 2, (height - inner_height) // 2, inner_width, inner_height)


def erasure(draws: Sequence[Sequence[float]], width: int, height: int) -> Rectangle | None:
    """2 to 33 % of a picture's area at an aspect ratio from 0.3 to 3.3 (arXiv:1708.04896, section 4.1).

    None if none of the attempts fits.
    """
    return _first(draws, width, height, (0.02, 0.33), (0.3, 3.3))


def _first(
    draws: Sequence[Sequence[float]], width: int, height: int, areas: tuple[float, float], ratios: tuple[float, float]
) -> Rectangle | None:
    """The first that fits: areas are drawn evenly, aspect ratios (width to height) evenly in their logarithm."""
    low, high = math.log(ratios[0]), math.log(ratios[1])
    for area_draw, ratio_draw, left, top in draws:
        area = (areas[0] + (areas[1] - areas[0]) * area_draw) * width * height
        ratio = math.exp(low + (high - low) * ratio_draw)
        inner_width, inner_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < inner_width <= width and 0 < inner_height <= height:
            # Draws are below 1, so the rectangle ends within the picture.
            return Rectangle(
                int(left * (width - inner_width + 1)), int(top * (height - inner_height + 1)), inner_width, inner_height
            )
    return None
