"""From the boxes of each frame to people who are followed, with their joints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from deployment.answers import all_finite
from deployment.model_source import Model
from deployment.tracking.answered import Ask, asked
from deployment.tracking.appearance import looks
from deployment.tracking.detections import Detections, normalised
from deployment.tracking.footage import Footage
from deployment.tracking.optical_flow import flow_between
from deployment.tracking.smoothing import WEIGHT, WINDOW, smoothed
from deployment.tracking.tracker import TrackerSettings, follow
from foundation.errors import InputError
from foundation.progress import Reporter
from tasks.pose.keypoints import Posed, average_precision
from training.data.people.clip import Array, People
from training.data.people.crops import back, crops, squares
from training.data.people.mot_text import Tracked

JOINTS_OF = "pose"
"""The task whose networks say where joints are."""


@dataclass(frozen=True)
class Following:
    """How people are followed.

    Attributes:
        by_look: whether appearance counts beside place.
        smoothing: weight of what the frames before and after say of a joint, in 0 to 1; 0: none.
    """

    by_look: bool = True
    smoothing: float = WEIGHT
    window: int = WINDOW
    tracker: TrackerSettings = field(default_factory=TrackerSettings)


@dataclass(frozen=True)
class Followed:
    """The people of a video.

    Attributes:
        tracks: of each frame, counted from 1, its boxes and identities.
        joints: of each of them, in the same order, 14×3 in pixels of the frame: x, y and how likely.
    """

    tracks: dict[int, Tracked]
    joints: dict[int, Array]


def check_pose(model: Model) -> None:
    """Raises InputError for a network of another task."""
    if model.info.task.partition(":")[0] != JOINTS_OF:
        raise InputError(f"{model.path}: of task {model.info.task}, and joints are said by one of task {JOINTS_OF}")


def tracks_of(footage: Footage, detections: Detections, following: Following, reporter: Reporter) -> dict[int, Tracked]:
    """The tracks in the frames."""

    def frames() -> Iterator[tuple[int, Tracked, Array | None]]:
        with reporter.track("people", footage.length, "frames") as advance:
            for place in range(footage.length):
                found = detections(place)
                seen = looks(footage.picture(place), found.boxes) if following.by_look else None
                yield place + 1, found, seen
                advance("")

    return follow(frames(), following.tracker)


def joints_of(
    model: Model, footage: Footage, tracks: dict[int, Tracked], reporter: Reporter, ask: Ask = asked
) -> dict[int, Array]:
    """Of each tracked box the joints: in a crop around it, and from there in the frame."""
    check_pose(model)
    side = model.info.architecture.resolution
    found: dict[int, Array] = {}
    with reporter.track("joints", len(tracks), "frames") as advance:
        for number, tracked in tracks.items():
            found[number] = np.zeros((0, 14, 3), np.float32)
            if len(tracked.boxes):
                around = squares(tracked.boxes)
                images = normalised(crops(footage.picture(number - 1), around, side), model)
                answers: Tensor = ask(model, images)
                if not all_finite(answers):
                    raise InputError(f"{model.path}: its joints are not finite; was it trained to the end?")
                own = answers.numpy()
                found[number] = np.concatenate([back(own[..., :2], around, side), own[..., 2:]], -1)
            advance("")
    return found


def smoothed_along(
    tracks: dict[int, Tracked], joints: dict[int, Array], footage: Footage, following: Following
) -> dict[int, Array]:
    """The joints, smoothed along their tracks by the frames' optical flow."""
    if not following.smoothing:
        return joints
    numbers = sorted(tracks)
    frames = [
        dict(zip(tracks[number].identities.tolist(), joints[number][..., :2].astype(np.float64), strict=True))
        for number in numbers
    ]
    flow = flow_between(lambda place: footage.picture(numbers[place] - 1))
    made = smoothed(frames, flow, following.smoothing, following.window)
    result = {}
    for number, frame in zip(numbers, made, strict=True):
        own = joints[number].copy()
        for row, identity in enumerate(tracks[number].identities.tolist()):
            own[row, :, :2] = frame[identity]
        result[number] = own
    return result


def joints_precision(followed: Followed, people: Sequence[People]) -> float:
    """OKS-AP of the joints in all frames, in 0 to 1; a person is ranked by score and mean likelihood."""
    found, true = [], []
    for number, there in enumerate(people, 1):
        tracked, joints = followed.tracks[number], followed.joints[number]
        scores = tracked.scores * joints[..., 2].mean(1) if len(joints) else tracked.scores
        flags = np.zeros((len(joints), 14), np.int8)
        found.append(Posed(joints[..., :2], flags, _areas(tracked.boxes), scores))
        true.append(Posed(there.joints, there.flags, _areas(there.boxes), np.ones(len(there))))
    return average_precision(found, true)[0]


def _areas(boxes: Array) -> Array:
    areas: Array = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return areas
