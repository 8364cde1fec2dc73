"""SSDLite (arXiv:1801.04381, section 6.2), as torchvision has it: classes and boxes from the backbone's last maps.

Of six maps, or fewer where pictures are small: the last one of twice the final resolution, the backbone's last, and
extra ones, each half as large as the one before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from search_space.fields import check_integer
from search_space.head import HEADS, MAX_CLASSES, Head
from search_space.parts import Compound, Part, Piece, strided
from tasks.detection.default_boxes import PER_PIXEL, default_boxes

SHARES = (1.0, 0.5, 0.5, 0.25)
"""Of the head's channels, that each extra map has: 512, 256, 256, 128."""

Read = Mapping[str, Tensor]
"""Of a map, `classes` N×A×(K+1) and `boxes` N×A×4, and the map itself."""


@dataclass(frozen=True)
class PredictorPart(Piece):
    """From a map N×C×H×W the classes and boxes at each of its pixels: a depthwise 3×3 and a 1×1 convolution for each.

    With the background, which is class 0, there are `outputs` classes.
    """

    in_channels: int
    outputs: int

    def create(self) -> nn.Module:
        return Predictor(self.in_channels, self.outputs)

    def output_size(self, size: int) -> int:
        return size

    @property
    def label(self) -> str:
        return f"ssdlite predictor {self.in_channels}>{self.outputs}"


@dataclass(frozen=True)
class ExtraPart(Piece):
    """A map of half the size: 1×1 to half the channels, depthwise 3×3 with stride 2, and 1×1."""

    in_channels: int
    out_channels: int

    def create(self) -> nn.Module:
        inner = self.out_channels // 2
        return nn.Sequential(
            _convolution(self.in_channels, inner, kernel_size=1),
            _convolution(inner, inner, kernel_size=3, stride=2, groups=inner),
            _convolution(inner, self.out_channels, kernel_size=1),
        )

    def output_size(self, size: int) -> int:
        return strided(size, 2)

    @property
    def label(self) -> str:
        return f"ssdlite extra {self.in_channels}>{self.out_channels}"


@dataclass(frozen=True)
class SSDLitePart(Compound):
    """Predictors on the last map and on extra ones after it."""

    in_channels: int
    outputs: int
    extras: tuple[int, ...]

    @cached_property
    def pieces(self) -> tuple[tuple[str, Piece], ...]:
        """A predictor, then an extra map and its predictor in turn."""
        found: list[tuple[str, Piece]] = [("predictor0", PredictorPart(self.in_channels, self.outputs))]
        channels = self.in_channels
        for number, width in enumerate(self.extras, 1):
            found.append((f"extra{number}", ExtraPart(channels, width)))
            found.append((f"predictor{number}", PredictorPart(width, self.outputs)))
            channels = width
        return tuple(found)

    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        return SSDLite({name: make(name, piece) for name, piece in self.pieces})

    def output_size(self, size: int) -> int:
        for _, piece in self.pieces:
            size = piece.output_size(size)
        return size


class Predictor(nn.Module):
    """See `PredictorPart`."""

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        self.outputs = outputs
        self.classes, self.boxes = (
            nn.Sequential(
                _convolution(channels, channels, kernel_size=3, groups=channels),
                nn.Conv2d(channels, PER_PIXEL * count, 1),
            )
            for count in (outputs, 4)
        )

    def forward(self, x: Tensor) -> Read:
        classes, boxes = self.classes(x), self.boxes(x)
        return {"classes": _rows(classes, self.outputs), "boxes": _rows(boxes, 4), "map": x}


class SSDLite(nn.ModuleDict):
    """See `SSDLitePart`."""

    def forward(self, x: Tensor, finer: Sequence[Read]) -> dict[str, Tensor]:
        """The last map, and what is read of finer ones, to `classes` N×A×(K+1), `boxes` N×A×4, `defaults` N×A×4.

        Classes are logits, the background's first; boxes say how the default boxes are moved, see
        `tasks.detection.default_boxes`.
        """
        read = list(finer)
        for name, module in self.items():
            if name.startswith("extra"):
                x = module(x)
            else:
                read.append(module(x))
        defaults = default_boxes([one["map"] for one in read])
        return {
            "classes": torch.cat([one["classes"] for one in read], 1),
            "boxes": torch.cat([one["boxes"] for one in read], 1),
            "defaults": defaults.expand(x.shape[0], -1, -1),
        }


@HEADS.register("ssdlite")
@dataclass(frozen=True)
class SSDLiteHead(Head):
    """SSDLite on the backbone's last map, extra ones after it, and one of twice the last one's resolution.

    Attributes:
        finer: stride of that finer map, in pixels of the picture to one of its own.
        width: channels of the first extra map; the others have half, half and a quarter.
        extras: how many extra maps there are.

    Raises InputError for a number out of range.
    """

    num_classes: int
    finer: int
    width: int = 512
    extras: int = len(SHARES)

    std = 0.03  # torchvision's

    def __post_init__(self) -> None:
        check_integer("num_classes", self.num_classes, 1, MAX_CLASSES)
        check_integer("finer", self.finer, 1, 4096)
        check_integer("width", self.width, 8, 8192)
        check_integer("extras", self.extras, 0, len(SHARES))

    @classmethod
    def after(cls, num_classes: int, width: int | None, strides: Sequence[int], side: int) -> Self:
        """The head for a backbone's maps of these strides, on pictures of that side.

        As many extra maps as it takes until there is one of a single pixel, at most four.

        Args:
            width: None for the usual one.

        Raises InputError for maps that it cannot use.
        """
        if len(strides) < 2 or 2 * strides[-2] != strides[-1]:
            told = ", ".join(map(str, strides))
            raise InputError(
                f"`head` ssdlite: needs a map of half the stride of the last one, but the network's strides are "
                f"{told}; use another `space`, or another `output_stride`"
            )
        last = -(-side // strides[-1])
        if last < 2:
            raise InputError(
                f"`head` ssdlite: of pictures of {side} pixels the last map, of stride {strides[-1]}, is a single "
                "pixel; use larger pictures, or an `output_stride`"
            )
        extras = 0
        while last > 1 and extras < len(SHARES):
            last, extras = strided(last, 2), extras + 1
        return cls(num_classes, strides[-2], 512 if width is None else width, extras)

    @property
    def taps(self) -> Mapping[int, Callable[[int], Part]]:
        """A predictor on the finer map, see `PredictorPart`."""
        return {self.finer: lambda channels: PredictorPart(channels, self.num_classes + 1)}

    def part(self, channels: int) -> Part:
        """See `SSDLitePart`."""
        widths = tuple(max(16, int(self.width * share)) for share in SHARES[: self.extras])
        return SSDLitePart(channels, self.num_classes + 1, widths)

    @property
    def told(self) -> str:
        """Maps and classes."""
        return f"ssdlite head on {2 + self.extras} maps, {self.num_classes} classes"

    def to_dict(self) -> dict[str, Any]:
        """Its name and fields."""
        return {"head": "ssdlite", **vars(self)}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The head of these fields."""
        return cls(**data)


def _convolution(in_channels: int, out_channels: int, **options: int) -> nn.Module:
    """A convolution with torchvision's norm for SSDLite, and ReLU6."""
    from torchvision.ops import Conv2dNormActivation  # takes a second to import

    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    made: nn.Module = Conv2dNormActivation(
        in_channels, out_channels, norm_layer=norm, activation_layer=nn.ReLU6, **options
    )
    return made


def _rows(x: Tensor, count: int) -> Tensor:
    """N×(B·count)×H×W to N×(H·W·B)×count: pixel after pixel, box after box."""
    return x.unflatten(1, (-1, count)).permute(0, 3, 4, 1, 2).flatten(1, 3)
