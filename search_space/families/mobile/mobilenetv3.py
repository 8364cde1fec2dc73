"""MobileNetV3 as tables of rows (arXiv:1905.02244, tables 1 and 2), with the channels of torchvision's networks.

A row has the same channels within all of its blocks, so the paper's stages of one width are several rows. The last row
is the convolution that the paper has before the mean, and after the mean a layer stands before the classifier.
"""

from collections.abc import Sequence
from typing import NamedTuple

from search_space.architecture import Attention
from search_space.families.mobile.architecture import MobileArchitecture, Stage
from search_space.families.mobile.blocks import attend
from search_space.parts import NO_ATTENTION
from search_space.rounding import divisible

ACTIVATION = "hardswish"
"""Of stem, last convolution, layer after the mean, and the later half of the rows; the others have ReLU."""

OWN_SE = Attention("se_hard", 4)
STEM = 16


class MobileNetV3Row(NamedTuple):
    """A row of the table: `hidden` channels within its blocks, and whether they have SE."""

    hidden: int
    width: int
    depth: int
    stride: int
    kernel_size: int
    se: bool
    activation: str | None = None


LARGE = (
    MobileNetV3Row(16, 16, 1, 1, 3, False, "relu"),
    MobileNetV3Row(64, 24, 1, 2, 3, False, "relu"),
    MobileNetV3Row(72, 24, 1, 1, 3, False, "relu"),
    MobileNetV3Row(72, 40, 1, 2, 5, True, "relu"),
    MobileNetV3Row(120, 40, 2, 1, 5, True, "relu"),
    MobileNetV3Row(240, 80, 1, 2, 3, False),
    MobileNetV3Row(200, 80, 1, 1, 3, False),
    MobileNetV3Row(184, 80, 2, 1, 3, False),
    MobileNetV3Row(480, 112, 1, 1, 3, True),
    MobileNetV3Row(672, 112, 1, 1, 3, True),
    MobileNetV3Row(672, 160, 1, 2, 5, True),
    MobileNetV3Row(960, 160, 2, 1, 5, True),
)
LARGE_POOLED = 1280

SMALL = (
    MobileNetV3Row(16, 16, 1, 2, 3, True, "relu"),
    MobileNetV3Row(72, 24, 1, 2, 3, False, "relu"),
    MobileNetV3Row(88, 24, 1, 1, 3, False, "relu"),
    MobileNetV3Row(96, 40, 1, 2, 5, True),
    MobileNetV3Row(240, 40, 2, 1, 5, True),
    MobileNetV3Row(120, 48, 1, 1, 5, True),
    MobileNetV3Row(144, 48, 1, 1, 5, True),
    MobileNetV3Row(288, 96, 1, 2, 5, True),
    MobileNetV3Row(576, 96, 2, 1, 5, True),
)
SMALL_POOLED = 1024


def mobilenetv3(
    rows: Sequence[MobileNetV3Row], pooled: int, width: float, attention: Attention, resolution: int, divisor: int
) -> MobileArchitecture:
    """The network of the rows with `attention` where they have SE; see `HandDesigned` for the arguments.

    All widths are multiplied, also those within the blocks and that of the layer after the mean, as torchvision's are.
    """
    stem = before = divisible(STEM * width, divisor)
    stages = []
    for row in rows:
        own = divisible(row.width * width, divisor)
        expansion = expansion_to(before, divisible(row.hidden * width))
        none = (NO_ATTENTION,) * row.depth
        stages.append(
            Stage("inverted_residual", own, row.stride, expansion, row.kernel_size, none, activation=row.activation)
        )
        before = own
    last = Stage("conv_norm", 6 * before, 1, 1, 1, (NO_ATTENTION,))
    attended = [row.se for row in rows] + [False]
    placed = attend([*stages, last], stem, ACTIVATION, lambda index, _: attention if attended[index] else NO_ATTENTION)
    return MobileArchitecture(resolution, stem, 2, placed, None, ACTIVATION, pooled_width=divisible(pooled * width))


def expansion_to(channels: int, hidden: int) -> int | float:
    """The ratio with the fewest decimals that gives a block after so many channels so many hidden ones."""
    if hidden <= channels:
        return 1
    if hidden % channels == 0:
        return hidden // channels
    ratios = [round(hidden / channels, decimals) for decimals in (1, 2)]
    return next((ratio for ratio in ratios if divisible(channels * ratio) == hidden), ratios[-1])
