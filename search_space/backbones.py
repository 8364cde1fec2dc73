"""Hand-designed backbones as tables of rows, as in their papers."""

from typing import NamedTuple

from search_space.architecture import Architecture, Attention, Stage

NO_ATTENTION = Attention("none")


class Row(NamedTuple):
    """A row of a backbone's table: expansion, output width, depth and stride of a stage."""

    expansion: int
    width: int
    depth: int
    stride: int


# MobileNetV2 (arXiv:1801.04381), table 2.
MOBILENETV2 = (
    Row(expansion=1, width=16, depth=1, stride=1),
    Row(expansion=6, width=24, depth=2, stride=2),
    Row(expansion=6, width=32, depth=3, stride=2),
    Row(expansion=6, width=64, depth=4, stride=2),
    Row(expansion=6, width=96, depth=3, stride=1),
    Row(expansion=6, width=160, depth=3, stride=2),
    Row(expansion=6, width=320, depth=1, stride=1),
)

MOBILENETV2_ATTENTIONS = {"none": NO_ATTENTION, "se": Attention("se", 24), "ca": Attention("ca", 32)}
"""The attentions that the CA paper compares on MobileNetV2, at its ratios (arXiv:2103.02907, table 2)."""


def divisible(width: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `width`, at least `divisor`, and not below 90% of `width`."""
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * width else rounded


def mobilenetv2(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> Architecture:
    """MobileNetV2 with `attention` in every block that expands, as the CA authors put it (the first block has none).

    `width` multiplies every width, to multiples of `divisor`; the head's 1280 only grows (arXiv:1801.04381,
    section 6.1).
    """
    stages = tuple(
        Stage(
            block="inverted_residual",
            width=divisible(row.width * width, divisor),
            stride=row.stride,
            expansion=row.expansion,
            kernel_size=3,
            attention=(attention if row.expansion > 1 else NO_ATTENTION,) * row.depth,
        )
        for row in MOBILENETV2
    )
    return Architecture(
        resolution=resolution,
        stem_width=divisible(32 * width, divisor),
        stem_stride=2,
        stages=stages,
        head_width=divisible(1280 * max(1.0, width)),
        activation="relu6",
    )


def hand_designed(name: str) -> Architecture | None:
    """The network of a name such as `mobilenetv2` or `mobilenetv2-ca`; None if it is not one."""
    backbone, _, kind = name.partition("-")
    if backbone != "mobilenetv2" or (kind or "none") not in MOBILENETV2_ATTENTIONS:
        return None
    return mobilenetv2(attention=MOBILENETV2_ATTENTIONS[kind or "none"])
