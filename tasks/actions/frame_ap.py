"""Frame-mAP: the mean over actions of the average precision of boxes, and the same with frames that weigh differently.

A box that was found is true if it overlaps, by half or more (intersection over union), a true box of its action in its
frame that no likelier box has taken. Precision is read off at 101 recalls, as in COCO's evaluation. No library weighs
frames, so the sums are here; with equal weights they are those of torchmetrics.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from training.data.people.clip import Array, People
from training.data.people.joints import ABSENT

OVERLAP = 0.5

# As torchmetrics has them: in single precision, which decides where a recall is just reached.
_RECALLS = np.array(torch.linspace(0, 1, 101).tolist())


class Boxes(NamedTuple):
    """Boxes in frames, N of them.

    Attributes:
        frames: N (int64), the frame's number.
        boxes: N×4, left, top, right, bottom in pixels.
        labels: N (int64), the action's number.
        scores: N; of true ones nothing is asked.
    """

    frames: Array
    boxes: Array
    labels: Array
    scores: Array


def average_precisions(found: Boxes, true: Boxes, classes: int, weights: Mapping[int, float] | None = None) -> Array:
    """The average precision of each action, in 0 to 1; NaN for one that nobody does.

    Args:
        weights: of frames, what each box in them counts; 1 where none is named.
    """
    known = weights or {}
    values = np.full(classes, np.nan)
    for label in range(classes):
        own, wanted = _of(found, label), _of(true, label)
        if not len(wanted.frames):
            continue
        order = np.argsort(-own.scores, kind="stable")
        right = _right(own, wanted)[order]
        weight = np.array([known.get(frame, 1.0) for frame in own.frames[order].tolist()])
        whole = sum(known.get(frame, 1.0) for frame in wanted.frames.tolist())
        values[label] = _area(np.cumsum(weight * right), np.cumsum(weight * ~right), whole)
    return values


def mean_of(values: Array) -> float:
    """The mean over the actions that somebody does; 0 where there are none."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0


def crowd_index(people: People) -> float:
    """How crowded a frame is: the mean over people of the joints of others in their box, divided by their own in it.

    It is CrowdPose's. Absent joints count nowhere, and people without a joint in their box are left out. Where no box
    holds a joint of another, it is 0.
    """
    there = people.flags != ABSENT
    inside = [((people.joints >= box[:2]) & (people.joints <= box[2:])).all(-1) & there for box in people.boxes]
    counts = [(int(one[number].sum()), int(one.sum())) for number, one in enumerate(inside)]
    shares = [(every - own) / own for own, every in counts if own]
    return float(np.mean(shares)) if shares else 0.0


def crowd_weights(indices: Mapping[int, float]) -> dict[int, float]:
    """Of each frame 1 + its crowd index ÷ the mean of all of them: half of all weight is shared by crowding alone.

    Where no frame is crowded, all are 1.
    """
    mean = sum(indices.values()) / max(1, len(indices))
    return {frame: 1 + index / mean if mean else 1.0 for frame, index in indices.items()}


def _of(boxes: Boxes, label: int) -> Boxes:
    chosen = boxes.labels == label
    return Boxes(*(part[chosen] for part in boxes))


def _right(found: Boxes, true: Boxes) -> Array:
    """Which of the boxes of one action are true: the likeliest first takes the true box that it overlaps most."""
    right = np.zeros(len(found.frames), bool)
    for frame in np.unique(found.frames):
        own = np.flatnonzero(found.frames == frame)
        own = own[np.argsort(-found.scores[own], kind="stable")]
        overlaps = _overlaps(found.boxes[own], true.boxes[true.frames == frame])
        for row, number in enumerate(own.tolist()):
            if overlaps.shape[1] and overlaps[row].max() >= OVERLAP:
                right[number] = True
                overlaps[:, overlaps[row].argmax()] = -1.0
    return right


def _overlaps(one: Array, other: Array) -> Array:
    """Intersections over unions, N×M."""
    from torchvision.ops import box_iou  # takes a second to import

    found: Array = box_iou(torch.from_numpy(one).double(), torch.from_numpy(other).double()).numpy()
    return found


def _area(right: Array, wrong: Array, whole: float) -> float:
    """The mean precision at 101 recalls, from running sums of what is right and wrong."""
    recall = np.round(right / whole, 12)  # sums of weights are off by their last digits
    precision = right / np.maximum(right + wrong, np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS)
    return float(np.append(best, 0.0)[at].mean())
