"""How well people were followed: MOTA, IDF1 and HOTA, by trackeval."""

import importlib.util
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from deployment.tracking.boxes import overlaps
from foundation.errors import InputError
from training.data.people.clip import Array
from training.data.people.mot_text import NOTHING, Tracked

OVERLAP = 0.5
"""Intersection over union from which on a box is found, of MOTA and IDF1; HOTA is the mean over .05 to .95."""


class Followed(NamedTuple):
    """How well people were followed in a video, or in several.

    Attributes:
        mota: 1 minus misses, false alarms and switches, as shares of the boxes that there are; it may be negative.
        idf1: in 0 to 1, of the assignment of whole tracks that fits best.
        hota: in 0 to 1.
        boxes: that there are.
        misses, false_alarms, switches: see `mota`.
    """

    mota: float
    idf1: float
    hota: float
    boxes: int
    misses: int
    false_alarms: int
    switches: int


def followed(truth: Mapping[int, Tracked], found: Mapping[int, Tracked]) -> Followed:
    """The measures of one video. Boxes of the truth whose flag is 0 count nowhere, nor does what finds one of them."""
    return all_followed([(truth, found)])


def all_followed(videos: list[tuple[Mapping[int, Tracked], Mapping[int, Tracked]]]) -> Followed:
    """The measures of several videos as a whole: counts are added up, as trackeval combines sequences."""
    check_installed()
    from trackeval.metrics.clear import CLEAR
    from trackeval.metrics.hota import HOTA
    from trackeval.metrics.identity import Identity

    settings = {"PRINT_CONFIG": False, "THRESHOLD": OVERLAP}
    by_name = {"clear": CLEAR(settings), "identity": Identity(settings), "hota": HOTA()}
    sequences = [_sequence(truth, found) for truth, found in videos]
    results = {
        name: metric.combine_sequences({str(n): metric.eval_sequence(one) for n, one in enumerate(sequences)})
        for name, metric in by_name.items()
    }
    clear = results["clear"]
    return Followed(
        float(clear["MOTA"]),
        float(results["identity"]["IDF1"]),
        float(np.mean(results["hota"]["HOTA"])),
        int(clear["CLR_TP"] + clear["CLR_FN"]),
        int(clear["CLR_FN"]),
        int(clear["CLR_FP"]),
        int(clear["IDSW"]),
    )


def check_installed() -> None:
    """Raises InputError where trackeval is not installed."""
    if importlib.util.find_spec("trackeval") is None:
        raise InputError("measures of tracks: trackeval is not installed; get it by: pip install 'coordnas[video]'")


def _sequence(truth: Mapping[int, Tracked], found: Mapping[int, Tracked]) -> dict[str, object]:
    """A video as trackeval's metrics take it: identities from 0 on, and the overlaps in each frame."""
    frames = sorted({*truth, *found})
    pairs = [_counted(truth.get(frame, NOTHING), found.get(frame, NOTHING)) for frame in frames]
    wanted, given = ([pair[side] for pair in pairs] for side in (0, 1))
    numbers = [_numbered([one.identities for one in side]) for side in (wanted, given)]
    return {
        "num_timesteps": len(frames),
        "gt_ids": numbers[0][0],
        "tracker_ids": numbers[1][0],
        "num_gt_ids": numbers[0][1],
        "num_tracker_ids": numbers[1][1],
        "num_gt_dets": sum(len(one.identities) for one in wanted),
        "num_tracker_dets": sum(len(one.identities) for one in given),
        "similarity_scores": [overlaps(one.boxes, other.boxes) for one, other in zip(wanted, given, strict=True)],
    }


def _counted(truth: Tracked, found: Tracked) -> tuple[Tracked, Tracked]:
    """Without boxes of the truth that count nowhere, and without what finds these and none that counts."""
    counts = truth.scores != 0
    kept: Array = np.ones(len(found.identities), bool)
    if not counts.all() and len(kept):
        over = overlaps(found.boxes, truth.boxes) >= OVERLAP
        kept = np.asarray(over[:, counts].any(1) | ~over[:, ~counts].any(1))
    return _of(truth, counts), _of(found, kept)


def _of(tracked: Tracked, chosen: Array) -> Tracked:
    return Tracked(tracked.boxes[chosen], tracked.identities[chosen], tracked.scores[chosen])


def _numbered(frames: list[Array]) -> tuple[list[Array], int]:
    """The identities as numbers from 0 on, and how many there are."""
    known = np.unique(np.concatenate(frames)) if frames else np.zeros(0, np.int64)
    return [np.searchsorted(known, one) for one in frames], len(known)
