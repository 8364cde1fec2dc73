"""The stages of the space around MobileNetV3: those of Large, of which some may be left out, as Small does.

A map's first row has its widths; the others keep them. Rows that could follow each other as one have different
expansions, so that no network comes about in two ways.
"""

from search_space.architecture import Attention
from search_space.families.mobile.stage_options import StageOptions
from search_space.parts import NO_ATTENTION

ATTENTION = (
    NO_ATTENTION,
    *(Attention("se", ratio) for ratio in (8, 16, 24, 32)),
    *(Attention("se_hard", ratio) for ratio in (4, 8, 16)),
    *(Attention("ca", ratio) for ratio in (8, 16, 24, 32)),
)

LAST_WIDTHS, POOLED = (576, 768, 960), (1024, 1280, 1280)


def _row(
    stride: int,
    width: tuple[int, ...],
    depth: tuple[int, ...],
    expansion: tuple[int | float, ...],
    activation: str | None = None,
) -> StageOptions:
    return StageOptions("inverted_residual", stride, width, depth, expansion, (3, 5, 7), ATTENTION, activation)


AROUND_MOBILENETV3 = (
    _row(1, (), (0, 1), (1,), "relu"),
    _row(2, (16, 24, 32), (1,), (1, 3, 4), "relu"),
    _row(1, (), (0, 1), (2, 3), "relu"),
    _row(2, (24, 40, 48), (1,), (3, 4.5, 6), "relu"),
    _row(1, (), (1, 2, 3), (2, 3, 3.7), "relu"),
    _row(2, (40, 64, 80), (1,), (3, 4, 6)),
    _row(1, (), (1, 2), (2.5, 4, 6)),
    _row(1, (), (0, 1, 2, 3), (2.3, 3)),
    _row(1, (48, 96, 112, 128), (1,), (3, 4, 6)),
    _row(1, (), (1, 2), (3, 6)),
    _row(2, (96, 128, 160, 192), (1,), (4, 6)),
    _row(1, (), (1, 2, 3), (4, 6)),
    StageOptions("conv_norm", 1, LAST_WIDTHS, (1,), (1,), (1,), (NO_ATTENTION,)),
)
