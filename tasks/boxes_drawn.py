"""Boxes over a frame, each with a word if there is one to say."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from training.data.people.clip import Array

Colour = tuple[int, int, int]

PLAIN: Colour = (255, 255, 255)


def boxes_drawn(picture: Tensor, boxes: Array, words: Sequence[str], colours: Sequence[Colour]) -> Tensor:
    """A frame, 3×H×W (uint8), with N boxes (left, top, right, bottom in its pixels) and words in their corners."""
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    draw = ImageDraw.Draw(image)
    for box, word, colour in zip(boxes.tolist(), words, colours, strict=True):
        draw.rectangle(box, outline=colour, width=2)
        draw.text((box[0] + 3, box[1] + 1), word, fill=colour, stroke_width=1, stroke_fill="black")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
