"""The embedding, the transformer's blocks and the last norm: parts on tokens, and their modules.

Tokens are N×(1+HW)×D: first the class token, then a grid of H×W row by row. Where a part is counted alone, its input
is that of a square map. Attention is written as products of matrices: torch's counter counts those, and not every
kernel that fuses them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundation.errors import InputError
from search_space import attention as attention_ops
from search_space.architecture import Attention
from search_space.families.t2t.token_blocks import margins
from search_space.parts import AttentionPart, Compound, Piece, strided

ACTIVATION = "relu"
"""Within an op that gates the grid."""


@dataclass(frozen=True)
class EmbeddingPart(Piece):
    """The last step: from a map, N×C×H×W, to tokens of `width` channels, N×(1+⌈H/stride⌉⌈W/stride⌉)×width."""

    in_channels: int
    width: int
    kernel_size: int
    stride: int
    table_width: int

    def create(self) -> nn.Module:
        return Embedding(self)

    def output_size(self, size: int) -> int:
        return strided(size, self.stride)

    @property
    def label(self) -> str:
        return f"embedding {self.in_channels}>{self.width} k{self.kernel_size} s{self.stride}"


class Embedding(nn.Module):
    """Neighbourhoods to tokens by one linear layer, a class token before them, and the sine table of positions."""

    def __init__(self, part: EmbeddingPart):
        super().__init__()
        before, after = margins(part.kernel_size, part.stride)
        self.margins = [before, after, before, after]
        self.table_width = part.table_width
        self.project = nn.Conv2d(part.in_channels, part.width, part.kernel_size, part.stride)
        self.class_token = nn.Parameter(torch.zeros(part.width))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.project(F.pad(x, self.margins)).flatten(2).transpose(1, 2)  # N×HW×D
        batch, _, width = tokens.shape
        first = self.class_token.to(tokens.dtype).expand(batch, 1, width)
        tokens = torch.cat((first, tokens), 1)
        return tokens + sine_table(tokens.shape[1], self.table_width, tokens.device)[:, :width].to(tokens.dtype)

    def initialise(self) -> None:
        """As the authors draw linear layers and the class token."""
        nn.init.trunc_normal_(self.project.weight, std=0.02)
        assert self.project.bias is not None
        nn.init.zeros_(self.project.bias)
        nn.init.trunc_normal_(self.class_token, std=0.02)


def sine_table(count: int, width: int, device: torch.device) -> Tensor:
    """count×width: of position p the sine (odd columns: the cosine) of p/10000^(2⌊j/2⌋/width) (arXiv:1706.03762, 3.5).

    Computed in float64 and rounded, as published. The cosine is a sine a quarter turn ahead, which every runtime has in
    float64.
    """
    column = torch.arange(width, device=device)
    frequency = torch.exp((column // 2).double() * (-2 * math.log(10000) / width))
    position = torch.arange(count, device=device, dtype=torch.float64)
    angle = position.unsqueeze(1) * frequency + (column % 2).double() * (math.pi / 2)
    return angle.sin().float()


class TokensPiece(Piece):
    """A piece that maps tokens to tokens of the same shape."""

    def input_shape(self, size: int) -> tuple[int, ...]:
        return (1 + size * size, self.in_channels)

    def output_size(self, size: int) -> int:
        return size


@dataclass(frozen=True)
class MixPart(TokensPiece):
    """The first branch of a block: a norm and self-attention of so many heads."""

    in_channels: int
    heads: int
    head_width: int

    def create(self) -> nn.Module:
        return SelfAttention(self)

    @property
    def label(self) -> str:
        return f"self-attention {self.in_channels} h{self.heads}x{self.head_width}"


class SelfAttention(nn.Module):
    """A norm and multi-head self-attention, N×T×D to N×T×D, without the skip; each head is scaled by 1/√head_width."""

    def __init__(self, part: MixPart):
        super().__init__()
        inner = part.heads * part.head_width
        self.heads, self.head_width = part.heads, part.head_width
        self.norm = nn.LayerNorm(part.in_channels)
        self.query = nn.Linear(part.in_channels, inner, bias=False)
        self.key = nn.Linear(part.in_channels, inner, bias=False)
        self.value = nn.Linear(part.in_channels, inner, bias=False)
        self.project = nn.Linear(inner, part.in_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        queries, keys, values = self._heads(self.query(x)), self._heads(self.key(x)), self._heads(self.value(x))
        weights = (queries * self.head_width**-0.5 @ keys.transpose(2, 3)).softmax(3)  # N×heads×T×T
        return self.project((weights @ values).transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """N×T×inner to N×heads×T×head_width."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, self.head_width).transpose(1, 2)


@dataclass(frozen=True)
class MlpPart(TokensPiece):
    """The second branch of a block, its skip included: a norm, and two linear layers with GELU between."""

    in_channels: int
    expansion: int

    def create(self) -> nn.Module:
        return Mlp(self.in_channels, self.expansion)

    @property
    def label(self) -> str:
        return f"mlp {self.in_channels} e{self.expansion}"


class Mlp(nn.Module):
    """x plus the MLP of its norm, N×T×D to N×T×D."""

    def __init__(self, width: int, expansion: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.project = nn.Linear(width * expansion, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(F.gelu(self.expand(self.norm(x))))


@dataclass(frozen=True)
class BlockPart(Compound):
    """A transformer's block whose self-attention is gated on the grid before its skip is added."""

    in_channels: int
    heads: int
    head_width: int
    expansion: int
    attention: Attention
    classes: int = 0

    @cached_property
    def pieces(self) -> tuple[tuple[str, Piece], ...]:
        """Self-attention, what gates it on the tokens' grid, and the MLP."""
        return (
            ("mix", MixPart(self.in_channels, self.heads, self.head_width)),
            ("attention", AttentionPart(self.attention, self.in_channels, ACTIVATION, self.classes)),
            ("mlp", MlpPart(self.in_channels, self.expansion)),
        )

    @property
    def skips(self) -> bool:
        """Round the self-attention; the MLP's is part of its piece."""
        return True

    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        return Block(*(make(name, piece) for name, piece in self.pieces))

    def telling(self, classes: int) -> Self:
        return replace(self, classes=classes)

    def output_size(self, size: int) -> int:
        return size


class Block(nn.Module):
    """A block on tokens of a grid of `height`×`width`, N×(1+HW)×D to the same shape.

    The class token is no part of the grid, so nothing gates it.
    """

    def __init__(self, mix: nn.Module, attention: nn.Module, mlp: nn.Module):
        super().__init__()
        self.mix = mix
        self.attention = attention
        self.mlp = mlp
        self.gated = not isinstance(attention, attention_ops.NoAttention)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        mixed = self.mix(x)
        if self.gated:
            grid = self.attention(as_map(mixed, height, width)).flatten(2).transpose(1, 2)
            mixed = torch.cat((mixed[:, :1], grid), 1)
        return self.mlp(x + mixed)


def as_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """N×(1+HW)×D to the map that all tokens but the first make, N×D×H×W."""
    return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], height, width)


@dataclass(frozen=True)
class NormPart(TokensPiece):
    """The last norm, of the class token alone or of the grid: what a head is given."""

    in_channels: int
    of_grid: bool

    def create(self) -> nn.Module:
        return nn.LayerNorm(self.in_channels)

    def input_shape(self, size: int) -> tuple[int, ...]:
        return (size * size if self.of_grid else 1, self.in_channels)

    def output_size(self, size: int) -> int:
        return size if self.of_grid else 1

    @property
    def label(self) -> str:
        return f"norm {self.in_channels}{' grid' if self.of_grid else ''}"


def check_attention(attention: Attention, width: int) -> None:
    """Raises InputError for an op that is unknown, or that takes no such ratio."""
    try:
        attention_ops.structure(attention, width)
    except InputError as error:
        raise InputError(f"attention: {error}") from None
