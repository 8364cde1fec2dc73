"""Figures of lines over pictures: right limbs in one colour, left ones in another."""

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from tasks.colours import colour
from training.data.people.joints import BONES, JOINTS
from training.task import Drawn

SHOWN = 0.1
"""The least likelihood of a joint that is drawn."""

_SIDES = ("middle", "right", "left")
_COLOURS: Mapping[str, tuple[int, int, int]] = {side: colour(number) for number, side in enumerate(_SIDES)}


def skeleton(picture: Tensor, joints: Tensor, size: tuple[int, int]) -> Drawn:
    """The joints, and lines between them, on a picture of any size.

    Args:
        picture: 3×H×W (uint8).
        joints: 14×3: x and y in pixels of a picture of `size`, and how likely they are.
    """
    return skeletons(picture, joints[None], size)


def skeletons(picture: Tensor, people: Tensor, size: tuple[int, int]) -> Drawn:
    """The same of K people, K×14×3."""
    height, width = picture.shape[1:]
    scale = torch.tensor([width / size[1], height / size[0]])
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    lines = ImageDraw.Draw(image)
    for person in people:
        visible = (person[:, 2] >= SHOWN).tolist()
        places = [tuple(place) for place in (person[:, :2] * scale).tolist()]
        for one, other in BONES:
            if visible[one] and visible[other]:
                side = _COLOURS[_side((one, other))]
                lines.line([places[one], places[other]], fill=side, width=max(1, height // 80))
    return Drawn(torch.from_numpy(np.array(image)).permute(2, 0, 1), dict(_COLOURS))


def _side(bone: tuple[int, int]) -> str:
    """Of a bone that of the joint farther out."""
    name = JOINTS[bone[1]]
    return name.partition("-")[0] if "-" in name else "middle"
