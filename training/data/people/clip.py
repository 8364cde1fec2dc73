"""A clip and who is in each of its frames, as values, wherever they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.people.joints import JOINTS

Array = NDArray[Any]


@dataclass(frozen=True)
class People:
    """The K people of a frame.

    Attributes:
        boxes: K×4 (float32): left, top, right, bottom in pixels.
        identities: K (int64): the same along a clip, from 1 on.
        joints: K×14×2 (float32): x and y in pixels, in the order of `joints.JOINTS`.
        flags: K×14 (int8): see `joints.VISIBLE`.
        actions: K names.
    """

    boxes: Array
    identities: Array
    joints: Array
    flags: Array
    actions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.identities)


NOBODY = People(
    np.zeros((0, 4), np.float32),
    np.zeros(0, np.int64),
    np.zeros((0, len(JOINTS), 2), np.float32),
    np.zeros((0, len(JOINTS)), np.int8),
    (),
)


@dataclass(frozen=True)
class Clip:
    """T frames of one camera.

    Attributes:
        pictures: T×H×W×3 (uint8); without any where only what is in them is known.
        frames: who is in each of T frames.
        scene: where it is; empty if that is not known.
    """

    name: str
    pictures: Array
    frames: Sequence[People]
    scene: str = ""
