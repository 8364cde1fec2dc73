"""Pictures with a class for every pixel."""

from foundation.errors import InputError
from training.data import masks, scenes, voc
from training.data.dataset import Dataset, Wanted
from training.data.held import HeldSplit
from training.data.pictures import Pictures

SPECS = "scenes, masks:PATH, voc:PATH"


def load_masks(wanted: Wanted) -> Dataset:
    """The pictures that a spec names, with masks N×H×W (uint8; 255 counts nowhere).

    Raises InputError for an unknown spec, or what cannot be used.
    """
    if wanted.kind in ("masks", "voc"):
        return {"masks": masks.load, "voc": voc.load_masks}[wanted.kind](wanted)
    if wanted.spec != "scenes":
        raise InputError(f"`data` {wanted.spec}: unknown to task segmentation; known: {SPECS}")
    scenes.check_side(wanted.side)

    def load(split: str) -> HeldSplit:
        from torchvision.tv_tensors import Mask  # takes a second to import, and most commands need none

        made = scenes.scenes(split, wanted.side)
        return HeldSplit(Pictures(made.pictures, Mask(made.classes)), scenes.MEAN, scenes.STD, wanted.device)

    return Dataset(
        "scenes", "scenes", scenes.CLASSES, scenes.MEAN, scenes.STD, load, wanted.device, counts=scenes.SIZES
    )
