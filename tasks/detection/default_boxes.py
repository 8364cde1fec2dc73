"""SSD's default boxes (arXiv:1512.02325, section 2.2): where a detector may say that there is something."""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

RATIOS = (2.0, 3.0)
"""Of width and height, each also upside down, beside two squares."""

PER_PIXEL = 2 + 2 * len(RATIOS)

LEAST, MOST = 0.2, 0.95
"""Sides of the squares on the finest and on the coarsest map, as shares of the picture's."""


def default_boxes(maps: Sequence[Tensor]) -> Tensor:
    """The boxes of all maps (N×C×H×W each, the finest first), A×4: left, top, right, bottom, as shares of the picture.

    Map after map, row after row, `PER_PIXEL` at each pixel: a square, a larger one, then of each ratio a wide and a
    high box of the smaller square's area. They may reach beyond the picture.
    """
    found = []
    for number, one in enumerate(maps):
        height, width = one.shape[2:]
        sides = torch.tensor(_sides(number, len(maps)), device=one.device)  # PER_PIXEL×2
        down = (torch.arange(height, device=one.device) + 0.5) / height
        across = (torch.arange(width, device=one.device) + 0.5) / width
        middles = torch.stack((across.expand(height, width), down[:, None].expand(height, width)), 2)
        middles = middles.reshape(-1, 1, 2)
        found.append(torch.cat((middles - sides / 2, middles + sides / 2), 2).flatten(0, 1))
    return torch.cat(found)


def _sides(number: int, of: int) -> list[tuple[float, float]]:
    """Widths and heights of the boxes on a map, of so many."""
    scales = [LEAST + (MOST - LEAST) * k / max(1, of - 1) for k in range(of)] + [1.0]
    side, between = scales[number], sqrt(scales[number] * scales[number + 1])
    sides = [(side, side), (between, between)]
    for ratio in RATIOS:
        wide, high = side * sqrt(ratio), side / sqrt(ratio)
        sides += [(wide, high), (high, wide)]
    return [(min(1.0, wide), min(1.0, high)) for wide, high in sides]
