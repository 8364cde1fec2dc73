"""DeepLabV3's head (arXiv:1706.05587, section 3.3): the map as dilated convolutions of several rates see it."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from torch import nn

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.head import HEADS
from search_space.parts import Compound, ConvPart, Part, Piece
from tasks.segmentation.heads import DenseHead, LogitsPart

RATES = (6, 12, 18)
"""For a map of stride 16; twice that for one of stride 8 (section 4.2)."""

PAPERS_SIDE = 33
"""Of the paper's map of stride 16, in pixels: pictures are of 513."""


@dataclass(frozen=True)
class PyramidPart(Piece):
    """Atrous spatial pyramid pooling, N×C×H×W to N×width×H×W: one 1×1 and three dilated 3×3 convolutions and the mean.

    It is torchvision's, without the dropout: its draws would depend on which half of a batch comes first.
    """

    in_channels: int
    width: int
    rates: tuple[int, ...]

    def create(self) -> nn.Module:
        from torchvision.models.segmentation.deeplabv3 import ASPP  # takes a second to import

        pyramid = ASPP(self.in_channels, list(self.rates), self.width)
        del pyramid.project[-1]
        return pyramid

    def output_size(self, size: int) -> int:
        return size

    @property
    def label(self) -> str:
        return f"pyramid {self.in_channels}>{self.width} rates {'+'.join(map(str, self.rates))}"


@dataclass(frozen=True)
class DeepLabV3Part(Compound):
    """The pyramid, a 3×3 convolution, and the logits."""

    in_channels: int
    width: int
    num_classes: int
    rates: tuple[int, ...]

    @cached_property
    def pieces(self) -> tuple[tuple[str, Piece], ...]:
        """Pyramid, convolution, logits."""
        return (
            ("pyramid", PyramidPart(self.in_channels, self.width, self.rates)),
            ("conv", ConvPart(self.width, self.width, 3, activation="relu")),
            ("logits", LogitsPart(self.width, self.num_classes)),
        )

    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        return nn.Sequential(OrderedDict((name, make(name, piece)) for name, piece in self.pieces))

    def output_size(self, size: int) -> int:
        return size


@HEADS.register("deeplabv3")
@dataclass(frozen=True)
class DeepLabV3Head(DenseHead):
    """DeepLabV3's head; with 256 channels as torchvision has it, whose weights fit.

    Attributes:
        rates: dilations of its three 3×3 convolutions.
    """

    width: int = 256
    rates: tuple[int, ...] = RATES

    name = "deeplabv3"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.rates, tuple) and len(self.rates) == len(RATES)
        if not whole or any(type(rate) is not int or not 1 <= rate <= 1024 for rate in self.rates):
            raise InputError(f"rates: expected {len(RATES)} integers from 1 to 1024, got {shown(self.rates)}")

    def fitted(self, stride: int, side: int) -> Self:
        """The head with the rates for maps of a stride and a side in pixels, see `rates_for`."""
        return replace(self, rates=rates_for(stride, side))

    def part(self, channels: int) -> Part:
        """See `DeepLabV3Part`."""
        return DeepLabV3Part(channels, self.width, self.num_classes, self.rates)


def rates_for(stride: int, side: int) -> tuple[int, ...]:
    """The paper's rates for a map of that stride: 6, 12, 18 at 16, and in proportion.

    From a rate as large as the map's side on, only the centre of a kernel is on the map. So where the largest is, all
    are the share of the side that they are in the paper.
    """
    rates = [max(1, round(rate * 16 / stride)) for rate in RATES]
    if rates[-1] >= side:
        rates = [max(1, rate * side // PAPERS_SIDE) for rate in RATES]
    return tuple(rates)
