"""MobileNetV4's convolutional networks as tables of rows (arXiv:2404.10518, appendix D), as timm has them.

A row has blocks of one sort, so the paper's stages of one width are several rows. Stem and last convolution are rows
as well, and after the mean a layer without biases, with batch normalisation, stands before the classifier.
"""

from collections.abc import Sequence
from typing import NamedTuple

from search_space.architecture import Attention
from search_space.families.mobile.architecture import MobileArchitecture, Stage
from search_space.families.mobile.blocks import attend
from search_space.parts import NO_ATTENTION
from search_space.rounding import divisible

CONV = "conv_norm"
FUSED = "fused_inverted_bottleneck"
UNIVERSAL = "universal_inverted_bottleneck"

POOLED = 1280


class MobileNetV4Row(NamedTuple):
    """A row of the table; kernels are those before and after the expansion, 0 for none."""

    block: str
    width: int
    stride: int
    start_kernel_size: int
    kernel_size: int
    expansion: int = 1
    depth: int = 1


CONV_SMALL = (
    MobileNetV4Row(CONV, 32, 2, 0, 3),
    MobileNetV4Row(CONV, 32, 2, 0, 3),
    MobileNetV4Row(CONV, 32, 1, 0, 1),
    MobileNetV4Row(CONV, 96, 2, 0, 3),
    MobileNetV4Row(CONV, 64, 1, 0, 1),
    MobileNetV4Row(UNIVERSAL, 96, 2, 5, 5, expansion=3),
    MobileNetV4Row(UNIVERSAL, 96, 1, 0, 3, expansion=2, depth=4),
    MobileNetV4Row(UNIVERSAL, 96, 1, 3, 0, expansion=4),
    MobileNetV4Row(UNIVERSAL, 128, 2, 3, 3, expansion=6),
    MobileNetV4Row(UNIVERSAL, 128, 1, 5, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 128, 1, 0, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 128, 1, 0, 5, expansion=3),
    MobileNetV4Row(UNIVERSAL, 128, 1, 0, 3, expansion=4, depth=2),
    MobileNetV4Row(CONV, 960, 1, 0, 1),
)

CONV_MEDIUM = (
    MobileNetV4Row(CONV, 32, 2, 0, 3),
    MobileNetV4Row(FUSED, 48, 2, 0, 3, expansion=4),
    MobileNetV4Row(UNIVERSAL, 80, 2, 3, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 80, 1, 3, 3, expansion=2),
    MobileNetV4Row(UNIVERSAL, 160, 2, 3, 5, expansion=6),
    MobileNetV4Row(UNIVERSAL, 160, 1, 3, 3, expansion=4, depth=2),
    MobileNetV4Row(UNIVERSAL, 160, 1, 3, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 160, 1, 3, 3, expansion=4),
    MobileNetV4Row(UNIVERSAL, 160, 1, 3, 0, expansion=4),
    MobileNetV4Row(UNIVERSAL, 160, 1, 0, 0, expansion=2),
    MobileNetV4Row(UNIVERSAL, 160, 1, 3, 0, expansion=4),
    MobileNetV4Row(UNIVERSAL, 256, 2, 5, 5, expansion=6),
    MobileNetV4Row(UNIVERSAL, 256, 1, 5, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 256, 1, 3, 5, expansion=4, depth=2),
    MobileNetV4Row(UNIVERSAL, 256, 1, 0, 0, expansion=4),
    MobileNetV4Row(UNIVERSAL, 256, 1, 3, 0, expansion=4),
    MobileNetV4Row(UNIVERSAL, 256, 1, 3, 5, expansion=2),
    MobileNetV4Row(UNIVERSAL, 256, 1, 5, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 256, 1, 0, 0, expansion=4, depth=2),
    MobileNetV4Row(UNIVERSAL, 256, 1, 5, 0, expansion=2),
    MobileNetV4Row(CONV, 960, 1, 0, 1),
)

CONV_LARGE = (
    MobileNetV4Row(CONV, 24, 2, 0, 3),
    MobileNetV4Row(FUSED, 48, 2, 0, 3, expansion=4),
    MobileNetV4Row(UNIVERSAL, 96, 2, 3, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 96, 1, 3, 3, expansion=4),
    MobileNetV4Row(UNIVERSAL, 192, 2, 3, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 192, 1, 3, 3, expansion=4, depth=3),
    MobileNetV4Row(UNIVERSAL, 192, 1, 3, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 192, 1, 5, 3, expansion=4, depth=5),
    MobileNetV4Row(UNIVERSAL, 192, 1, 3, 0, expansion=4),
    MobileNetV4Row(UNIVERSAL, 512, 2, 5, 5, expansion=4, depth=4),
    MobileNetV4Row(UNIVERSAL, 512, 1, 5, 0, expansion=4),
    MobileNetV4Row(UNIVERSAL, 512, 1, 5, 3, expansion=4),
    MobileNetV4Row(UNIVERSAL, 512, 1, 5, 0, expansion=4, depth=2),
    MobileNetV4Row(UNIVERSAL, 512, 1, 5, 3, expansion=4),
    MobileNetV4Row(UNIVERSAL, 512, 1, 5, 5, expansion=4),
    MobileNetV4Row(UNIVERSAL, 512, 1, 5, 0, expansion=4, depth=3),
    MobileNetV4Row(CONV, 960, 1, 0, 1),
)


def mobilenetv4(
    rows: Sequence[MobileNetV4Row], width: float, attention: Attention, resolution: int, divisor: int
) -> MobileArchitecture:
    """The network of the rows with `attention` in every block but the convolutions; see `HandDesigned`.

    All widths are multiplied but that of the layer after the mean.
    """
    stages = [
        Stage(
            row.block,
            divisible(row.width * width, divisor),
            row.stride,
            row.expansion,
            row.kernel_size,
            (NO_ATTENTION,) * row.depth,
            start_kernel_size=row.start_kernel_size,
        )
        for row in rows
    ]
    placed = attend(stages, 3, "relu", lambda *_: attention)
    return MobileArchitecture(resolution, None, 1, placed, None, "relu", pooled_width=POOLED, pooled_norm=True)
