"""The blocks of stages of inverted residuals and their kin: chains of convolutions and one attention.

There is a skip where input and output agree in shape. A new block is one function and one line:

    @register_block("plain")
    def plain(part: BlockPart) -> Pieces:
        yield "conv", ConvPart(part.in_channels, part.out_channels, part.kernel_size, part.stride, part.activation)
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Self

from torch import Tensor, nn

from foundation.errors import InputError
from foundation.registry import Registry
from search_space.architecture import Attention
from search_space.families.mobile.architecture import Stage
from search_space.families.mobile.spread import PLAIN, Spread
from search_space.parts import NO_ATTENTION, AttentionPart, Compound, ConvPart, Piece, strided
from search_space.rounding import divisible

Pieces = Iterator[tuple[str, Piece]]

EXPAND, START = "expand", "start"
"""The 1×1 convolution that gives a block its inner channels, and a depthwise one before it."""


@dataclass(frozen=True)
class BlockPart(Compound):
    """One block of a stage."""

    block: str
    in_channels: int
    out_channels: int
    stride: int
    expansion: int | float
    kernel_size: int
    activation: str
    attention: Attention
    spread: Spread = PLAIN
    start_kernel_size: int = 0
    classes: int = 0

    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        return Block(self, make)

    @cached_property
    def pieces(self) -> tuple[tuple[str, Piece], ...]:
        """The block's pieces in order, each with the name of its module.

        Raises InputError for an unknown block, or kernels that it cannot have.
        """
        pieces = tuple(_spread(BLOCKS.get(self.block)(self), self.spread))
        if self.start_kernel_size and START not in dict(pieces):
            raise InputError(f"start_kernel_size: block {self.block!r} has no depthwise convolution at its start")
        return pieces

    @property
    def skips(self) -> bool:
        """Whether the block's input is added to its output."""
        if self.stride != 1 or self.in_channels != self.out_channels:
            return False
        return BLOCKS.get(self.block) not in _WITHOUT_SKIP

    @property
    def hidden_channels(self) -> int:
        """The input's channels times the expansion, to a multiple of 8 where that is no integer."""
        hidden = self.in_channels * self.expansion
        return hidden if isinstance(hidden, int) else divisible(hidden)

    @property
    def attention_channels(self) -> int | None:
        """Channels that the block's attention sees; None where the block has no place for one."""
        return next((piece.channels for _, piece in self.pieces if isinstance(piece, AttentionPart)), None)

    @property
    def expanded_channels(self) -> int:
        """Channels of the map after the block's expansion, if that is as large as its input; else of the input."""
        expansion = self.expansion_before_stride
        return self.in_channels if expansion is None else expansion.out_channels

    @property
    def expansion_before_stride(self) -> ConvPart | None:
        """The expansion, if it is there and its map as large as the input."""
        for name, piece in self.pieces:
            if isinstance(piece, ConvPart) and piece.stride > 1:
                return None
            if isinstance(piece, ConvPart) and name == EXPAND:
                return piece
        return None

    def telling(self, classes: int) -> Self:
        return replace(self, classes=classes)

    def output_size(self, size: int) -> int:
        return size if self.spread.unstrided else strided(size, self.stride)


@lru_cache(maxsize=1 << 12)
def stage_blocks(stage: Stage, in_width: int, activation: str, spread: Spread = PLAIN) -> tuple[BlockPart, ...]:
    """The blocks of a stage after `in_width` channels; kept, with their pieces, since whoever draws asks again."""
    found = []
    for j, attention in enumerate(stage.attention):
        stride = stage.stride if j == 0 else 1
        found.append(
            BlockPart(
                stage.block,
                in_width,
                stage.width,
                stride,
                stage.expansion,
                stage.kernel_size,
                activation if stage.activation is None else stage.activation,
                attention,
                spread,
                stage.start_kernel_size,
            )
        )
        in_width = stage.width
        if spread.unstrided:
            spread = Spread(spread.dilation * stride)
    return tuple(found)


def _spread(pieces: Pieces, spread: Spread) -> Pieces:
    """A block's pieces with their kernels dilated, and without their stride where that is left out."""
    if spread == PLAIN:
        yield from pieces
        return
    dilation = spread.dilation
    for name, piece in pieces:
        if not isinstance(piece, ConvPart):
            yield name, piece
            continue
        stride = 1 if spread.unstrided else piece.stride
        yield name, replace(piece, stride=stride, dilation=dilation if piece.kernel_size > 1 else 1)
        # The kernels after a stride see every other pixel of what it would have left.
        dilation *= piece.stride // stride


def attend(
    stages: Sequence[Stage], first_width: int, activation: str, attention: Callable[[int, Stage], Attention]
) -> tuple[Stage, ...]:
    """The stages with the attention for each (its number, the stage) in every block that has a place for one.

    Args:
        first_width: channels that the first stage sees.
    """
    placed = []
    in_width = first_width
    for index, stage in enumerate(stages):
        wanted = attention(index, stage)
        blocks = stage_blocks(stage, in_width, activation)
        own = (NO_ATTENTION if block.attention_channels is None else wanted for block in blocks)
        placed.append(replace(stage, attention=tuple(own)))
        in_width = stage.width
    return tuple(placed)


@lru_cache(maxsize=1 << 16)
def block_structure(part: BlockPart) -> tuple[object, ...]:
    """What tells a block apart from another, its attention aside: blocks of equal structure are the same network."""
    pieces = replace(part, attention=NO_ATTENTION).pieces
    return (part.skips, *pieces)


class Block(nn.Module):
    """A block of a stage, N×in×H×W to N×out×H'×W': its pieces one after the other, and a skip.

    Args:
        create: makes the module of a named piece.
    """

    def __init__(self, part: BlockPart, create: Callable[[str, Piece], nn.Module]):
        super().__init__()
        for name, piece in part.pieces:
            self.add_module(name, create(name, piece))
        if part.attention != NO_ATTENTION and part.attention_channels is None:
            raise InputError(
                f"attention: block {part.block!r} from {part.in_channels} to {part.out_channels} channels at stride "
                f"{part.stride} has no place for {part.attention.label}; it must be none"
            )
        self.skip = part.skips
        self.opens = part.expansion_before_stride is not None

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for piece in self.children():
            out = piece(out)
        return x + out if self.skip else out

    def opened(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The map after the expansion, or the input where that is the last map as large, and the block's output."""
        expanded = out = x
        for name, piece in self.named_children():
            out = piece(out)
            if name == EXPAND and self.opens:
                expanded = out
        return expanded, x + out if self.skip else out


Definition = Callable[[BlockPart], Pieces]
BLOCKS: Registry[Definition] = Registry("block")

register_block = BLOCKS.register
"""Decorator that makes a function from a BlockPart to its pieces known as a block by a name."""


def blocks() -> tuple[str, ...]:
    """The registered blocks, in order of registration."""
    return BLOCKS.names()


@register_block("inverted_residual")
def inverted_residual(part: BlockPart) -> Pieces:
    """MobileNetV2's block (arXiv:1801.04381, section 3.3) with attention on the expanded channels.

    Expand 1×1, depthwise k×k with the stride, attention, project 1×1. The attention stands after the depthwise
    activation, as the CA authors place it, and as EfficientNet places its SE. Without expansion the first convolution
    is absent.
    """
    hidden = part.hidden_channels
    if part.expansion > 1:
        yield "expand", ConvPart(part.in_channels, hidden, activation=part.activation)
    yield "depthwise", ConvPart(hidden, hidden, part.kernel_size, part.stride, part.activation, depthwise=True)
    yield "attention", AttentionPart(part.attention, hidden, part.activation, part.classes)
    yield "project", ConvPart(hidden, part.out_channels)


@register_block("sandglass")
def sandglass(part: BlockPart) -> Pieces:
    """MobileNeXt's block (arXiv:2007.02269, section 3.2) with attention on the wide channels.

    Depthwise k×k, attention, reduce 1×1, expand 1×1, depthwise k×k with the stride: the skip joins wide maps, and the
    bottleneck is within. `expansion` is the ratio of input to bottleneck channels; the bottleneck has at least a sixth
    of the output's channels, to a multiple of 16 where that rule is what sets it.
    """
    yield (
        "depthwise",
        ConvPart(part.in_channels, part.in_channels, part.kernel_size, 1, part.activation, depthwise=True),
    )
    yield "attention", AttentionPart(part.attention, part.in_channels, part.activation, part.classes)
    yield from _bottleneck(part)
    yield "spatial", ConvPart(part.out_channels, part.out_channels, part.kernel_size, part.stride, depthwise=True)


@register_block("sandglass_thin")
def sandglass_thin(part: BlockPart) -> Pieces:
    """A sandglass that loses depthwise convolutions where it changes the shape, as in MobileNeXt's table.

    Where widths differ or the stride is 2 the first depthwise convolution and the attention are absent, and at stride 1
    the last as well. Every other block is a sandglass.
    """
    if part.skips:
        yield from sandglass(part)
        return
    yield from _bottleneck(part)
    if part.stride > 1:
        yield "spatial", ConvPart(part.out_channels, part.out_channels, part.kernel_size, part.stride, depthwise=True)


def _bottleneck(part: BlockPart) -> Pieces:
    """From the input's channels to few and on to the output's; linear between the two."""
    hidden = int(part.in_channels // part.expansion)
    if 6 * hidden < part.out_channels:
        hidden = divisible(math.ceil(part.out_channels / 6), 16)
    yield "reduce", ConvPart(part.in_channels, hidden)
    yield "expand", ConvPart(hidden, part.out_channels, activation=part.activation)


@register_block("universal_inverted_bottleneck")
def universal_inverted_bottleneck(part: BlockPart) -> Pieces:
    """MobileNetV4's block (arXiv:2404.10518, section 3), with attention on the expanded channels.

    Depthwise without activation, expand 1×1, depthwise, attention, project 1×1. Each depthwise convolution is there or
    not: with the second alone it is an inverted bottleneck, with the first alone ConvNeXt's block, with both one of an
    extra depthwise convolution, with neither a feed-forward network. The second has the stride, or without it the
    first. The attention stands after the second, as in an inverted residual, or without it after the expansion: there
    are the most channels, and as late as can be before the projection mixes them.
    """
    if part.stride > 1 and not part.kernel_size and not part.start_kernel_size:
        raise InputError(f"kernel_size: 0 before and after the expansion, so nothing can have stride {part.stride}")
    width, hidden = part.in_channels, part.hidden_channels
    if part.start_kernel_size:
        stride = 1 if part.kernel_size else part.stride
        yield START, ConvPart(width, width, part.start_kernel_size, stride, depthwise=True)
    yield EXPAND, ConvPart(width, hidden, activation=part.activation)
    if part.kernel_size:
        yield "depthwise", ConvPart(hidden, hidden, part.kernel_size, part.stride, part.activation, depthwise=True)
    yield "attention", AttentionPart(part.attention, hidden, part.activation, part.classes)
    yield "project", ConvPart(hidden, part.out_channels)


@register_block("fused_inverted_bottleneck")
def fused_inverted_bottleneck(part: BlockPart) -> Pieces:
    """An inverted residual whose expansion and depthwise convolution are one convolution (MobileNetV4, section 4).

    Expand k×k with the stride, attention, project 1×1.
    """
    hidden = part.hidden_channels
    yield "fused", ConvPart(part.in_channels, hidden, part.kernel_size, part.stride, part.activation)
    yield "attention", AttentionPart(part.attention, hidden, part.activation, part.classes)
    yield "project", ConvPart(hidden, part.out_channels)


@register_block("conv_norm")
def conv_norm(part: BlockPart) -> Pieces:
    """A convolution k×k with the stride, batch normalisation and the activation, as networks begin and end with.

    It has neither a skip nor a place for attention, and no expansion.
    """
    yield "conv", ConvPart(part.in_channels, part.out_channels, part.kernel_size, part.stride, part.activation)


_WITHOUT_SKIP = (conv_norm,)
