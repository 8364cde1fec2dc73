"""Pictures with a class for every pixel."""

import torch

from foundation.errors import InputError
from training.data import scenes
from training.data.dataset import Dataset
from training.data.held import HeldSplit
from training.data.pictures import Pictures

SPECS = "scenes"
IGNORED = 255
"""The value in a mask of pixels that have no class: they count nowhere."""


def load_masks(spec: str, side: int, device: torch.device) -> Dataset:
    """The pictures that a spec names, with masks N×H×W (uint8). Raises InputError for an unknown one."""
    if spec != "scenes":
        raise InputError(f"`data` {spec}: unknown to task segmentation; known: {SPECS}")
    if side % scenes.GRID or not scenes.LEAST_SIDE <= side <= scenes.MOST_SIDE:
        raise InputError(
            f"`data` {spec}: of a multiple of {scenes.GRID} from {scenes.LEAST_SIDE} to {scenes.MOST_SIDE} pixels, but "
            f"the space wants {side}; choose a `space` of other resolutions"
        )

    def load(split: str) -> HeldSplit:
        from torchvision.tv_tensors import Mask  # takes a second to import, and most commands need none

        made = scenes.scenes(split, side)
        return HeldSplit(Pictures(made.pictures, Mask(made.classes)), scenes.MEAN, scenes.STD, device)

    return Dataset(spec, spec, scenes.CLASSES, scenes.MEAN, scenes.STD, load, device, counts=scenes.SIZES)
