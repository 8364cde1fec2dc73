"""The parts that networks of every family are made of: a frozen description of each, and the module it describes.

A description says everything needed to construct its module, so it can be a key: of the cost table, of the
supernet's cache of stateless modules. Every parameter of a narrower, shallower or smaller part is the leading channels,
with centred kernels, of the corresponding parameter of a larger one.

A part is one piece, or a chain of pieces with a skip, as a block is. Pieces are what costs, latencies and shared
weights are kept for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn import functional as F

from foundation.errors import InputError
from search_space import attention as attention_ops
from search_space.architecture import Attention

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}

NO_ATTENTION = Attention("none")


class Part(ABC):
    """A module of a network, from N×in_channels×H×W: a `Piece` or a `Compound`, as a frozen dataclass."""

    in_channels: int

    @property
    def skips(self) -> bool:
        """Whether its input is added to its output."""
        return False

    @abstractmethod
    def create(self) -> nn.Module:
        """The module, freshly initialised."""

    @abstractmethod
    def output_size(self, size: int) -> int:
        """The side of its output for square input of that side, in pixels."""

    @property
    @abstractmethod
    def pieces(self) -> "tuple[tuple[str, Piece], ...]":
        """Its pieces in order, each with the name of its module; what is one piece has no name."""

    def telling(self, classes: int) -> Self:
        """The same part in a network of so many classes, 0 for none: of interest to an attention with a probe."""
        return self


class Piece(Part):
    """A part that is not divided further.

    Attributes:
        label: its name in a table of latencies.
        per_pixel: whether it does the same at every pixel of its output, so that its cost is one pixel's, times them.
        takes_time: whether there is anything to measure.
    """

    per_pixel: ClassVar[bool] = False

    @property
    @abstractmethod
    def label(self) -> str: ...

    @property
    def takes_time(self) -> bool:
        return True

    def input_shape(self, size: int) -> tuple[int, ...]:
        """Of one picture, what its module is given where the map is `size`×`size` pixels."""
        return (self.in_channels, size, size)

    @property
    def pieces(self) -> "tuple[tuple[str, Piece], ...]":
        return (("", self),)

    def stored_role(self, role: str, *, own_kernels: bool) -> str:
        """Under which role shared weights keep its parameters: pieces that share them have the same.

        Args:
            role: its name in its part.
            own_kernels: whether each kernel size has weights of its own.
        """
        return role


class Compound(Part):
    """A part of several pieces."""

    @abstractmethod
    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        """The module, of whose pieces `make` makes each from its name and itself."""

    def create(self) -> nn.Module:
        return self.composed(lambda _, piece: piece.create())


@dataclass(frozen=True)
class ConvPart(Piece):
    """Convolution without bias, batch normalisation, and an activation if one is named."""

    in_channels: int
    out_channels: int
    kernel_size: int = 1
    stride: int = 1
    activation: str | None = None
    depthwise: bool = False
    dilation: int = 1

    per_pixel = True

    def __post_init__(self) -> None:
        if self.kernel_size < 1:
            raise InputError(f"kernel_size: {self.kernel_size}, but that convolution is always there")

    def create(self) -> nn.Module:
        return ConvNormActivation(self)

    def output_size(self, size: int) -> int:
        return strided(size, self.stride)

    @property
    def label(self) -> str:
        channels = f"{self.in_channels}>{self.out_channels}"
        kind, channels = ("depthwise", str(self.in_channels)) if self.depthwise else ("conv", channels)
        dilation = f" d{self.dilation}" if self.dilation > 1 else ""
        return f"{kind} {channels} k{self.kernel_size} s{self.stride}{dilation} {self.activation or 'linear'}"

    def stored_role(self, role: str, *, own_kernels: bool) -> str:
        return f"{role}.kernel{self.kernel_size}" if role and own_kernels and self.kernel_size > 1 else role


class Slot(Piece):
    """A piece that a group of parts decides (`search_space.chain`); a part has one at most."""

    @abstractmethod
    def chosen(self, option: Any) -> Piece:
        """The same place with that option."""


@dataclass(frozen=True)
class AttentionPart(Slot):
    """An attention op on `channels` channels, in a block that uses `activation`.

    Attributes:
        classes: that the network tells apart; 0 for none.
    """

    attention: Attention
    channels: int
    activation: str
    classes: int = 0

    @property
    def in_channels(self) -> int:  # type: ignore[override]
        return self.channels

    def create(self) -> nn.Module:
        return attention_ops.create(self.attention, self.channels, activation_class(self.activation), self.classes)

    def output_size(self, size: int) -> int:
        return size

    def chosen(self, option: Attention) -> Self:
        """The same place with another attention."""
        return replace(self, attention=option)

    @property
    def label(self) -> str:
        classes = f">{self.classes}" if attention_ops.takes_classes(self.attention.kind) else ""
        return f"attention {self.attention.label} {self.channels}{classes} {self.activation}"

    @property
    def takes_time(self) -> bool:
        return self.attention.kind != "none"

    def stored_role(self, role: str, *, own_kernels: bool) -> str:
        return f"{role}.{self.attention.kind}"


@dataclass(frozen=True)
class ClassifierPart(Piece):
    """The mean over the last feature map and a linear layer."""

    in_channels: int
    num_classes: int

    def create(self) -> nn.Module:
        return Classifier(self.in_channels, self.num_classes)

    def output_size(self, size: int) -> int:
        return 1

    @property
    def label(self) -> str:
        return f"classifier {self.in_channels}>{self.num_classes}"


@dataclass(frozen=True)
class MeanPart(Piece):
    """The mean over the last feature map."""

    in_channels: int

    def create(self) -> nn.Module:
        return Mean()

    def output_size(self, size: int) -> int:
        return 1

    @property
    def label(self) -> str:
        return f"mean {self.in_channels}"


@dataclass(frozen=True)
class PooledPart(Piece):
    """The mean over the last map and a layer on it, before a classifier: N×in_channels×H×W to N×out_channels×1×1.

    With `norm` a layer without biases, and batch normalisation.
    """

    in_channels: int
    out_channels: int
    activation: str
    norm: bool = False

    def create(self) -> nn.Module:
        return Pooled(self)

    def output_size(self, size: int) -> int:
        return 1

    @property
    def label(self) -> str:
        norm = " norm" if self.norm else ""
        return f"pooled {self.in_channels}>{self.out_channels}{norm} {self.activation}"


@dataclass(frozen=True)
class Addition(Piece):
    """The addition of a skip, on maps of `in_channels` channels."""

    in_channels: int

    def create(self) -> nn.Module:
        return _Sum()

    def output_size(self, size: int) -> int:
        return size

    @property
    def label(self) -> str:
        return f"add {self.in_channels}"


class _Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x


def strided(size: int, stride: int) -> int:
    """Side of the map after a convolution with `kernel_size // 2` padding, in pixels."""
    return (size - 1) // stride + 1


def activation_class(name: str) -> type[nn.Module]:
    """The activation's module class. Raises InputError for an unknown name."""
    if name not in ACTIVATIONS:
        raise InputError(f"activation {name!r} is unknown; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class ConvNormActivation(nn.Sequential):
    """Convolution without bias, batch normalisation, and an activation if one is named."""

    def __init__(self, part: ConvPart):
        super().__init__()
        groups = part.in_channels if part.depthwise else 1
        self.conv = nn.Conv2d(
            part.in_channels,
            part.out_channels,
            part.kernel_size,
            part.stride,
            padding=part.dilation * (part.kernel_size // 2),
            dilation=part.dilation,
            groups=groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(part.out_channels)
        if part.activation is not None:
            self.activation = activation_class(part.activation)(inplace=True)


class Pooled(nn.Module):
    """The mean over a map, a 1×1 convolution, perhaps batch normalisation, and an activation."""

    def __init__(self, part: PooledPart):
        super().__init__()
        self.conv = nn.Conv2d(part.in_channels, part.out_channels, 1, bias=not part.norm)
        self.norm = nn.BatchNorm2d(part.out_channels) if part.norm else nn.Identity()
        self.activation = activation_class(part.activation)(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.conv(x.mean((2, 3), keepdim=True))))
        return out


class Mean(nn.Module):
    """The mean over a map: N×C×H×W to N×C."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Classifier(nn.Linear):
    """The mean over a map and a linear layer: N×C×H×W to N×num_classes."""

    def features(self, x: Tensor) -> Tensor:
        """N×C×H×W to the N×C that logits are made of."""
        return x.mean((2, 3))

    def logits(self, features: Tensor) -> Tensor:
        """N×C to N×num_classes."""
        return F.linear(features, self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.features(x))
