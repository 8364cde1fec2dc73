"""Clips made by a seed: figures of 14 joints that walk, run, wave, fall and sit in front of real textures.

The textures are tiles of the photographs of `training.data.scenes`, divided among the splits as there: no tile is seen
in two splits. A clip's scene is the photograph that its background is made of. Figures are drawn from the farthest to
the nearest, so one that stands lower in the picture hides those behind it.

What a person does depends on the scene: with a probability (`AGREEMENT`) it is one of the scene's own actions.
"""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import InputError
from foundation.seeds import derive
from training.data.people.clip import NOBODY, Clip, People
from training.data.people.joints import ABSENT, HIDDEN, VISIBLE
from training.data.people.motion import ACTIONS, ALIKE, Motion, moving
from training.data.people.painting import Look, painted
from training.data.scenes import photographs, tiles

SCENES = ("temple", "flower", "portrait")
"""By the photograph of the background, in the order of `training.data.scenes.photographs`."""

OWN = {"temple": ("walking", "falling"), "flower": ("running", "waving"), "portrait": ("sitting", "waving")}
"""The actions that are frequent in each scene."""


@dataclass(frozen=True)
class Repertoire:
    """What people do.

    Attributes:
        actions: all of it.
        own: the actions that are frequent in each scene.
    """

    actions: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]]


TOLD_BY_MOTION = Repertoire(ACTIONS, OWN)

WITH_A_PAIR = Repertoire(
    (*ACTIONS, *ALIKE),
    {
        "temple": (*OWN["temple"], "standing-alone"),
        "flower": OWN["flower"],
        "portrait": (*OWN["portrait"], "queuing"),
    },
)
"""With two more actions that look alike: where the clip is says which of the two is likelier."""

AGREEMENT = 0.8

COUNTS = {"train": 160, "validation": 40, "test": 60}
"""Clips of each split."""

FRAMES = 24
HEIGHT, WIDTH = 120, 160  # pixels of a frame
LEAST_SEEN = 0.2
"""Share of a figure's pixels in the picture that must be seen for it to be told."""

_TILE = 64
_PEOPLE = (3, 6)  # in a clip: at least, and less than
_HEIGHTS = (42.0, 72.0)  # pixels of the farthest and the nearest
_GROUND = (64.0, 114.0)  # rows of their feet
_TURNS = 0.3  # share of those who walk or run that turn back


class _Person:
    """One figure of a clip: where it is in all frames, and what it looks like."""

    def __init__(self, action: str, frames: int, cloth: NDArray[Any], rng: np.random.Generator):
        self.action = action
        depth = rng.random()
        self.ground = _GROUND[0] + depth * (_GROUND[1] - _GROUND[0])
        self.height = _HEIGHTS[0] + depth * (_HEIGHTS[1] - _HEIGHTS[0])
        motion: Motion = moving(action, frames, rng)
        facing = np.full(frames, 1.0 if rng.random() < 0.5 else -1.0)
        if motion.speed and rng.random() < _TURNS:
            facing[rng.integers(frames // 3, 2 * frames // 3) :] *= -1
        step = motion.speed * self.height * rng.uniform(0.8, 1.2) * facing
        x = np.cumsum(step) + rng.uniform(0.1, 0.9) * WIDTH - step.sum() / 2
        turn = np.ones(frames) if motion.frontal else facing
        place = np.stack([x, np.full(frames, self.ground)], -1)
        mirror = np.stack([turn, np.ones(frames)], -1)
        self.joints = place[:, None] + self.height * motion.joints * mirror[:, None]
        self.heads = place + self.height * motion.heads * mirror
        self.right_is_near = facing > 0
        self.look = Look(_colours(rng), cloth)


def clip(
    split: str,
    number: int,
    seed: int = 0,
    *,
    agreement: float = AGREEMENT,
    repertoire: Repertoire = TOLD_BY_MOTION,
    frames: Sequence[int] | None = None,
    length: int = FRAMES,
) -> Clip:
    """A clip of a split; the same for the same arguments, whichever others are made.

    Args:
        number: from 0 on, without an end.
        agreement: probability that an action is one of the scene's own; 1 minus the usual one reverses what scenes say.
        repertoire: what people may do.
        frames: numbers of those that are painted, of `length`; None for all.
    """
    rng = np.random.default_rng(derive(seed, "people", split, number))
    scene = SCENES[int(rng.integers(len(SCENES)))]
    background = _background(split, scene, rng)
    people = []
    for _ in range(int(rng.integers(*_PEOPLE))):
        own = repertoire.own[scene]
        if rng.random() >= agreement:
            own = tuple(one for one in repertoire.actions if one not in own)
        action = own[int(rng.integers(len(own)))]
        people.append(_Person(action, length, _tile(split, int(rng.integers(len(SCENES))), rng), rng))
    shown = [_frame(background, people, number) for number in (range(length) if frames is None else frames)]
    pictures = np.stack([picture for picture, _ in shown])
    return Clip(f"{split}-{number:03}", pictures, tuple(there for _, there in shown), scene)


def clips(split: str, seed: int = 0, count: int | None = None, **options: Any) -> list[Clip]:
    """The clips of a split: `COUNTS[split]` of them, or `count`. For the options see `clip`."""
    if split not in COUNTS:
        raise InputError(f"split {split}: unknown; known: {', '.join(COUNTS)}")
    return [clip(split, number, seed, **options) for number in range(count or COUNTS[split])]


def _frame(background: NDArray[Any], people: Sequence[_Person], number: int) -> tuple[NDArray[Any], People]:
    """The picture, and who is in it."""
    picture = background.astype(np.float32)
    owner = np.full(picture.shape[:2], -1)
    order = sorted(range(len(people)), key=lambda index: people[index].ground)
    figures = {}
    for index in order:
        person = people[index]
        figure = painted(
            person.joints[number],
            person.heads[number],
            person.height,
            person.look,
            (HEIGHT, WIDTH),
            right_is_near=bool(person.right_is_near[number]),
        )
        picture[figure.rows, figure.columns] = figure.values
        owner[figure.rows, figure.columns] = index
        figures[index] = figure
    seen = {
        index: float((owner[figure.rows, figure.columns] == index).mean())
        for index, figure in figures.items()
        if figure.box is not None
    }
    told = [index for index in range(len(people)) if seen.get(index, 0.0) >= LEAST_SEEN]
    whole = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    if not told:
        return whole, NOBODY
    joints = np.stack([people[index].joints[number] for index in told])
    return whole, People(
        np.array([figures[index].box for index in told], np.float32),
        np.array(told, np.int64) + 1,
        joints.astype(np.float32),
        np.stack([_flags(points, index, owner) for index, points in zip(told, joints, strict=True)]),
        tuple(people[index].action for index in told),
    )


def _flags(joints: NDArray[Any], index: int, owner: NDArray[Any]) -> NDArray[Any]:
    """Whether each joint is seen, is hidden by another figure, or is not in the picture."""
    column, row = np.floor(joints).astype(np.int64).T
    inside = (column >= 0) & (column < owner.shape[1]) & (row >= 0) & (row < owner.shape[0])
    at = owner[row.clip(0, owner.shape[0] - 1), column.clip(0, owner.shape[1] - 1)]
    return np.where(inside, np.where(at == index, VISIBLE, HIDDEN), ABSENT).astype(np.int8)


def _background(split: str, scene: str, rng: np.random.Generator) -> NDArray[Any]:
    """Tiles of the scene's photograph side by side, each mirrored as it comes: H×W×3."""
    down, across = -(-HEIGHT // _TILE), -(-WIDTH // _TILE)
    of = SCENES.index(scene)
    rows = [np.concatenate([_tile(split, of, rng) for _ in range(across)], 1) for _ in range(down)]
    return np.concatenate(rows)[:HEIGHT, :WIDTH] * rng.uniform(0.7, 1.0)


def _tile(split: str, photograph: int, rng: np.random.Generator) -> NDArray[Any]:
    whole = photographs()[photograph]
    corners = tiles(split, whole.shape)
    top, left = corners[int(rng.integers(len(corners)))]
    tile = whole[top : top + _TILE, left : left + _TILE].astype(np.float32)
    return tile[:, ::-1] if rng.random() < 0.5 else tile


def _colours(rng: np.random.Generator) -> NDArray[Any]:
    """Of skin, shirt and trousers, 3×3 (0 to 255)."""
    skin = colorsys.hsv_to_rgb(rng.uniform(0.03, 0.1), rng.uniform(0.25, 0.6), rng.uniform(0.45, 0.95))
    shirt = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0))
    trousers = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.5), rng.uniform(0.1, 0.7))
    return 255 * np.array([skin, shirt, trousers])
