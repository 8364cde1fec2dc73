"""Heads that give every pixel of a map its classes: the plainest one, and the last layer of all."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from torch import nn

from search_space.fields import check_integer
from search_space.head import HEADS, MAX_CLASSES, Head
from search_space.parts import Compound, ConvPart, Part, Piece

MAX_WIDTH = 8192


@dataclass(frozen=True)
class DenseHead(Head):
    """A head with logits of each class for every pixel of the last stage's map.

    Attributes:
        width: its channels.

    Raises InputError for a number of classes or channels out of range.
    """

    num_classes: int
    width: int = 64

    follows_stages = True
    name: ClassVar[str]

    def __post_init__(self) -> None:
        check_integer("num_classes", self.num_classes, 1, MAX_CLASSES)
        check_integer("width", self.width, 1, MAX_WIDTH)

    def fitted(self, stride: int, side: int) -> Self:
        """The head for maps of a stride and a side in pixels."""
        return self

    @property
    def told(self) -> str:
        """Name, channels and classes."""
        return f"{self.name} head of {self.width} channels, {self.num_classes} classes a pixel"

    def to_dict(self) -> dict[str, Any]:
        """Its name and fields."""
        fields = vars(self).items()
        return {"head": self.name, **{name: list(kept) if isinstance(kept, tuple) else kept for name, kept in fields}}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The head of these fields, lists for tuples."""
        fields: dict[str, Any] = {name: tuple(kept) if isinstance(kept, list) else kept for name, kept in data.items()}
        return cls(**fields)


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
class ConvHead(DenseHead):
    """A 3×3 convolution and a 1×1 convolution: the plainest head of segmentation."""

    name = "conv"

    def part(self, channels: int) -> Part:
        """See `ConvHeadPart`."""
        return ConvHeadPart(channels, self.width, self.num_classes)
