"""Token blocks: how a T2T-ViT gathers tokens from a map, each from a neighbourhood, and has them see each other.

A step cuts a map into overlapping neighbourhoods (a soft split), makes each a token, lets all tokens attend to one
another, and folds them to a map again (T2T-ViT, arXiv:2101.11986, section 3.1). Attention is written as products of
matrices: torch's counter counts those, and not every kernel that fuses them.

A new token block is a part, and one line:

    @TOKENS.register("mine")
    def _mine(in_channels: int, width: int, kernel_size: int, stride: int) -> Piece: ...
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]
from torch.nn import functional as F

from foundation.registry import Registry
from search_space.constants import WithConstants
from search_space.parts import ConvPart, Piece, strided

TOKENS: Registry[Callable[[int, int, int, int], Piece]] = Registry("tokens")
"""By name: a step's part from its input's channels, the channels of its output, its kernel and its stride."""


@dataclass(frozen=True)
class TokenPart(Piece):
    """A step whose tokens attend to one another, N×in_channels×H×W to N×width×⌈H/stride⌉×⌈W/stride⌉."""

    in_channels: int
    width: int
    kernel_size: int
    stride: int
    kind: str

    def create(self) -> nn.Module:
        return TokenStep(self)

    def output_size(self, size: int) -> int:
        return strided(size, self.stride)

    @property
    def label(self) -> str:
        return f"{self.kind} tokens {self.in_channels}>{self.width} k{self.kernel_size} s{self.stride}"

    def stored_role(self, role: str, *, own_kernels: bool) -> str:
        """Each kernel's own always: what is normalised is a whole neighbourhood."""
        return ".".join(filter(None, (role, self.kind, f"kernel{self.kernel_size}")))


@dataclass(frozen=True)
class ConvolutionTokens(ConvPart):
    """A step that is a convolution, with its weights apart from those of other kernels and kinds."""

    def stored_role(self, role: str, *, own_kernels: bool) -> str:
        return ".".join(filter(None, (role, "convolution", f"kernel{self.kernel_size}")))


@TOKENS.register("performer")
def _performer(in_channels: int, width: int, kernel_size: int, stride: int) -> Piece:
    """Attention in linear time, by random features (Performer, arXiv:2009.14794); the published default."""
    return TokenPart(in_channels, width, kernel_size, stride, "performer")


@TOKENS.register("transformer")
def _transformer(in_channels: int, width: int, kernel_size: int, stride: int) -> Piece:
    """Full attention of one head: the published networks with a `t`."""
    return TokenPart(in_channels, width, kernel_size, stride, "transformer")


@TOKENS.register("convolution")
def _convolution(in_channels: int, width: int, kernel_size: int, stride: int) -> Piece:
    """A convolution with batch normalisation and ReLU, as in arXiv:2106.14881; the authors' are bare, so all linear."""
    return ConvolutionTokens(in_channels, width, kernel_size, stride, "relu")


def margins(kernel_size: int, stride: int) -> tuple[int, int]:
    """Pixels of zeros before and after a side of n, so that a step leaves ⌈n/stride⌉; after the published ones none.

    Where the stride divides n, the neighbourhoods are those of ⌈(kernel_size - stride)/2⌉ zeros on both sides.
    """
    before = max(0, math.ceil((kernel_size - stride) / 2))
    return before, kernel_size - 1 - before


class TokenStep(nn.Module):
    """A soft split, tokens that attend to one another, and the map that they make."""

    def __init__(self, part: TokenPart):
        super().__init__()
        self.kernel_size, self.stride = part.kernel_size, part.stride
        before, after = margins(part.kernel_size, part.stride)
        self.margins = [before, after, before, after]
        inputs = part.in_channels * part.kernel_size**2
        attends = {"performer": PerformerAttention, "transformer": FullAttention}[part.kind]
        self.norm = nn.LayerNorm(inputs)
        self.attention = attends(inputs, part.width)
        self.mlp_norm = nn.LayerNorm(part.width)
        self.mlp = nn.Sequential(nn.Linear(part.width, part.width), nn.GELU(), nn.Linear(part.width, part.width))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.margins)
        height = (x.shape[2] - self.kernel_size) // self.stride + 1
        width = (x.shape[3] - self.kernel_size) // self.stride + 1
        tokens = F.unfold(x, self.kernel_size, stride=self.stride).transpose(1, 2)  # N×HW×Ck²
        tokens = self.attention(self.norm(tokens))
        tokens = tokens + self.mlp(self.mlp_norm(tokens))
        return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], height, width)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


class FullAttention(nn.Module):
    """Softmax attention of one head, N×T×inputs to N×T×width; the skip is the values, which alone have that width.

    Its scale is 1/√inputs, of the input's width and not of the head's, as published.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.scale = inputs**-0.5
        self.query = nn.Linear(inputs, width, bias=False)
        self.key = nn.Linear(inputs, width, bias=False)
        self.value = nn.Linear(inputs, width, bias=False)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        values = self.value(x)
        weights = (self.query(x) * self.scale @ self.key(x).transpose(1, 2)).softmax(2)  # N×T×T
        return values + self.project(weights @ values)


class PerformerAttention(WithConstants):
    """Attention by positive random features, N×T×inputs to N×T×width, in time linear in T; the skip is the values.

    With φ(x) = exp(Wx - |x|²/2) it is φ(q)(φ(k)ᵀv) / φ(q)Σφ(k), where W has width // 2 orthogonal rows of that squared
    length. The published 1/√m in φ, and whatever is subtracted in an exponent for a whole query or a whole feature,
    stand above and below the line: maxima are subtracted, so that nothing overflows and the divisor is 1 at least.
    """

    features: Tensor

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.query = nn.Linear(inputs, width)
        self.key = nn.Linear(inputs, width)
        self.value = nn.Linear(inputs, width)
        self.project = nn.Linear(width, width)
        self.register_buffer("features", torch.empty(width // 2, width))
        self.set_constants(self.query.weight.device)

    def set_constants(self, device: torch.device) -> None:
        """The same rows for a width always: networks that share weights need the same."""
        count, width = self.features.shape
        drawn = torch.randn(width, count, generator=torch.Generator().manual_seed(width), device="cpu")
        self.features = (torch.linalg.qr(drawn)[0].T * math.sqrt(count)).contiguous().to(device)

    def forward(self, x: Tensor) -> Tensor:
        values = self.value(x)
        attended = self.attended(self.query(x), self.key(x), values)
        return values + self.project(attended.to(values.dtype))

    def attended(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """N×T×width each to the weighted means of the values, in float32 whatever the precision around."""
        # Nested, so that what is compiled as TorchScript does not see it.
        if not is_scripting():  # noqa: SIM102
            if _in_mixed_precision(queries.device.type):
                with torch.autocast(queries.device.type, enabled=False):
                    return self._attended(queries.float(), keys.float(), values.float())
        return self._attended(queries.float(), keys.float(), values.float())

    def _attended(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        features = self.features.float()
        # A query's own length is in all of its weights alike.
        asked = queries @ features.T  # N×T×m
        offered = keys @ features.T - keys.square().sum(2, keepdim=True) / 2
        most = offered.detach().amax(1, keepdim=True)  # N×1×m
        offered = (offered - most).exp()
        asked = asked + most
        asked = (asked - asked.detach().amax(2, keepdim=True)).exp()
        total = asked @ offered.sum(1).unsqueeze(2)  # N×T×1
        return asked @ (offered.transpose(1, 2) @ values) / total


def _in_mixed_precision(device: str) -> bool:
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
