"""Pictures with boxes around things."""

import numpy as np
import torch

from foundation.errors import InputError
from training.data import coco, scenes, voc
from training.data.boxes import MEAN, STD
from training.data.dataset import Dataset, Wanted
from training.data.held import HeldSplit
from training.data.people import clips
from training.data.people.crops import crops
from training.data.pictures import Pictures

SPECS = "scenes, scenes:people, coco:PATH, voc:PATH"

EVERY = 6
"""Of the frames of a clip of people, one in so many: those between are nearly the same."""


def load_boxes(wanted: Wanted) -> Dataset:
    """The pictures that a spec names, with a dictionary for each, see `training.data.boxes.of_boxed`.

    Raises InputError for an unknown spec, or what cannot be used.
    """
    if wanted.kind in ("coco", "voc"):
        return {"coco": coco.load, "voc": voc.load_boxes}[wanted.kind](wanted)
    if wanted.spec == "scenes:people":
        return _of_people(wanted)
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


def _of_people(wanted: Wanted) -> Dataset:
    """Frames of clips of people, scaled to a square, with a box around each figure: one class."""
    side = wanted.side
    scenes.check_side(side)

    def load(split: str) -> HeldSplit:
        from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat  # takes a second to import

        height, width = clips.HEIGHT, clips.WIDTH
        images, targets, sources = [], [], []
        with wanted.reporter.track(f"{split} clips", clips.COUNTS[split], "clips") as advance:
            for number in range(clips.COUNTS[split]):
                clip = clips.clip(split, number, frames=range(0, clips.FRAMES, EVERY))
                for picture, people in zip(clip.pictures, clip.frames, strict=True):
                    images.append(crops(picture, np.array([[0, 0, width, height]]), side))
                    corners = torch.from_numpy(people.boxes) * torch.tensor([side / width, side / height] * 2)
                    boxes = BoundingBoxes(corners, format=BoundingBoxFormat.XYXY, canvas_size=(side, side))
                    targets.append({"boxes": boxes, "labels": torch.zeros(len(people), dtype=torch.int64)})
                    sources.append(number)
                advance("")
        return HeldSplit(Pictures(torch.cat(images), targets, torch.tensor(sources)), MEAN, STD, wanted.device)

    counts = {split: count * len(range(0, clips.FRAMES, EVERY)) for split, count in clips.COUNTS.items()}
    return Dataset("scenes:people", "scenes people boxes", ("person",), MEAN, STD, load, wanted.device, counts=counts)
