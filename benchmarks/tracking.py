"""What each part of following people is worth, on clips whose truth is known: place, appearance, smoothing.

    python -m benchmarks.tracking [--seeds 5] [--clips 6] [--frames 48] [--folder FOLDER]

Detections are the true boxes of `scenes:people` (test textures), 10 % missed, 5 % false, each side moved by up to 3
pixels: so the tracker alone is measured. A detection has the joints of its person, each coordinate moved by up to 3
pixels, or exact; a false one has joints anywhere in its box. Arms: overlap with the place that is predicted (`place`),
appearance before it, and with that joints smoothed along the tracks by optical flow, over one frame or three to each
side. A seed is other clips; counts are of all its clips together. Differences are paired by seed, with intervals of
95 %. A killed run goes on with the seed where it was, and more seeds can be asked for later.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.intervals import ahead, told
from deployment.tracking.appearance import looks
from deployment.tracking.footage import truth_of
from deployment.tracking.measures import all_followed
from deployment.tracking.optical_flow import flow_between
from deployment.tracking.smoothing import smoothed
from deployment.tracking.tracker import follow
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from foundation.seeds import derive
from reports.terminal.tables import plain_table
from tasks.pose.keypoints import Posed, average_precision
from training.data.people.clip import Array, Clip
from training.data.people.clips import clip
from training.data.people.made_worse import JITTER, worse
from training.data.people.mot_text import Tracked

PLACE, LOOK = "place", "+ appearance"
WINDOWS = {"+ smoothing": 1, "+ smoothing, 3 frames a side": 3}
JOINTS = {"moved": JITTER, "exact": 0.0}

_Joints = dict[int, dict[int, Array]]
"""By frame and identity 14×2."""


def main() -> None:
    """Follows, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--folder", type=Path, default=Path("runs/tracking"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    results = []
    for seed in range(arguments.seeds):
        kept = arguments.folder / f"{seed}-{arguments.clips}-{arguments.frames}.json"
        if not kept.exists():
            write_json(kept, of_seed(seed, arguments.clips, arguments.frames, Reporter()))
        results.append(read_json(kept))
    _print(results)


def of_seed(seed: int, count: int, frames: int, reporter: Reporter) -> dict[str, Any]:
    """Of each arm its measures over all clips of a seed, in 0 to 1 but for counts."""
    videos: dict[str, list[Any]] = {PLACE: [], LOOK: []}
    poses: dict[str, tuple[list[Posed], list[Posed]]] = {}
    with reporter.track(f"seed {seed}", count, "clips") as advance:
        for number in range(count):
            made = clip("test", number, derive(seed, "tracking"), length=frames)
            truth = truth_of(tuple(made.frames))
            detections, of = _detections(made, seed)
            for arm in videos:
                seen = [
                    looks(picture, found.boxes) if arm == LOOK else None
                    for picture, found in zip(made.pictures, detections, strict=True)
                ]
                tracks = follow(zip(range(1, frames + 1), detections, seen, strict=True))
                videos[arm].append((truth, tracks))
            for name, jitter in JOINTS.items():
                for arm, joints in _joints(made, detections, of, tracks, jitter, seed).items():
                    _add(poses.setdefault(f"{arm}, {name}", ([], [])), made, tracks, joints)
            advance("")
    return {
        **{arm: all_followed(own)._asdict() for arm, own in videos.items()},
        "oks_ap": {arm: average_precision(*own)[0] for arm, own in poses.items()},
    }


def _detections(made: Clip, seed: int) -> tuple[list[Tracked], list[Array]]:
    """The boxes of each frame, and whom each is of."""
    found, of = [], []
    for place, people in enumerate(made.frames):
        rng = np.random.default_rng(derive(seed, "detections", made.name, place))
        boxes, whose = worse(people, made.pictures.shape[1:3], rng)
        found.append(Tracked(boxes, np.full(len(boxes), -1), np.ones(len(boxes), np.float32)))
        of.append(whose)
    return found, of


def _joints(
    made: Clip, detections: list[Tracked], of: list[Array], tracks: dict[int, Tracked], jitter: float, seed: int
) -> dict[str, _Joints]:
    """By arm the joints of the tracked boxes: as they are found, and smoothed."""
    found: _Joints = {}
    for place, (people, whose) in enumerate(zip(made.frames, of, strict=True)):
        rng = np.random.default_rng(derive(seed, "joints", made.name, place))
        own: dict[int, Array] = {}
        for box, identity in zip(tracks[place + 1].boxes, tracks[place + 1].identities.tolist(), strict=True):
            row = int((detections[place].boxes == box).all(1).argmax())
            moved = rng.uniform(-jitter, jitter, (14, 2))
            anywhere = box[:2] + rng.random((14, 2)) * (box[2:] - box[:2])
            own[identity] = anywhere if whose[row] < 0 else people.joints[whose[row]].astype(np.float64) + moved
        found[place + 1] = own
    numbers = sorted(found)
    flow = flow_between(made.pictures.__getitem__)
    arms = {LOOK: found}
    for arm, window in WINDOWS.items():
        made_of = smoothed([found[number] for number in numbers], flow, window=window)
        arms[arm] = dict(zip(numbers, made_of, strict=True))
    return arms


def _add(poses: tuple[list[Posed], list[Posed]], made: Clip, tracks: dict[int, Tracked], joints: _Joints) -> None:
    """What was found and what is true in each frame of a clip."""
    for number, people in enumerate(made.frames, 1):
        boxes = tracks[number].boxes
        own = [joints[number][identity] for identity in tracks[number].identities.tolist()]
        points = np.stack(own) if own else np.zeros((0, 14, 2))
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
        poses[0].append(Posed(points, np.zeros((len(own), 14)), areas, np.ones(len(own))))
        extents = (people.boxes[:, 2:] - people.boxes[:, :2]).prod(-1)
        poses[1].append(Posed(people.joints, people.flags, extents, np.ones(len(people))))


def _print(results: list[dict[str, Any]]) -> None:
    """A table of the tracks, one of the joints, and what is ahead of what."""
    table = plain_table(None, ["tracks", "MOTA", "IDF1", "HOTA", "switches"], words=("tracks",))
    for arm in (PLACE, LOOK):
        shares = [told([one[arm][name] for one in results]) for name in ("mota", "idf1", "hota")]
        switches = sum(one[arm]["switches"] for one in results) / len(results)
        table.add_row(arm, *shares, f"{switches:.1f}")
    joints = plain_table(None, ["joints", "OKS-AP", "ahead of unsmoothed"], words=("joints",))
    for arm in results[0]["oks_ap"]:
        own = [one["oks_ap"][arm] for one in results]
        before = [one["oks_ap"][f"{LOOK}, {arm.rpartition(', ')[2]}"] for one in results]
        gap = ahead([b - a for a, b in zip(before, own, strict=True)]) if not arm.startswith(LOOK) else ""
        joints.add_row(arm, told(own), gap)
    console = Console(width=120)
    console.print(table)
    for name in ("mota", "idf1", "hota"):
        gaps = [one[LOOK][name] - one[PLACE][name] for one in results]
        console.print(f"appearance ahead of place, {name.upper()}: {ahead(gaps)} points")
    counts = [(one[LOOK]["switches"], one[PLACE]["switches"]) for one in results]
    fewer = [1 - own / other if other else 0.0 for own, other in counts]
    console.print(f"switches fewer with appearance: {ahead(fewer)} % of them, a seed")
    console.print(joints)


if __name__ == "__main__":
    main()
