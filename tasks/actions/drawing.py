"""Frames with what is said of the people in them."""

from collections.abc import Sequence

from torch import Tensor

from tasks.boxes_drawn import PLAIN, Colour, boxes_drawn
from training.data.people.clip import People

RIGHT, WRONG = (90, 220, 110), (255, 90, 70)

FILMED_AS = (
    "Five frames of a test clip: above with what people do, below with what the network says that each does, green "
    "where that is right and red where it is not, and how likely it finds it."
)


def actions_drawn(picture: Tensor, people: People, logits: Tensor | None, classes: Sequence[str]) -> Tensor:
    """A frame, 3×H×W (uint8), with a box around everybody and an action: the likeliest, or for None the true one."""
    if logits is None:
        return boxes_drawn(picture, people.boxes, people.actions, [PLAIN] * len(people))
    shares, best = logits.softmax(1).max(1)
    said = [classes[label] for label in best.tolist()]
    words = [f"{action} {100 * share:.0f} %" for action, share in zip(said, shares.tolist(), strict=True)]
    colours: list[Colour] = [RIGHT if one == true else WRONG for one, true in zip(said, people.actions, strict=True)]
    return boxes_drawn(picture, people.boxes, words, colours)
