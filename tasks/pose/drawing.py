"""Figures of lines over pictures: right limbs in one colour, left ones in another."""

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from tasks.boxes_drawn import PLAIN, boxes_drawn
from tasks.colours import colour
from training.data.people.clip import People
from training.data.people.crops import back, squares
from training.data.people.joints import ABSENT, BONES, JOINTS
from training.task import Drawn

SHOWN = 0.1
"""The least likelihood of a joint that is drawn."""

FILMED_AS = (
    "Five frames of a test clip: above with the true joints, below with those that the network finds in each box. "
    "Right limbs have another colour than left ones."
)

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


def poses_drawn(picture: Tensor, people: People, answers: Tensor | None, resolution: int) -> Tensor:
    """A frame, 3×H×W (uint8), with a box around everybody and the joints that were found, or for None the true ones.

    Args:
        answers: K×14×3 in pixels of crops of `resolution` pixels.
    """
    if answers is None:
        joints, likely = people.joints, people.flags != ABSENT
    else:
        joints = back(answers[..., :2].numpy(), squares(people.boxes), resolution)
        likely = answers[..., 2].numpy()
    own = torch.from_numpy(np.concatenate([joints, likely[..., None]], -1)).float()
    boxed = boxes_drawn(picture, people.boxes, [""] * len(people), [PLAIN] * len(people))
    return skeletons(boxed, own, (picture.shape[1], picture.shape[2])).picture


def _side(bone: tuple[int, int]) -> str:
    """Of a bone that of the joint farther out."""
    name = JOINTS[bone[1]]
    return name.partition("-")[0] if "-" in name else "middle"
