"""Frames around things in pictures: each class in a colour of its own."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from tasks.colours import colour
from training.task import Drawn

SHOWN = 0.3
"""The least score of a thing that is drawn."""


def framed(picture: Tensor, things: Mapping[str, Tensor], size: tuple[int, int], classes: Sequence[str]) -> Drawn:
    """The things that are more than guesses, on a picture of any size, each with its class; the first lie on top.

    Args:
        picture: 3×H×W (uint8).
        things: `boxes` K×4 in pixels of a picture of `size`, `labels` K, and `scores` K where they are not certain.
    """
    from torchvision.utils import draw_bounding_boxes  # takes a second to import

    shown = things["scores"] >= SHOWN if "scores" in things else things["labels"] >= 0
    labels = things["labels"][shown].flip(0).tolist()
    height, width = picture.shape[1:]
    scale = things["boxes"].new_tensor([width / size[1], height / size[0]] * 2)
    colours = {classes[label]: colour(label) for label in sorted(set(labels))}
    if not labels:
        return Drawn(picture, colours)
    drawn = draw_bounding_boxes(
        picture,
        things["boxes"][shown].flip(0) * scale,
        [classes[label] for label in labels],
        [colours[classes[label]] for label in labels],
        width=max(2, max(height, width) // 200),
    )
    return Drawn(drawn, colours)
