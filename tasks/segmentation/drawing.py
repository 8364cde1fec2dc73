"""Masks over pictures: each class in a colour of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tasks.colours import colour
from training.data.whole_pictures import IGNORED
from training.task import Drawn

OPACITY = 0.55


def coloured(picture: Tensor, mask: Tensor, classes: Sequence[str]) -> Drawn:
    """The classes of a mask over a picture of any size; where it says that a pixel counts nowhere, the picture is seen.

    Args:
        picture: 3×H×W (uint8).
        mask: h×w classes (int64), which is enlarged to the nearest pixel.
    """
    from torchvision.utils import draw_segmentation_masks  # takes a second to import

    size = (picture.shape[1], picture.shape[2])
    mask = torch.nn.functional.interpolate(mask[None, None].float(), size=size, mode="nearest-exact")[0, 0].long()
    there = [number for number in mask.unique().tolist() if number != IGNORED]
    colours = {classes[number]: colour(number) for number in there}
    if not there:
        return Drawn(picture, colours)
    layers = torch.stack([mask == number for number in there])
    return Drawn(draw_segmentation_masks(picture, layers, OPACITY, list(colours.values())), colours)
