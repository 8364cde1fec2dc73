"""How like the joints that were found are to the true ones: OKS, and its average precision by pycocotools.

OKS of a person is the mean over the joints that are known of exp(−d²/(2·s²·k²)): d is how far a joint is from the true
one, s² the area of the person's box, and k = 2σ (https://cocodataset.org/#keypoints-eval).
"""

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from foundation.errors import InputError
from training.data.people.clip import Array
from training.data.people.joints import ABSENT, HIDDEN, JOINTS

SIGMAS = (
    0.026,  # nose
    0.079,  # chest: no joint of COCO's; as shoulders
    *(0.079, 0.072, 0.062),  # shoulder, elbow, wrist
    *(0.079, 0.072, 0.062),
    *(0.107, 0.087, 0.089),  # hip, knee, ankle
    *(0.107, 0.087, 0.089),
)
"""COCO's own for the joints that it has; the right side before the left one."""


class Posed(NamedTuple):
    """The people of a picture, K of them.

    Attributes:
        joints: K×14×2, in any unit.
        flags: K×14, of a truth: see `training.data.people.joints`. Of what was found nothing is asked.
        areas: K, of their boxes, in that unit squared.
        scores: K, of what was found.
    """

    joints: Array
    flags: Array
    areas: Array
    scores: Array


def similarities(joints: Array, true: Array, areas: Array) -> Array:
    """exp(−d²/(2·s²·k²)) of each joint: K×14, in 0 to 1."""
    squares = ((np.asarray(joints, np.float64) - true) ** 2).sum(-1)
    widths = (2 * np.array(SIGMAS)) ** 2
    found: Array = np.exp(-squares / (2 * np.maximum(np.asarray(areas)[:, None], 1e-12) * widths))
    return found


def average_precision(found: Sequence[Posed], true: Sequence[Posed]) -> tuple[float, float]:
    """AP over OKS of .5 to .95, and at .5, of all pictures; 0 where there is no joint to be found.

    Hidden joints count, absent ones do not; of a picture the 20 best count, as in COCO's evaluation.
    """
    check_installed()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    coco: Any = COCO()
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it does
        coco.dataset = {
            "images": [{"id": number} for number in range(1, len(true) + 1)],
            "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS)}],
            "annotations": _true(true),
        }
        coco.createIndex()
        results = _found(found)
        if not results or not coco.dataset["annotations"]:
            return 0.0, 0.0
        judged: Any = COCOeval(coco, coco.loadRes(results), "keypoints")
        judged.params.kpt_oks_sigmas = np.array(SIGMAS)
        judged.evaluate()
        judged.accumulate()
    # Thresholds × recalls × classes × areas (the first: all) × most a picture.
    precisions = judged.eval["precision"][:, :, 0, 0, 0]
    return _mean(precisions), _mean(precisions[:1])


def check_installed() -> None:
    """Raises InputError where pycocotools is not installed."""
    if importlib.util.find_spec("pycocotools") is None:
        raise InputError("OKS-AP: pycocotools is not installed; get it by: pip install 'coordnas[video]'")


def _mean(precisions: Array) -> float:
    known = precisions[precisions > -1]
    return float(known.mean()) if known.size else 0.0


def _true(pictures: Sequence[Posed]) -> list[dict[str, Any]]:
    """COCO's annotations; its flags are 2, 1 and 0 for 0, 1 and -1 here."""
    annotations: list[dict[str, Any]] = []
    for number, posed in enumerate(pictures, 1):
        for joints, flags, area in zip(posed.joints, posed.flags, posed.areas, strict=True):
            known = np.where(flags == ABSENT, 0, np.where(flags == HIDDEN, 1, 2))
            annotations.append(
                {
                    **_entry(number, joints, known, float(area)),
                    "id": len(annotations) + 1,
                    "num_keypoints": int((known > 0).sum()),
                    "iscrowd": 0,
                }
            )
    return annotations


def _found(pictures: Sequence[Posed]) -> list[dict[str, Any]]:
    everywhere = np.full(len(JOINTS), 2)
    return [
        {**_entry(number, joints, everywhere, float(area)), "score": float(score)}
        for number, posed in enumerate(pictures, 1)
        for joints, area, score in zip(posed.joints, posed.areas, posed.scores, strict=True)
    ]


def _entry(number: int, joints: Array, known: Array, area: float) -> dict[str, Any]:
    points = np.concatenate([np.asarray(joints, np.float64), known[:, None]], 1).ravel().tolist()
    low, high = joints.min(0), joints.max(0)
    box = [*map(float, low), *map(float, high - low)]
    return {"image_id": number, "category_id": 1, "keypoints": points, "area": area, "bbox": box}
