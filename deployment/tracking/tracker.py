"""Which box of a frame is which person: prediction, appearance, and the assignment that costs least.

In the manner of DeepSORT (arXiv:1703.07402), written from its description: boxes are assigned first by appearance and
place (its equation 5), to the tracks that were seen last before those seen longer ago, and what is left by overlap. Its
experiments leave the place out of that cost, and try overlap for tracks seen in the frame before alone; here half of
the weight is on the place, and overlap is for all that are left: colours say less of a person than what is learnt for
it. Without appearance all are assigned by overlap, as in SORT (arXiv:1602.00763).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from deployment.tracking import kalman
from deployment.tracking.boxes import overlaps
from training.data.people.clip import Array
from training.data.people.mot_text import Tracked

_NEVER = 1e6  # a cost that no assignment takes


@dataclass(frozen=True)
class TrackerSettings:
    """DeepSORT's settings.

    Attributes:
        most_distant: 1 minus the intersection over union, above which a box is not the track's.
        most_unlike: cosine distance of appearances, above which a box is not the track's.
        place_weight: of the distance of places beside that of appearances, both as shares of the most there may be.
        max_age: frames that a track lives without being seen.
        confirmed_after: frames in a row that a track is seen in, without which it is a false alarm.
        gallery: appearances that a track keeps, the last ones.
    """

    most_distant: float = 0.7
    most_unlike: float = 0.2
    place_weight: float = 0.5
    max_age: int = 30
    confirmed_after: int = 3
    gallery: int = 100


@dataclass
class Track:
    """A person who is followed.

    Attributes:
        seen: frames in which there was a box of this track.
        unseen: frames since the last one.
        looks: rows of length 1, of the boxes so far.
    """

    identity: int
    state: kalman.State
    seen: int = 1
    unseen: int = 0
    looks: list[Array] = field(default_factory=list)


class Tracker:
    """Takes the boxes of one frame after the other.

    Attributes:
        confirmed: identities of the tracks that were seen in enough frames in a row to be no false alarms.
    """

    def __init__(self, settings: TrackerSettings | None = None):
        self.settings = settings or TrackerSettings()
        self.tracks: list[Track] = []
        self.confirmed: set[int] = set()
        self._begun = 0

    def step(self, boxes: Array, looks: Array | None = None) -> Array:
        """The identity of each of the N boxes of the next frame (int64), also of tracks that may be false alarms.

        Args:
            boxes: N×4: left, top, right, bottom in pixels.
            looks: N×D, rows of length 1: what each looks like. None for none.
        """
        for track in self.tracks:
            track.state = kalman.predicted(track.state)
            track.unseen += 1
        pairs = self._paired(boxes, looks)
        found = np.zeros(len(boxes), np.int64)
        for index, box in enumerate(boxes):
            track = pairs.get(index) or self._new(box)
            if index in pairs:
                track.state = kalman.updated(track.state, box)
                track.seen += 1
            track.unseen = 0
            if track.seen >= self.settings.confirmed_after:
                self.confirmed.add(track.identity)
            if looks is not None:
                track.looks = [*track.looks, looks[index]][-self.settings.gallery :]
            found[index] = track.identity
        # A track that was not confirmed before a frame lacked it is a false alarm.
        self.tracks = [
            track
            for track in self.tracks
            if track.unseen == 0 or (track.identity in self.confirmed and track.unseen <= self.settings.max_age)
        ]
        return found

    def _new(self, box: Array) -> Track:
        self._begun += 1
        track = Track(self._begun, kalman.begun(box))
        self.tracks.append(track)
        return track

    def _paired(self, boxes: Array, looks: Array | None) -> dict[int, Track]:
        """By the number of a box the track that it is of."""
        pairs: dict[int, Track] = {}
        rest = list(self.tracks)
        if looks is not None:
            for age in range(1, self.settings.max_age + 1):
                level = [track for track in rest if track.identity in self.confirmed and track.unseen == age]
                self._assign(level, boxes, pairs, self._by_look(level, boxes, looks), 1.0)
                rest = [track for track in rest if not any(track is other for other in pairs.values())]
        self._assign(rest, boxes, pairs, self._by_place(rest, boxes), self.settings.most_distant)
        return pairs

    def _assign(
        self, tracks: Sequence[Track], boxes: Array, pairs: dict[int, Track], costs: Array, most: float
    ) -> None:
        """Adds the pairs of tracks and boxes left that cost least in all, none of them more than `most`."""
        left = [index for index in range(len(boxes)) if index not in pairs]
        if not tracks or not left:
            return
        bounded = np.where(costs[:, left] <= most, costs[:, left], _NEVER)
        for row, column in zip(*linear_sum_assignment(bounded), strict=True):
            if bounded[row, column] < _NEVER:
                pairs[left[column]] = tracks[row]

    def _by_place(self, tracks: Sequence[Track], boxes: Array) -> Array:
        """1 minus the overlap of each track's predicted box with each box."""
        predicted = np.array([track.state.box for track in tracks]).reshape(-1, 4)
        found: Array = 1 - overlaps(predicted, np.asarray(boxes).reshape(-1, 4))
        return found

    def _by_look(self, tracks: Sequence[Track], boxes: Array, looks: Array) -> Array:
        """How unlike each box is to what is known of each track, and how far from it: 0 to 1, or too much of either."""
        costs: Any = np.full((len(tracks), len(boxes)), _NEVER)
        for row, track in enumerate(tracks):
            if len(boxes) and track.looks:
                unlike = (1 - (np.stack(track.looks) @ np.asarray(looks).T).max(0)) / self.settings.most_unlike
                away = kalman.distances(track.state, boxes) / kalman.GATE
                both = unlike + self.settings.place_weight * (away - unlike)
                costs[row] = np.where((unlike <= 1) & (away <= 1), both, _NEVER)
        found: Array = costs
        return found


def follow(
    frames: Iterable[tuple[int, Tracked, Array | None]], settings: TrackerSettings | None = None
) -> dict[int, Tracked]:
    """The boxes of each frame that are of a confirmed track, with its identity; identities count from 1 on.

    A track is told from its first frame on, though it is confirmed later: the whole video is known.

    Args:
        frames: of each, in order, its number, its detections, and what each looks like (see `Tracker.step`).
    """
    tracker = Tracker(settings)
    steps = [(number, found, tracker.step(found.boxes, looks)) for number, found, looks in frames]
    order = {identity: place for place, identity in enumerate(sorted(tracker.confirmed), 1)}
    result = {}
    for number, found, identities in steps:
        kept = np.isin(identities, list(order))
        told = np.array([order[identity] for identity in identities[kept].tolist()], np.int64)
        result[number] = Tracked(found.boxes[kept], told, found.scores[kept])
    return result
