"""The head `ordnet`: what is near a pixel, in its part of the picture and anywhere in it, side by side.

In the manner of ORDNet (arXiv:2101.03929; IEEE Transactions on Image Processing 29, 2020). Its abstract is all that
could be had, neither the body nor code, so the paper's numbers are not to be expected of this head. The abstract says:
short range by convolution, middle range (MR) by self-attention within local patches, long range (RLR) by self-attention
that emphasises the regions which have much to do with others. All else is decided here:

- Every branch works on the same map X: the backbone's, brought to the head's width by a 1×1 convolution.
- The short range is a 3×3 convolution of X. It and the 1×1 convolutions before and after the branches have batch
  normalisation and ReLU; the projections to Q, K and V have neither, and no bias.
- Attention is A = softmax(QKᵀ) without a scale and gives AV. Q and K have an eighth of the channels, V has all.
- MR is X + γ·AV in each patch, with γ from 0: so the branch starts as the identity.
- RLR weighs each pixel j by the attention that it receives, s_j = Σ_i A_ij, and attends anew to all of s·X, by A' and
  V of its own: X + γ·A'V(s·X).
- The branches' outputs, concatenated, are brought to the width again by a 1×1 convolution; then come the logits.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.fields import check_integer
from search_space.head import HEADS
from search_space.parts import Compound, ConvPart, Part, Piece
from tasks.segmentation.heads import DenseHead, LogitsPart

MAX_GRID = 64
REDUCTION = 8
"""Channels to one of the queries and keys."""

BRANCHES = ("short", "mr", "rlr")


class Affinity(nn.Module):
    """How much each of n pixels attends to each other: B×C×n to A = softmax(QKᵀ), B×n×n, whose rows sum to 1.

    Args:
        channels: C; queries and keys have C / 8, at least 1.
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = max(1, channels // REDUCTION)
        # One-dimensional, so that torch's own initialisation stays: a family's, which is for two-dimensional ones,
        # would make the products so large that each pixel attends to a single one. A key's bias would change nothing.
        self.query = nn.Conv1d(channels, inner, 1, bias=False)
        self.key = nn.Conv1d(channels, inner, 1, bias=False)

    def forward(self, x: Tensor, absent: Tensor | None = None) -> Tensor:
        """A; pixels that are `absent`, B×1×n (bool), receive nothing."""
        products = self.query(x).transpose(1, 2) @ self.key(x)
        if absent is not None:
            products = products.masked_fill(absent, -torch.inf)
        return products.softmax(2)


class PatchAttention(nn.Module):
    """Self-attention within each patch of a map: N×C×H×W to AV of the same shape.

    Patches are ⌈H/grid⌉×⌈W/grid⌉ pixels. Those at the lower and right border may hold fewer, and where a side is not
    much longer than the grid there are fewer patches than grid×grid. If H and W are multiples of the grid, both matrix
    products together are (HW)²/grid²·(C/8 + C) MACs; with a grid of 1 it is the attention of all pixels to all.
    """

    def __init__(self, channels: int, grid: int):
        super().__init__()
        self.grid = grid
        self.affinity = Affinity(channels)
        self.value = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        sides = (-(-height // self.grid), -(-width // self.grid))
        lacking = (0, -width % sides[1], 0, -height % sides[0])
        absent = None
        if any(lacking):
            # No patch lacks all its pixels, so no row of the softmax is empty.
            padding = F.pad(x.new_zeros((1, 1, height, width), dtype=torch.bool), lacking, value=True)
            absent = _patches(padding, sides).repeat(len(x), 1, 1)
            x = F.pad(x, lacking)
        pixels = _patches(x, sides)
        attended = self.value(pixels) @ self.affinity(pixels, absent).transpose(1, 2)
        return _joined(attended, sides, x.shape[2] // sides[0], x.shape[3] // sides[1])[:, :, :height, :width]


class Reweighing(nn.Module):
    """Weighs each pixel by the attention that it receives of all: N×C×H×W to the same shape.

    The weights s_j = Σ_i A_ij sum to HW. (The sums over j are 1 for every i, and would change nothing.)
    """

    def __init__(self, channels: int):
        super().__init__()
        self.affinity = Affinity(channels)

    def weights(self, x: Tensor) -> Tensor:
        """The weight of each pixel, N×1×H×W."""
        received: Tensor = self.affinity(x.flatten(2)).sum(1)
        return received.unflatten(1, x.shape[2:]).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)


class GatedResidual(nn.Module):
    """X + γ·f(X) with a learned number γ from 0."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.inner(x)


class SideBySide(nn.ModuleDict):
    """The outputs of modules for the same input, one after the other along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.values()], 1)


@dataclass(frozen=True)
class BranchesPart(Piece):
    """Branches side by side, each with as many channels as the input: N×C×H×W to N×(branches·C)×H×W."""

    in_channels: int
    branches: tuple[str, ...]
    grid: int

    def create(self) -> nn.Module:
        return SideBySide({name: self._branch(name) for name in self.branches})

    def _branch(self, name: str) -> nn.Module:
        channels = self.in_channels
        if name == "short":
            return ConvPart(channels, channels, 3, activation="relu").create()
        if name == "mr":
            return GatedResidual(PatchAttention(channels, self.grid))
        return GatedResidual(nn.Sequential(Reweighing(channels), PatchAttention(channels, 1)))

    def output_size(self, size: int) -> int:
        return size

    @property
    def label(self) -> str:
        return f"branches {self.in_channels} {_told(self.branches, self.grid)}"


@dataclass(frozen=True)
class OrdnetHeadPart(Compound):
    """A 1×1 convolution to the head's width, the branches, a 1×1 convolution of all to that width, and the logits."""

    in_channels: int
    width: int
    branches: tuple[str, ...]
    grid: int
    num_classes: int

    @cached_property
    def pieces(self) -> tuple[tuple[str, Piece], ...]:
        """Convolution, branches, convolution, logits; only the first depends on the backbone's channels."""
        return (
            ("reduce", ConvPart(self.in_channels, self.width, activation="relu")),
            ("branches", BranchesPart(self.width, self.branches, self.grid)),
            ("fuse", ConvPart(len(self.branches) * self.width, self.width, activation="relu")),
            ("logits", LogitsPart(self.width, self.num_classes)),
        )

    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        return nn.Sequential(OrderedDict((name, make(name, piece)) for name, piece in self.pieces))

    def output_size(self, size: int) -> int:
        return size


@HEADS.register("ordnet")
@dataclass(frozen=True)
class OrdnetHead(DenseHead):
    """Short-, middle- and long-range branches on the last map, in the manner of ORDNet (arXiv:2101.03929).

    Attributes:
        branches: those that there are, of `short`, `mr`, `rlr` in this order; each has as many channels as the head.
        grid: along each side, how many patches the map is cut into for `mr`; with 1 that is global attention.
    """

    branches: tuple[str, ...] = BRANCHES
    grid: int = 2

    name = "ordnet"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("grid", self.grid, 1, MAX_GRID)
        own = self.branches
        if type(own) is not tuple or not own or own != tuple(name for name in BRANCHES if name in own):
            raise InputError(f"branches: expected some of {', '.join(BRANCHES)}, in this order, got {shown(own)}")

    def part(self, channels: int) -> Part:
        """See `OrdnetHeadPart`."""
        return OrdnetHeadPart(channels, self.width, self.branches, self.grid, self.num_classes)

    @property
    def told(self) -> str:
        """Also its branches."""
        return f"{super().told} ({_told(self.branches, self.grid)})"


def _told(branches: tuple[str, ...], grid: int) -> str:
    """The branches in a few letters: `short+mr2+rlr`."""
    return "+".join(f"{name}{grid}" if name == "mr" else name for name in branches)


def _patches(x: Tensor, sides: tuple[int, int]) -> Tensor:
    """The pixels of each patch with these sides, N×C×H×W to NP×C×n; H and W are multiples of the sides."""
    tiles = x.unflatten(3, (-1, sides[1])).unflatten(2, (-1, sides[0]))
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(0, 2)


def _joined(patches: Tensor, sides: tuple[int, int], rows: int, columns: int) -> Tensor:
    """The map of so many rows and columns of patches: what `_patches` undoes."""
    tiles = patches.unflatten(2, sides).unflatten(0, (-1, rows, columns))
    return tiles.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
