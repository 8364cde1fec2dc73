"""Joints smoothed along a track: where those of the frames before and after say that they are, carried by optical flow.

In the manner of HIE's pose tracking (arXiv:2010.10007, of which the abstract alone could be read): a joint becomes the
mean of itself and of what the neighbouring frames of the same track say, each moved to this frame by the flow between.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from foundation.errors import InputError
from training.data.people.clip import Array

Flow = Callable[[int, int, Array], Array]
"""How far points (K×2) of one frame have moved (K×2) in the next or in the last one, by the frames' numbers."""

Joints = Mapping[int, Array]
"""By identity the joints of the people in a frame, J×2 in pixels."""

WEIGHT = 0.5
WINDOW = 1


def smoothed(
    frames: Sequence[Joints], flow: Flow, weight: float = WEIGHT, window: int = WINDOW
) -> list[dict[int, Array]]:
    """The joints of each frame, smoothed. At an end of a track one side alone says something; nothing does alone.

    Args:
        weight: of what other frames say, in 0 to 1.
        window: frames before and after that say something, all the same much.
    """
    if not 0 <= weight <= 1 or window < 0:
        raise InputError(f"`smoothing`: expected a weight of 0 to 1 and a window of 0 or more, got {weight}, {window}")
    votes = _votes(frames, flow, window)
    return [
        {
            identity: joints + weight * (np.mean(own[identity], 0) - joints) if identity in own else joints
            for identity, joints in frame.items()
        }
        for frame, own in zip(frames, votes, strict=True)
    ]


def _votes(frames: Sequence[Joints], flow: Flow, window: int) -> list[dict[int, list[Array]]]:
    """What other frames say of each person's joints in each frame."""
    votes: list[dict[int, list[Array]]] = [{} for _ in frames]
    for step in (1, -1):
        carried: dict[int, list[Array]] = {}
        for number in range(len(frames))[::step][1:]:
            before = number - step
            moved = {}
            for identity in frames[number]:
                said = [frames[before][identity], *carried.get(identity, [])] if identity in frames[before] else []
                moved[identity] = [points + flow(before, number, points) for points in said[:window]]
                if moved[identity]:
                    votes[number].setdefault(identity, []).extend(moved[identity])
            carried = moved
    return votes
