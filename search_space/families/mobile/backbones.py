"""Hand-designed mobile networks as tables of rows, as in their papers.

Every backbone is a function of one signature: width multiplier, attention, resolution, and the divisor of widths.
"""

from typing import NamedTuple

from search_space.architecture import Attention
from search_space.families.mobile.architecture import MobileArchitecture, Stage
from search_space.families.mobile.blocks import attend
from search_space.families.mobile.mobilenetv3 import LARGE, LARGE_POOLED, OWN_SE, SMALL, SMALL_POOLED, mobilenetv3
from search_space.families.mobile.mobilenetv4 import CONV_LARGE, CONV_MEDIUM, CONV_SMALL, mobilenetv4
from search_space.hand_designed import BACKBONES
from search_space.parts import NO_ATTENTION
from search_space.rounding import divisible


class PublishedStage(NamedTuple):
    """A row of a backbone's table: one stage."""

    expansion: int
    width: int
    depth: int
    stride: int
    kernel_size: int = 3
    block: str = "inverted_residual"


# MobileNetV2 (arXiv:1801.04381), table 2.
MOBILENETV2 = (
    PublishedStage(expansion=1, width=16, depth=1, stride=1),
    PublishedStage(expansion=6, width=24, depth=2, stride=2),
    PublishedStage(expansion=6, width=32, depth=3, stride=2),
    PublishedStage(expansion=6, width=64, depth=4, stride=2),
    PublishedStage(expansion=6, width=96, depth=3, stride=1),
    PublishedStage(expansion=6, width=160, depth=3, stride=2),
    PublishedStage(expansion=6, width=320, depth=1, stride=1),
)

# MobileNeXt (arXiv:2007.02269), table 2, with the depthwise convolutions that the authors' code keeps in a row of
# changing shape.
MOBILENEXT = (
    PublishedStage(expansion=2, width=96, depth=1, stride=2, block="sandglass"),
    PublishedStage(expansion=6, width=144, depth=1, stride=1, block="sandglass"),
    PublishedStage(expansion=6, width=192, depth=3, stride=2, block="sandglass_thin"),
    PublishedStage(expansion=6, width=288, depth=3, stride=2, block="sandglass_thin"),
    PublishedStage(expansion=6, width=384, depth=4, stride=1, block="sandglass_thin"),
    PublishedStage(expansion=6, width=576, depth=4, stride=2, block="sandglass_thin"),
    PublishedStage(expansion=6, width=960, depth=3, stride=1, block="sandglass_thin"),
    PublishedStage(expansion=6, width=1280, depth=1, stride=1, block="sandglass"),
)

# EfficientNet-B0 (arXiv:1905.11946), table 1.
EFFICIENTNET_B0 = (
    PublishedStage(expansion=1, width=16, depth=1, stride=1, kernel_size=3),
    PublishedStage(expansion=6, width=24, depth=2, stride=2, kernel_size=3),
    PublishedStage(expansion=6, width=40, depth=2, stride=2, kernel_size=5),
    PublishedStage(expansion=6, width=80, depth=3, stride=2, kernel_size=3),
    PublishedStage(expansion=6, width=112, depth=3, stride=1, kernel_size=5),
    PublishedStage(expansion=6, width=192, depth=4, stride=2, kernel_size=5),
    PublishedStage(expansion=6, width=320, depth=1, stride=1, kernel_size=3),
)
EFFICIENTNET_SE = Attention("se", 24)


@BACKBONES.register("mobilenetv2")
def mobilenetv2(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> MobileArchitecture:
    """MobileNetV2 with `attention` in every block that expands, as the CA authors put it (the first block has none).

    The head's 1280 only grows with the width (arXiv:1801.04381, section 6.1).
    """
    stages = [_stage(row, divisible(row.width * width, divisor)) for row in MOBILENETV2]
    stem = divisible(32 * width, divisor)
    placed = attend(stages, stem, "relu6", lambda _, row: attention if row.expansion > 1 else NO_ATTENTION)
    return MobileArchitecture(resolution, stem, 2, placed, divisible(1280 * max(1.0, width)), "relu6")


@BACKBONES.register("mobilenext")
def mobilenext(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> MobileArchitecture:
    """MobileNeXt with `attention` after the first depthwise convolution of every sandglass that has one.

    The last stage's 1280 only grows with the width, and there is no head convolution.
    """
    widths = [divisible(row.width * width, divisor) for row in MOBILENEXT]
    widths[-1] = max(widths[-1], MOBILENEXT[-1].width)
    stages = [_stage(row, count) for row, count in zip(MOBILENEXT, widths, strict=True)]
    stem = divisible(32 * width, divisor)
    return MobileArchitecture(
        resolution, stem, 2, attend(stages, stem, "relu6", lambda _, row: attention), None, "relu6"
    )


@BACKBONES.register("efficientnet_b0")
def efficientnet_b0(
    width: float = 1.0,
    attention: Attention = EFFICIENTNET_SE,
    resolution: int = 224,
    divisor: int = 8,
) -> MobileArchitecture:
    """EfficientNet-B0 with `attention` in every block, by default its own SE.

    EfficientNet reduces SE to a quarter of the block's input: a 24th of the expanded channels, and a quarter in the
    first block, which does not expand. So SE's ratio is divided by six there; every other op's is the same everywhere.
    """
    stages = [_stage(row, divisible(row.width * width, divisor)) for row in EFFICIENTNET_B0]
    stem = divisible(32 * width, divisor)
    head = 4 * stages[-1].width
    first = attention
    if attention.kind == "se" and attention.reduction is not None:
        first = Attention("se", max(1, attention.reduction // 6))
    placed = attend(stages, stem, "silu", lambda _, row: attention if row.expansion > 1 else first)
    return MobileArchitecture(resolution, stem, 2, placed, head, "silu")


@BACKBONES.register("mobilenetv3_large")
def mobilenetv3_large(
    width: float = 1.0, attention: Attention = OWN_SE, resolution: int = 224, divisor: int = 8
) -> MobileArchitecture:
    """MobileNetV3-Large with `attention` in the blocks in which the paper has SE, by default its own SE."""
    return mobilenetv3(LARGE, LARGE_POOLED, width, attention, resolution, divisor)


@BACKBONES.register("mobilenetv3_small")
def mobilenetv3_small(
    width: float = 1.0, attention: Attention = OWN_SE, resolution: int = 224, divisor: int = 8
) -> MobileArchitecture:
    """MobileNetV3-Small with `attention` in the blocks in which the paper has SE, by default its own SE."""
    return mobilenetv3(SMALL, SMALL_POOLED, width, attention, resolution, divisor)


@BACKBONES.register("mobilenetv4_conv_small")
def mobilenetv4_conv_small(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> MobileArchitecture:
    """MobileNetV4-Conv-S with `attention` in every universal inverted bottleneck."""
    return mobilenetv4(CONV_SMALL, width, attention, resolution, divisor)


@BACKBONES.register("mobilenetv4_conv_medium")
def mobilenetv4_conv_medium(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> MobileArchitecture:
    """MobileNetV4-Conv-M with `attention` in every inverted bottleneck, fused or universal."""
    return mobilenetv4(CONV_MEDIUM, width, attention, resolution, divisor)


@BACKBONES.register("mobilenetv4_conv_large")
def mobilenetv4_conv_large(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> MobileArchitecture:
    """MobileNetV4-Conv-L with `attention` in every inverted bottleneck, fused or universal."""
    return mobilenetv4(CONV_LARGE, width, attention, resolution, divisor)


def _stage(row: PublishedStage, width: int) -> Stage:
    return Stage(row.block, width, row.stride, row.expansion, row.kernel_size, (NO_ATTENTION,) * row.depth)
