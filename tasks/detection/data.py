"""Pictures with boxes around things."""

from foundation.errors import InputError
from training.data import coco, scenes, voc
from training.data.boxes import MEAN, STD
from training.data.dataset import Dataset, Wanted
from training.data.held import HeldSplit
from training.data.pictures import Pictures

SPECS = "scenes, coco:PATH, voc:PATH"


def load_boxes(wanted: Wanted) -> Dataset:
    """The pictures that a spec names, with a dictionary for each, see `training.data.boxes.of_boxed`.

    Raises InputError for an unknown spec, or what cannot be used.
    """
    if wanted.kind in ("coco", "voc"):
        return {"coco": coco.load, "voc": voc.load_boxes}[wanted.kind](wanted)
    if wanted.spec != "scenes":
        raise InputError(f"`data` {wanted.spec}: unknown to task detection; known: {SPECS}")
    side = wanted.side
    scenes.check_side(side)

    def load(split: str) -> HeldSplit:
        from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat  # takes a second to import

        made = scenes.scenes(split, side)
        targets = [
            {"boxes": BoundingBoxes(boxes, format=BoundingBoxFormat.XYXY, canvas_size=(side, side)), "labels": digits}
            for boxes, digits in zip(made.boxes, made.digits, strict=True)
        ]
        return HeldSplit(Pictures(made.pictures, targets), MEAN, STD, wanted.device)

    digits = tuple(map(str, range(10)))
    return Dataset("scenes", "scenes boxes", digits, MEAN, STD, load, wanted.device, counts=scenes.SIZES)
