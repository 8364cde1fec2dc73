"""The parts that a network is made of: a frozen description of each, and the module it describes.

A description says everything needed to construct its module, so it can be a key: of the cost table, of the
supernet's cache of stateless modules. A block has one leading dimension rule: every parameter of a narrower, shallower
or smaller block is the leading channels, with centred kernels, of the corresponding parameter of a larger one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from search_space import attention as attention_ops
from search_space.architecture import Attention
from search_space.errors import InputError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}


@dataclass(frozen=True)
class ConvPart:
    """Convolution, batch normalisation, activation: a network's stem and head."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    activation: str

    def create(self) -> nn.Module:
        return ConvNormActivation(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            activation=activation_class(self.activation),
        )

    def output_size(self, size: int) -> int:
        return strided(size, self.stride)


@dataclass(frozen=True)
class BlockPart:
    """One block of a stage."""

    block: str
    in_channels: int
    out_channels: int
    stride: int
    expansion: int
    kernel_size: int
    activation: str
    attention: Attention

    def create(self) -> nn.Module:
        return block_class(self.block)(self)

    @property
    def attention_channels(self) -> int:
        """Channels that the block's attention sees."""
        return block_class(self.block).attention_channels(self)

    def output_size(self, size: int) -> int:
        return strided(size, self.stride)


@dataclass(frozen=True)
class LinearPart:
    """The classifier, on the mean over the last feature map."""

    in_features: int
    num_classes: int

    def create(self) -> nn.Module:
        return nn.Linear(self.in_features, self.num_classes)

    def output_size(self, size: int) -> int:
        return 1


Part = ConvPart | BlockPart | LinearPart


def strided(size: int, stride: int) -> int:
    """Side of the map after a convolution with `kernel_size // 2` padding, in pixels."""
    return (size - 1) // stride + 1


def activation_class(name: str) -> type[nn.Module]:
    """The activation's module class. Raises InputError for an unknown name."""
    if name not in ACTIVATIONS:
        raise InputError(f"activation {name!r} is unknown; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class Block(nn.Module):
    """Base of the blocks of a stage: constructed from its part, N×in×H×W to N×out×H'×W'."""

    def __init__(self, part: BlockPart):
        super().__init__()

    @staticmethod
    def attention_channels(part: BlockPart) -> int:
        """Channels that the block's attention sees."""
        raise NotImplementedError  # abstract: torch's Module and ABC do not mix without a metaclass


_Block = TypeVar("_Block", bound=type[Block])
_BLOCKS: dict[str, type[Block]] = {}


def register_block(name: str) -> Callable[[_Block], _Block]:
    """Class decorator that makes a block known as `name`; it is constructed from its BlockPart."""

    def add(block: _Block) -> _Block:
        if name in _BLOCKS:
            raise ValueError(f"block {name!r} is registered already")
        _BLOCKS[name] = block
        return block

    return add


def block_class(name: str) -> type[Block]:
    """The block's class. Raises InputError for an unknown name."""
    if name not in _BLOCKS:
        raise InputError(f"block {name!r} is unknown; known: {', '.join(_BLOCKS)}")
    return _BLOCKS[name]


def blocks() -> tuple[str, ...]:
    """The registered blocks, in order of registration."""
    return tuple(_BLOCKS)


class ConvNormActivation(nn.Sequential):
    """Convolution without bias, batch normalisation, and an activation if one is given."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = None,
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        if activation is not None:
            self.activation = activation(inplace=True)


@register_block("inverted_residual")
class InvertedResidual(Block):
    """MobileNetV2's block (arXiv:1801.04381, section 3.3) with attention on the expanded channels.

    Expand 1×1, depthwise k×k with the stride, attention, project 1×1; a skip where input and output agree in shape.
    The attention stands after the depthwise activation, as the CA authors place it. Without expansion the first
    convolution is absent.
    """

    def __init__(self, part: BlockPart):
        super().__init__(part)
        activation = activation_class(part.activation)
        hidden = part.in_channels * part.expansion
        self.expand = (
            ConvNormActivation(part.in_channels, hidden, activation=activation) if part.expansion > 1 else nn.Identity()
        )
        self.depthwise = ConvNormActivation(hidden, hidden, part.kernel_size, part.stride, hidden, activation)
        self.attention = attention_ops.create(part.attention, hidden, activation)
        self.project = ConvNormActivation(hidden, part.out_channels)
        self.skip = part.stride == 1 and part.in_channels == part.out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.attention(self.depthwise(self.expand(x))))
        return x + out if self.skip else out

    @staticmethod
    def attention_channels(part: BlockPart) -> int:
        return part.in_channels * part.expansion
