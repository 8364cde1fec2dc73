"""Figures painted into a picture: limbs as capsules, in the colours and the cloth of one person."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Limbs are pairs of joints; 14 is the head's centre, which is no joint of HiEve's.
_HEAD = 14
_RIGHT = ((2, 3), (3, 4), (8, 9), (9, 10))
_LEFT = ((5, 6), (6, 7), (11, 12), (12, 13))
_BODY = ((2, 8), (5, 11), (1, 8), (1, 11), (1, _HEAD), (_HEAD, _HEAD))

_THICK = {
    **dict.fromkeys([(2, 3), (5, 6)], 0.038),
    **dict.fromkeys([(3, 4), (6, 7)], 0.03),
    **dict.fromkeys([(8, 9), (11, 12)], 0.055),
    **dict.fromkeys([(9, 10), (12, 13)], 0.042),
    **dict.fromkeys([(2, 8), (5, 11), (1, 8), (1, 11)], 0.06),
    (1, _HEAD): 0.035,
    (_HEAD, _HEAD): 0.078,
}
"""Radius of each capsule, in heights of the figure."""

_SKIN, _SHIRT, _TROUSERS = range(3)
_PARTS = {
    **dict.fromkeys([(2, 3), (5, 6), (2, 8), (5, 11), (1, 8), (1, 11)], _SHIRT),
    **dict.fromkeys([(8, 9), (9, 10), (11, 12), (12, 13)], _TROUSERS),
    **dict.fromkeys([(3, 4), (6, 7), (1, _HEAD), (_HEAD, _HEAD)], _SKIN),
}
_SHADE = 0.72  # of limbs on the far side


@dataclass(frozen=True)
class Look:
    """What a person looks like.

    Attributes:
        colours: 3×3 (0 to 255): of skin, shirt and trousers.
        cloth: P×P×3 (0 to 255): what the shirt is made of, a crop of a photograph.
    """

    colours: NDArray[Any]
    cloth: NDArray[Any]


@dataclass(frozen=True)
class Painted:
    """The pixels of a figure in a picture.

    Attributes:
        rows, columns: of the N pixels (int64).
        values: N×3 (0 to 255).
        box: left, top, right, bottom of these pixels; None for a figure that is not in the picture.
    """

    rows: NDArray[Any]
    columns: NDArray[Any]
    values: NDArray[Any]
    box: tuple[int, int, int, int] | None


def painted(
    joints: NDArray[Any], head: NDArray[Any], height: float, look: Look, size: tuple[int, int], *, right_is_near: bool
) -> Painted:
    """The pixels of a figure.

    Args:
        joints, head: 14×2 and 2, in pixels.
        height: of the figure standing upright, in pixels.
        size: height and width of the picture.
        right_is_near: whether its right side is the one that we see.
    """
    limbs = [*(_LEFT if right_is_near else _RIGHT), *_BODY, *(_RIGHT if right_is_near else _LEFT)]
    points = np.concatenate([joints, head[None]])
    reach = height * 0.1
    low = np.maximum(np.floor(points.min(0) - reach), 0).astype(np.int64)
    high = np.minimum(np.ceil(points.max(0) + reach), [size[1], size[0]]).astype(np.int64)
    if (low >= high).any():
        nothing = np.zeros(0, np.int64)
        return Painted(nothing, nothing, np.zeros((0, 3)), None)
    rows, columns = np.arange(low[1], high[1]), np.arange(low[0], high[0])
    begins = points[[first for first, _ in limbs]].astype(np.float32)
    along = points[[last for _, last in limbs]].astype(np.float32) - begins
    radii = height * np.array([_THICK[limb] for limb in limbs], np.float32)
    x, y = ((own + 0.5).astype(np.float32)[None] - begins[:, axis, None] for axis, own in enumerate((columns, rows)))
    inside = _squared_distance(x, y, along) <= (radii**2)[:, None, None]
    there = inside.any(0)
    # The last limb that covers a pixel is the one that is seen.
    last = len(limbs) - 1 - inside[::-1].argmax(0)
    down, across = np.nonzero(there)
    if not len(down):
        return Painted(down, across, np.zeros((0, 3)), None)
    limb = last[down, across]
    parts = np.array([_PARTS[one] for one in limbs])[limb]
    values = look.colours[parts].astype(np.float32)
    shirt = parts == _SHIRT
    # The cloth moves with the chest.
    corner = np.floor(points[1]).astype(np.int64)
    side = len(look.cloth)
    woven = look.cloth[(down + rows[0] - corner[1]) % side, (across + columns[0] - corner[0]) % side]
    values[shirt] = 0.45 * values[shirt] + 0.55 * woven[shirt]
    values[limb < len(_RIGHT)] *= _SHADE
    down, across = down + rows[0], across + columns[0]
    box = (int(across.min()), int(down.min()), int(across.max()) + 1, int(down.max()) + 1)
    return Painted(down, across, values, box)


def _squared_distance(x: NDArray[Any], y: NDArray[Any], along: NDArray[Any]) -> NDArray[Any]:
    """How far each pixel is from each of K lines, K×H×W.

    Args:
        x, y: of the pixels' columns and rows from where each line begins, K×W and K×H.
        along: from where each line begins to where it ends, K×2.
    """
    length = np.maximum((along**2).sum(-1), 1e-6)[:, None, None]
    dot = (x * along[:, :1])[:, None, :] + (y * along[:, 1:])[:, :, None]
    share = np.clip(dot / length, 0, 1)
    found: NDArray[Any] = (x**2)[:, None, :] + (y**2)[:, :, None] + share * (share * length - 2 * dot)
    return found
