"""People cut out of frames: squares around their boxes, at one size."""

import numpy as np
import torch
from torch import Tensor

from training.data.people.clip import Array

AROUND = 1.25
"""The side of a crop, in longer sides of its box."""


def squares(boxes: Array) -> Array:
    """The square around each of N boxes (left, top, right, bottom), N×4 (float32); it may reach beyond the picture."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = AROUND * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], 1)


def crops(picture: Array, around: Array, side: int) -> Tensor:
    """Squares of a picture as N×3×side×side (uint8): averaged over each pixel's area, black beyond the picture.

    Args:
        picture: H×W×3 (uint8).
        around: N×4, see `squares`.
    """
    from torchvision.ops import roi_align  # takes a second to import

    if not len(around):
        return torch.zeros(0, 3, side, side, dtype=torch.uint8)
    whole = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    found: Tensor = roi_align(whole, [torch.from_numpy(np.asarray(around, np.float32))], side, aligned=True)
    return found.round_().clamp_(0, 255).to(torch.uint8)


def into(points: Array, around: Array, side: int) -> Array:
    """Points (N×J×2) of a picture in its crops, in their pixels."""
    corner, extent = around[:, None, :2], (around[:, None, 2:] - around[:, None, :2])
    found: Array = (points - corner) * (side / extent)
    return found


def back(points: Array, around: Array, side: int) -> Array:
    """The opposite of `into`."""
    corner, extent = around[:, None, :2], (around[:, None, 2:] - around[:, None, :2])
    found: Array = corner + points * (extent / side)
    return found
