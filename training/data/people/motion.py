"""How figures move: the joints of each action, by the angles of a body that is one unit high.

A limb hangs down at angle 0 and swings forward as the angle grows. A figure is seen from the side, looking to the
right, or from the front. Where its feet are is (0, 0), and y grows downwards, as in pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TORSO, NECK, HEAD = 0.30, 0.05, 0.13
UPPER_ARM, FOREARM, THIGH, SHIN, ANKLE = 0.17, 0.16, 0.25, 0.23, 0.04
NOSE = 0.05  # that the nose stands out in front of the head's centre

WALK, RUN = 0.05, 0.12  # heights a frame
FALL = 8  # frames of a fall


@dataclass(frozen=True)
class Motion:
    """A figure's body over T frames, in heights.

    Attributes:
        joints: T×14×2, around the place where it stands.
        heads: T×2, the centres of its heads.
        speed: that it moves ahead with, in heights a frame.
        frontal: whether it is seen from the front.
    """

    joints: Floats
    heads: Floats
    speed: float
    frontal: bool


@dataclass(frozen=True)
class _Angles:
    """In radians, T each: of arms and legs first the right one's, 2×T."""

    lean: Floats
    upper_arms: Floats
    elbows: Floats
    thighs: Floats
    knees: Floats


def _walking(steps: Floats, rng: np.random.Generator) -> _Angles:
    return _striding(steps, rng, swing=0.42, speed=WALK, lean=0.03, elbow=0.3)


def _running(steps: Floats, rng: np.random.Generator) -> _Angles:
    return _striding(steps, rng, swing=0.8, speed=RUN, lean=0.22, elbow=1.5)


def _striding(
    steps: Floats, rng: np.random.Generator, *, swing: float, speed: float, lean: float, elbow: float
) -> _Angles:
    """Legs that swing against each other, so fast that a step is as long as the legs reach; arms against the legs."""
    turn = 2 * np.pi * speed / (4 * (THIGH + SHIN) * np.sin(swing))
    phase = turn * steps + rng.uniform(0, 2 * np.pi) + np.array([[0.0], [np.pi]])
    return _Angles(
        np.full(len(steps), lean),
        -0.9 * swing * np.sin(phase),
        np.full_like(phase, elbow),
        swing * np.sin(phase),
        -1.6 * swing * np.clip(np.cos(phase), 0, None),  # the leg that swings forward is bent
    )


def _waving(steps: Floats, rng: np.random.Generator) -> _Angles:
    """Stands, with one arm up whose hand goes to and fro."""
    still = np.zeros((2, len(steps)))
    arms = np.full_like(still, 0.15)
    hands = np.full_like(still, 0.1)
    side = int(rng.random() < 0.5)
    arms[side] = 2.2
    hands[side] = 0.7 + 0.6 * np.sin(0.9 * steps + rng.uniform(0, 2 * np.pi))
    return _Angles(still[0], arms, hands, np.full_like(still, 0.08), still)


def _sitting(steps: Floats, rng: np.random.Generator) -> _Angles:
    sway = 0.04 * np.sin(0.3 * steps + rng.uniform(0, 2 * np.pi))
    both = np.ones((2, len(steps)))
    return _Angles(
        0.05 + sway,
        both * rng.uniform(0.3, 0.6),
        both * rng.uniform(0.6, 1.0),
        both * rng.uniform(1.35, 1.5),
        -both * rng.uniform(1.3, 1.5),
    )


def _falling(steps: Floats, rng: np.random.Generator) -> _Angles:
    """Stands with arms held out; the whole body turns over, see `moving`."""
    both = np.ones((2, len(steps)))
    return _Angles(
        0.1 * both[0], both * rng.uniform(0.4, 1.2), both * 0.4, 0.1 * np.array([[1.0], [-1.0]]) * both, -0.1 * both
    )


def _standing(steps: Floats, rng: np.random.Generator) -> _Angles:
    """Nearly still, from the side, with the arms down."""
    both = np.ones((2, len(steps)))
    sway = 0.03 * np.sin(0.3 * steps + rng.uniform(0, 2 * np.pi))
    return _Angles(sway, both * rng.uniform(0.0, 0.25), both * rng.uniform(0.1, 0.4), 0.05 * both, -0.02 * both)


_MOTIONS: dict[str, tuple[Callable[[Floats, np.random.Generator], _Angles], float, bool]] = {
    "walking": (_walking, WALK, False),
    "running": (_running, RUN, False),
    "waving": (_waving, 0.0, True),
    "falling": (_falling, 0.0, False),
    "sitting": (_sitting, 0.0, False),
    "standing-alone": (_standing, 0.0, False),
    "queuing": (_standing, 0.0, False),
}

ALIKE = ("standing-alone", "queuing")
"""Two actions of the same motion, by HiEve's names: nothing of a figure tells them apart."""

ACTIONS = tuple(name for name in _MOTIONS if name not in ALIKE)
"""Those that the motion tells."""


def moving(action: str, frames: int, rng: np.random.Generator) -> Motion:
    """A figure's body in an action."""
    make, speed, frontal = _MOTIONS[action]
    joints, heads = _placed(make(np.arange(frames, dtype=np.float64), rng), frontal)
    if action == "falling":
        begun = rng.integers(2, max(3, frames - FALL))
        turned = 1.5 * np.clip((np.arange(frames) - begun) / FALL, 0, 1) ** 2
        joints, heads = _turned(joints, turned), _turned(heads[:, None], turned)[:, 0]
    return Motion(joints, heads, speed, frontal)


def _placed(angles: _Angles, frontal: bool) -> tuple[Floats, Floats]:
    """Joints T×14×2 and the heads' centres T×2; the lower foot stands on the ground."""
    count = len(angles.lean)
    hip = np.zeros((count, 2))
    chest = hip - TORSO * _along(angles.lean)
    head = chest - (NECK + HEAD) * _along(angles.lean)
    nose = head + ([0.0, 0.02] if frontal else [NOSE, 0.0])
    joints = np.zeros((count, 14, 2))
    joints[:, 0], joints[:, 1] = nose, chest
    for side in range(2):  # the right one first; of a figure that looks at us it is on the left of the picture
        out = (1.0 if side else -1.0) * np.array([0.11 if frontal else 0.02, 0.0])
        # Seen from the front, limbs swing outwards.
        turn = (1.0 if side else -1.0) if frontal else 1.0
        shoulder, socket = chest + out + [0.0, 0.02], hip + 0.6 * out
        elbow = shoulder + UPPER_ARM * _along(turn * angles.upper_arms[side])
        wrist = elbow + FOREARM * _along(turn * (angles.upper_arms[side] + angles.elbows[side]))
        knee = socket + THIGH * _along(turn * angles.thighs[side])
        ankle = knee + SHIN * _along(turn * (angles.thighs[side] + angles.knees[side]))
        for number, joint in enumerate((shoulder, elbow, wrist)):
            joints[:, 2 + 3 * side + number] = joint
        for number, joint in enumerate((socket, knee, ankle)):
            joints[:, 8 + 3 * side + number] = joint
    down = -joints[:, [10, 13], 1].max(1) - ANKLE
    joints[..., 1] += down[:, None]
    head[:, 1] += down
    return joints, head


def _along(angle: Floats) -> Floats:
    """T×2: the direction that a limb at that angle hangs in."""
    return np.stack([np.sin(angle), np.cos(angle)], -1)


def _turned(points: Floats, angles: Floats) -> Floats:
    """T×K×2 points turned forward around the feet."""
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], -1)
