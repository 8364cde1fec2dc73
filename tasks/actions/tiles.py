"""A person's clip as one picture: crops of eight frames and the scene, in three rows of three tiles.

```text
frame 1  frame 2  frame 3
frame 4  frame 5  frame 6
frame 7  frame 8  scene
```

All networks of this project read pictures N×3×H×W, and their costs are counted so. Frames laid out as one picture are
how an image classifier reads a video in SIFAR (arXiv:2106.14104, abstract and figure 2, which shows 3×3 frames).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.data.people.clip import Array
from training.data.people.crops import crops

ACROSS = 3
"""Tiles of a row, and of a column."""

FRAMES = ACROSS**2 - 1

BEFORE = FRAMES // 2
"""Of a clip's frames, those before the one that the action is told of; the others are that one and those after it."""


def window(place: int, length: int) -> list[int]:
    """The places of the frames around one of a video of that length; at its ends the first or the last is repeated."""
    return [min(max(other, 0), length - 1) for other in range(place - BEFORE, place - BEFORE + FRAMES)]


def tiled(pictures: Sequence[Array], around: Array, side: int, grey: Sequence[int]) -> Tensor:
    """The clip of each person as a picture, N×3×side×side (uint8), whose last tile is grey.

    Args:
        pictures: the frames, H×W×3 (uint8) each.
        around: of each person a square of the frames, N×4; it stays where it is.
        side: in pixels; where it is no multiple of 3, what is left over stays grey as well.
        grey: what is normalised to 0, of each channel.
    """
    tile = side // ACROSS
    found = torch.tensor(list(grey), dtype=torch.uint8).view(1, 3, 1, 1).repeat(len(around), 1, side, side)
    for number, picture in enumerate(pictures):
        found[_place(number, tile)] = crops(picture, around, tile)
    return found


def with_scenes(images: Tensor, scene: Tensor) -> Tensor:
    """The same pictures with a scene (3×tile×tile, see `scene_of`) in their last tiles."""
    found = images.clone()
    found[_place(FRAMES, images.shape[-1] // ACROSS)] = scene
    return found


def mirrored(images: Tensor) -> Tensor:
    """N×3×S×S with each tile mirrored in its place: time goes on as before."""
    found = images.clone()
    for number in range(ACROSS**2):
        place = _place(number, images.shape[-1] // ACROSS)
        found[place] = images[place].flip(-1)
    return found


def scene_of(picture: Array, boxes: Array, side: int) -> Tensor:
    """What of a frame is outside of the boxes, as a tile of a picture of `side` pixels: 3×tile×tile (uint8).

    Inside of them is the mean of what is outside. No label is looked at. Where boxes cover the whole frame it is grey.
    """
    whole = picture.copy()
    height, width = whole.shape[:2]
    inside = np.zeros((height, width), bool)
    for left, top, right, bottom in np.asarray(boxes, np.float64):
        rows = slice(max(0, int(top)), max(0, int(np.ceil(bottom))))
        inside[rows, max(0, int(left)) : max(0, int(np.ceil(right)))] = True
    whole[inside] = whole[~inside].mean(0).round() if not inside.all() else 128
    return crops(whole, np.array([[0, 0, width, height]]), side // ACROSS)[0]


def _place(number: int, tile: int) -> tuple[slice, slice, slice, slice]:
    """Where the tile of that number is in N×3×S×S."""
    down, across = divmod(number, ACROSS)
    rows, columns = slice(down * tile, (down + 1) * tile), slice(across * tile, (across + 1) * tile)
    return slice(None), slice(None), rows, columns
