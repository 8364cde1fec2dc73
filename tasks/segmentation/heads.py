"""Heads that give every pixel of a map its classes."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from torch import nn

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.head import HEADS, MAX_CLASSES, Head
from search_space.parts import Compound, ConvPart, Part, Piece

MAX_WIDTH = 8192


@dataclass(frozen=True)
class LogitsPart(Piece):
    """A 1×1 convolution with bias to the logits of each class: N×C×H×W to N×classes×H×W."""

    in_channels: int
    num_classes: int

    per_pixel = True

    def create(self) -> nn.Module:
        return nn.Conv2d(self.in_channels, self.num_classes, 1)

    def output_size(self, size: int) -> int:
        return size

    @property
    def label(self) -> str:
        return f"logits {self.in_channels}>{self.num_classes}"


@dataclass(frozen=True)
class ConvHeadPart(Compound):
    """A 3×3 convolution, and the logits."""

    in_channels: int
    width: int
    num_classes: int

    @cached_property
    def pieces(self) -> tuple[tuple[str, Piece], ...]:
        """The convolution and the logits."""
        return (
            ("conv", ConvPart(self.in_channels, self.width, 3, activation="relu")),
            ("logits", LogitsPart(self.width, self.num_classes)),
        )

    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        return nn.Sequential(OrderedDict((name, make(name, piece)) for name, piece in self.pieces))

    def output_size(self, size: int) -> int:
        return size


@HEADS.register("conv")
@dataclass(frozen=True)
class ConvHead(Head):
    """A 3×3 convolution and a 1×1 convolution on the last map: the plainest head of segmentation.

    Raises InputError for a number of classes or channels out of range.
    """

    num_classes: int
    width: int = 64

    def __post_init__(self) -> None:
        for name, most in (("num_classes", MAX_CLASSES), ("width", MAX_WIDTH)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise InputError(f"{name}: expected an integer from 1 to {most}, got {shown(value)}")

    def part(self, channels: int) -> Part:
        """See `ConvHeadPart`."""
        return ConvHeadPart(channels, self.width, self.num_classes)

    @property
    def told(self) -> str:
        """Kind and classes."""
        return f"conv head, {self.num_classes} classes a pixel"

    def to_dict(self) -> dict[str, Any]:
        """Channels and classes."""
        return {"head": "conv", "num_classes": self.num_classes, "width": self.width}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The head of so many classes."""
        return cls(**data)
