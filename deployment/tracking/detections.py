"""Where the boxes of people in frames come from: a detector, a file, or a truth that is made worse on purpose."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deployment.model_source import Model
from deployment.tracking.answered import Ask, asked
from deployment.tracking.footage import Footage
from foundation.errors import InputError
from foundation.seeds import derive
from training.data.people.clip import Array, People
from training.data.people.crops import crops
from training.data.people.made_worse import worse
from training.data.people.mot_text import NOTHING, Tracked, read_tracks

Detections = Callable[[int], Tracked]
"""Of a frame's place, from 0 on, the boxes in it: with scores, and without identities."""

PERSON = "person"


def by_detector(model: Model, footage: Footage, least: float, ask: Ask = asked) -> Detections:
    """What a trained detector finds: of class `person`, where it has that class, else of all.

    Args:
        least: the score from which on a box is taken.

    Raises InputError for a network of another task.
    """
    if model.info.task.partition(":")[0] != "detection":
        raise InputError(f"{model.path}: of task {model.info.task}, and people are found by one of task detection")
    names, side = model.info.classes, model.info.architecture.resolution

    def detect(place: int) -> Tracked:
        picture = footage.picture(place)
        height, width = picture.shape[:2]
        image = normalised(crops(picture, np.array([[0, 0, width, height]]), side), model)
        answers = ask(model, image)
        boxes, labels, scores = (answers[name][0] for name in ("boxes", "labels", "scores"))
        taken = (labels >= 0) & (scores >= least)
        if PERSON in names:
            taken &= labels == names.index(PERSON)
        scaled = boxes[taken] * torch.tensor([width / side, height / side] * 2)
        return _plain(scaled.numpy(), scores[taken].numpy())

    return detect


def normalised(images: Tensor, model: Model) -> Tensor:
    """N×3×H×W pictures (uint8) as a network has them."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (model.info.mean, model.info.std))
    found: Tensor = (images.float() / 255 - mean) / std
    return found


def tracks_within(path: Path, footage: Footage) -> dict[int, Tracked]:
    """What a file in MOTChallenge's format says of each frame.

    Raises InputError for a file that cannot be read, and for a frame that is none of the footage's.
    """
    found = read_tracks(path)
    odd = next((number for number in found if not 1 <= number <= footage.length), None)
    if odd is not None:
        raise InputError(f"{path}: frame {odd}, but there are {footage.length}, counted from 1; give the right file")
    return found


def by_file(path: Path, footage: Footage) -> Detections:
    """The boxes of a file in MOTChallenge's format, whatever their identities.

    Raises InputError for a file that cannot be read, and for a frame beyond the last one.
    """
    found = tracks_within(path, footage)
    return lambda place: _plain(*_of(found.get(place + 1, NOTHING)))


def disturbed(name: str, people: tuple[People, ...], size: tuple[int, int], seed: int = 0) -> Detections:
    """The true boxes, some of them missed, all of them moved, and false ones of the size of true ones among them.

    Args:
        name: of the video, from which and the seed all draws follow.
        size: height and width of the frames.
    """

    def detect(place: int) -> Tracked:
        boxes, _ = worse(people[place], size, np.random.default_rng(derive(seed, "detections", name, place)))
        return _plain(boxes, np.ones(len(boxes), np.float32))

    return detect


def _of(tracked: Tracked) -> tuple[Array, Array]:
    return tracked.boxes, tracked.scores


def _plain(boxes: Array, scores: Array) -> Tracked:
    return Tracked(boxes, np.full(len(boxes), -1), scores)
