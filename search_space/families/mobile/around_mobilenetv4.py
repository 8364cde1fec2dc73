"""The stages of the space around MobileNetV4: all that its three convolutional networks have, one after the other.

A map's first row has its widths; the others keep them. Numbers of blocks and kernels are such that nearly no network
comes about in two ways.
"""

from search_space.architecture import Attention
from search_space.families.mobile.mobilenetv4 import CONV, FUSED, UNIVERSAL
from search_space.families.mobile.stage_options import StageOptions
from search_space.parts import NO_ATTENTION

ATTENTION = (NO_ATTENTION, *(Attention(kind, ratio) for kind in ("se", "ca") for ratio in (8, 16, 24, 32)))

ONCE, MAYBE = (1,), (0, 1)


def _convolution(stride: int, width: tuple[int, ...], kernel_size: int, depth: tuple[int, ...] = ONCE) -> StageOptions:
    return StageOptions(CONV, stride, width, depth, (1,), (kernel_size,), (NO_ATTENTION,))


def _first(
    block: str | tuple[str, ...],
    width: tuple[int, ...],
    expansion: tuple[int, ...],
    start: tuple[int, ...],
    kernel_size: tuple[int, ...],
) -> StageOptions:
    """The row that makes the map smaller."""
    return StageOptions(block, 2, width, ONCE, expansion, kernel_size, ATTENTION, start_kernel_size=start)


def _row(
    depth: tuple[int, ...], expansion: tuple[int, ...], start: tuple[int, ...], kernel_size: tuple[int, ...]
) -> StageOptions:
    return StageOptions(UNIVERSAL, 1, (), depth, expansion, kernel_size, ATTENTION, start_kernel_size=start)


AROUND_MOBILENETV4 = (
    _convolution(2, (16, 24, 32), 3),
    # Maps of a quarter of a side.
    _first((FUSED, CONV), (32, 48, 64), (2, 4), (0,), (3,)),
    _convolution(1, (), 1, MAYBE),
    # An eighth.
    _first((UNIVERSAL, CONV), (64, 80, 96), (4, 6), (0, 3), (3, 5)),
    _row((0, 1, 2), (2, 4), (0, 3, 5), (3, 5)),
    _convolution(1, (48, 64), 1, MAYBE),
    # A sixteenth.
    _first(UNIVERSAL, (96, 128, 160, 192), (3, 4, 6), (0, 3, 5), (3, 5)),
    _row((1, 2, 3), (2, 4), (0, 3), (3, 5)),
    _row(ONCE, (2, 4), (0, 3), (3, 5)),
    _row((1, 5), (2, 4), (0, 3, 5), (3,)),
    _row(ONCE, (2, 4), (3, 5), (0,)),
    _row(MAYBE, (2, 4), (0,), (0,)),
    _row(MAYBE, (2, 4), (3, 5), (0, 3)),
    # A thirty-second.
    _first(UNIVERSAL, (128, 192, 256, 512), (4, 6), (0, 3, 5), (3, 5)),
    _row((1, 3), (2, 4), (0, 5), (3, 5)),
    _row(ONCE, (4,), (0, 3, 5), (0, 5)),
    _row(ONCE, (3, 4), (0, 3, 5), (3, 5)),
    _row(ONCE, (4,), (0, 5), (0, 3)),
    _row(ONCE, (2, 4), (0, 3, 5), (0, 3)),
    _row(MAYBE, (2, 4), (3, 5), (3, 5)),
    _row(MAYBE, (4,), (5,), (5,)),
    _row((0, 2, 3), (4,), (0, 5), (0,)),
    _row(MAYBE, (2,), (3, 5), (0,)),
    _convolution(1, (480, 720, 960), 1),
)
