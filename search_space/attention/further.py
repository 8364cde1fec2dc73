"""Attention ops beside squeeze-and-excitation and coordinate attention.

They are registered with the package, and are searched where a space names them. Of the named spaces those around
MobileNetV3 name its own squeeze-and-excitation; the others are for spaces of the user's own.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_space.attention.registry import register
from search_space.rounding import divisible


class PlaneGate(nn.Module):
    """A gate for each position of a plane, from the mean and the maximum across it: N×D×A×B to N×1×A×B.

    Both pooled planes, the mean first, go through one 7×7 convolution without bias, batch normalisation and a sigmoid.
    Parameters 2·49 + 2 = 100, MACs 98AB.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        gate: Tensor = self.norm(self.conv(pooled))
        return gate.sigmoid()

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        for parameter in self.norm.parameters():
            nn.init.zeros_(parameter)
        return 0.5


class LineGate(nn.Module):
    """A gate for each position of a line and each channel, from the line's neighbourhood: N×C×A×B to N×C×A×B.

    A depthwise convolution without bias, group normalisation and a sigmoid. With a kernel of k, parameters kC + 2C and
    MACs kCAB.
    """

    def __init__(self, channels: int, kernel_size: tuple[int, int]):
        super().__init__()
        padding = (kernel_size[0] // 2, kernel_size[1] // 2)
        self.conv = nn.Conv2d(channels, channels, kernel_size, padding=padding, groups=channels, bias=False)
        self.norm = nn.GroupNorm(math.gcd(channels, 16), channels)

    def forward(self, x: Tensor) -> Tensor:
        # Not the norm's own forward: that refuses a single value to normalise, as a map of 1×1 can leave in a group.
        # Such a value is its own mean, so the gate is the bias's.
        norm = self.norm
        return torch.group_norm(self.conv(x), norm.num_groups, norm.weight, norm.bias, norm.eps).sigmoid()

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        for parameter in self.norm.parameters():
            nn.init.zeros_(parameter)
        return 0.5


@register("eca")
class EfficientChannelAttention(nn.Module):
    """Efficient channel attention (ECA-Net, arXiv:1910.03151, section 3.2).

    x · sigmoid(w ∗ mean(x)): the mean over the map, convolved along the channels by one kernel of k weights without
    bias. k is the odd number nearest to (log2 C + 1) / 2, the larger of two equally near: 1 below 8 channels, 3 from
    8 on, 5 from 128, 7 from 2048. Parameters k, MACs kC.
    """

    def __init__(self, channels: int):
        super().__init__()
        # In integers: 2⌊t / 2⌋ + 1 for t = (log2 C + 1) / 2, and ⌊log2 C⌋ + 1 is the number of bits of C.
        kernel_size = 2 * (channels.bit_length() // 4) + 1
        self.conv = nn.Conv2d(1, 1, (kernel_size, 1), padding=(kernel_size // 2, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True).transpose(1, 2)  # N×1×C×1
        gate: Tensor = self.conv(pooled).transpose(1, 2)  # N×C×1×1
        return x * gate.sigmoid()

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        nn.init.zeros_(self.conv.weight)
        return 0.5


@register("cbam")
class BlockAttention(nn.Module):
    """The convolutional block attention module, CBAM (arXiv:1807.06521, section 3).

    First y = x · sigmoid(f(mean(x)) + f(max(x))) over the map, where f reduces to `q = max(1, C // reduction)`
    channels, applies ReLU, and expands to C, without biases; then y · sigmoid(norm(w ∗ [mean(y); max(y)])) over the
    channels, with a 7×7 kernel. Parameters 2Cq + 100, MACs 4Cq + 98HW.
    """

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.reduce = nn.Conv2d(channels, squeezed, 1, bias=False)
        self.activation = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1, bias=False)
        self.positions = PlaneGate()

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat((x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)), 2)  # N×C×2×1
        gates: Tensor = self.expand(self.activation(self.reduce(pooled)))
        x = x * gates.sum(2, keepdim=True).sigmoid()
        gate: Tensor = self.positions(x)  # N×1×H×W
        return x * gate

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        nn.init.zeros_(self.expand.weight)
        return 0.5 * self.positions.make_constant()


@register("ela")
class EfficientLocalAttention(nn.Module):
    """Efficient local attention (arXiv:2403.01123, section 3), in its version ELA-B.

    x · g(mean along each row) · g'(mean along each column), where a gate g is a depthwise convolution by 7 along the
    line, group normalisation and a sigmoid; rows and columns have weights of their own. The paper's 16 groups need
    channels in multiples of 16: here they are gcd(C, 16), which is 16 wherever the paper's is defined. Parameters with
    k = 7: 2kC + 4C; MACs kC(H + W).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.height = LineGate(channels, (7, 1))
        self.width = LineGate(channels, (1, 7))

    def forward(self, x: Tensor) -> Tensor:
        row_gate: Tensor = self.height(x.mean(3, keepdim=True))  # N×C×H×1
        column_gate: Tensor = self.width(x.mean(2, keepdim=True))  # N×C×1×W
        return x * column_gate * row_gate

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        return self.height.make_constant() * self.width.make_constant()


@register("simam")
class EnergyAttention(nn.Module):
    """SimAM, attention without parameters (Yang et al., ICML 2021, section 3).

    x · sigmoid(1 / e) with the inverse energy 1 / e = (x − μ)² / (4(σ² + λ)) + 1/2: mean and variance are a channel's
    over the map, the variance with HW − 1 as in the authors' program, and λ = 1e-4. In a map of one pixel the
    variance is 0. No parameters, no MACs: some 6CHW elementwise operations.
    """

    regularisation: Final[float] = 1e-4  # so declared, TorchScript sees it

    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        squares = (x - x.mean((2, 3), keepdim=True)).square()
        # One more in a map of one pixel. Not by max(): a traced network would keep the outcome of the size it saw.
        degrees = height * width - 1 + 1 // (height * width)
        variance = squares.sum((2, 3), keepdim=True) / degrees  # N×C×1×1
        inverse_energy = squares / (4 * (variance + self.regularisation)) + 0.5
        return x * inverse_energy.sigmoid()


@register("triplet")
class TripletAttention(nn.Module):
    """Triplet attention (arXiv:2010.03045, section 3).

    x times the mean of three gates, one on each plane of the map: height × width, channel × width and height ×
    channel, each from the mean and the maximum along the dimension that is left, by a 7×7 convolution, batch
    normalisation and a sigmoid. The mean is the convolution's first input (the authors' program has the maximum
    first). Parameters 300, MACs 98(HW + CW + CH).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.height_width = PlaneGate()
        self.channel_width = PlaneGate()
        self.height_channel = PlaneGate()

    def forward(self, x: Tensor) -> Tensor:
        positions: Tensor = self.height_width(x)  # N×1×H×W
        columns: Tensor = self.channel_width(x.transpose(1, 2)).transpose(1, 2)  # N×C×1×W
        rows: Tensor = self.height_channel(x.transpose(1, 3)).transpose(1, 3)  # N×C×H×1
        return x * ((positions + columns + rows) / 3)

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        gates = (self.height_width, self.channel_width, self.height_channel)
        return sum(gate.make_constant() for gate in gates) / 3


@register("se_hard")
class HardSqueezeExcitation(nn.Module):
    """MobileNetV3's squeeze-and-excitation (arXiv:1905.02244, section 5.3; torchvision's `mobilenet_v3_large`).

    The mean over the map, reduced to `C // reduction` channels, to a multiple of 8 and at least 8, ReLU, and expanded
    to C gates of a hard sigmoid. Parameters 2Cq + C + q, MACs 2Cq.

    An op of its own, and no form of `se`: squeeze, activation and gate are all other ones, in whatever block it stands,
    and an architecture has to say which of the two it has. So the two may also be searched against each other.
    """

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        squeezed = divisible(channels // reduction)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.activation = nn.ReLU()
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)  # N×C×1×1
        gate = self.expand(self.activation(self.reduce(gate)))
        return x * F.hardsigmoid(gate)

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)
        return 0.5
