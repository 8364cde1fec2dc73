"""What an attack may do to a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """At most `epsilon` up or down for each value of a picture, which stays between black and white.

    Attacks are given normalised images, as networks are. So the box is in these units, of each channel its own, and the
    normalisation is within it: no attacked picture has a value that a picture could not have.

    Attributes:
        lower, upper: black and white, 1×C×1×1.
        epsilon: the most that a value may change, 1×C×1×1.
        grey: whether the pictures have one channel, which the network is shown three times: all are changed alike.
    """

    lower: Tensor
    upper: Tensor
    epsilon: Tensor
    grey: bool = False

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float], epsilon: float) -> Self:
        """For pictures that are normalised so.

        Args:
            mean, std: of each channel, in 0 to 1; of grey pictures of one.
            epsilon: of a value from 0 to 1.
        """
        middle, spread = (torch.tensor(list(values)).view(1, -1, 1, 1) for values in (mean, std))
        return cls(-middle / spread, (1 - middle) / spread, epsilon / spread, len(mean) == 1)

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return type(self)(self.lower.to(device), self.upper.to(device), self.epsilon.to(device), self.grey)

    def inside(self, images: Tensor, around: Tensor) -> Tensor:
        """The images, N×C×H×W, brought back to what may be made of the pictures `around`."""
        images = torch.minimum(torch.maximum(images, around - self.epsilon), around + self.epsilon)
        return torch.minimum(torch.maximum(images, self.lower), self.upper)

    def tied(self, change: Tensor) -> Tensor:
        """A change to the images, or a gradient by them: of grey pictures the channels' mean, in each."""
        return change.mean(1, keepdim=True).expand_as(change) if self.grey else change
