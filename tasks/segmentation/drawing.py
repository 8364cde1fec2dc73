"""Masks over pictures: each class in a colour of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tasks.colours import colour
from training.task import Drawn

OPACITY = 0.55


def coloured(picture: Tensor, mask: Tensor, classes: Sequence[str]) -> Drawn:
    """The classes of a mask over a picture of any size.

    Args:
        picture: 3×H×W (uint8).
        mask: h×w classes (int64), which is enlarged to the nearest pixel.
    """
    from torchvision.utils import draw_segmentation_masks  # takes a second to import

    size = (picture.shape[1], picture.shape[2])
    mask = torch.nn.functional.interpolate(mask[None, None].float(), size=size, mode="nearest-exact")[0, 0].long()
    there = mask.unique().tolist()
    colours = {classes[number]: colour(number) for number in there}
    layers = torch.stack([mask == number for number in there])
    return Drawn(draw_segmentation_masks(picture, layers, OPACITY, list(colours.values())), colours)
