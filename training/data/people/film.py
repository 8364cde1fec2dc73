"""A few frames of a test video with what a network is given of each person in them: to be shown in a report."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.data.held import HeldSplit
from training.data.people.clip import Array, People
from training.data.pictures import Pictures

SHOWN = 5  # frames, the same distance apart


class Film(NamedTuple):
    """T frames in order.

    Attributes:
        pictures: H×W×3 (uint8) each.
        people: who is in each frame, K of them.
        inputs: of each frame K×3×S×S (uint8), what a network is given of each of them.
    """

    pictures: Sequence[Array]
    people: Sequence[People]
    inputs: Sequence[Tensor]


class FilmedSplit(HeldSplit):
    """Pictures that are held, and a film.

    Args:
        film: makes it.
    """

    def __init__(
        self,
        pictures: Pictures,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        film: Callable[[], Film],
    ):
        super().__init__(pictures, mean, std, device)
        self.film = film

    def as_given(self, images: Tensor) -> Tensor:
        """N×3×S×S pictures (uint8) as a network has them, on the device."""
        return self._normalised(images.to(self.device))


def evenly(length: int) -> list[int]:
    """The places of a few frames of so many, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, length - 1, SHOWN)})
