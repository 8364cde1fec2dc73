"""Labelled pictures: in memory, or where they lie."""

from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor


class Pictures(NamedTuple):
    """Images N×C×H×W (uint8, C of 1 or 3) and labels N (int64).

    `sources` (N, int64) says which pictures are made from the same original, where several are: such pictures are not
    independent, and an interval has to be drawn over originals.
    """

    images: Tensor
    labels: Tensor
    sources: Tensor | None = None


class Listed(NamedTuple):
    """Files N, and their labels N (int64)."""

    paths: list[str]
    labels: Tensor

    def of(self, chosen: Tensor) -> "Listed":
        """Some of them, by number (int64)."""
        return Listed([self.paths[number] for number in chosen.tolist()], self.labels[chosen])


def eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of 16 bits a pixel by its upper eight; Pillow would cut all above 255 off. Others as they are."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.int64)
    return Image.fromarray((values.clip(0, 65_535) >> 8).astype(np.uint8))
