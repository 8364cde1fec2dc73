"""The published T2T-ViTs (arXiv:2101.11986, table 2), and those of any width in their likeness."""

from search_space.architecture import Attention
from search_space.families.t2t.architecture import T2TArchitecture, TransformerBlock
from search_space.hand_designed import BACKBONES
from search_space.parts import NO_ATTENTION
from search_space.rounding import divisible

HEAD_WIDTH = 64
TOKEN_WIDTH = 64


def _published(
    tokens: str,
    embedding: int,
    depth: int,
    expansion: int,
    width: float,
    attention: Attention,
    resolution: int,
    divisor: int,
) -> T2TArchitecture:
    """A network of the table, its widths multiplied; it has a head for each 64 channels of its width."""
    own = divisible(embedding * width, divisor)
    block = TransformerBlock(max(1, round(own / HEAD_WIDTH)), expansion, attention)
    tokens_width = max(2, divisible(TOKEN_WIDTH * width, divisor) // 2 * 2)
    return T2TArchitecture(resolution, tokens, 7, (4, 2, 2), tokens_width, own, HEAD_WIDTH, own, (block,) * depth)


@BACKBONES.register("t2t_vit_7")
def t2t_vit_7(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-7: 7 blocks of width 256, `attention` on the grid in each."""
    return _published("performer", 256, 7, 2, width, attention, resolution, divisor)


@BACKBONES.register("t2t_vit_10")
def t2t_vit_10(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-10: 10 blocks of width 256, `attention` on the grid in each."""
    return _published("performer", 256, 10, 2, width, attention, resolution, divisor)


@BACKBONES.register("t2t_vit_12")
def t2t_vit_12(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-12: 12 blocks of width 256, `attention` on the grid in each."""
    return _published("performer", 256, 12, 2, width, attention, resolution, divisor)


@BACKBONES.register("t2t_vit_14")
def t2t_vit_14(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-14: 14 blocks of width 384, `attention` on the grid in each."""
    return _published("performer", 384, 14, 3, width, attention, resolution, divisor)


@BACKBONES.register("t2t_vit_19")
def t2t_vit_19(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-19: 19 blocks of width 448, `attention` on the grid in each."""
    return _published("performer", 448, 19, 3, width, attention, resolution, divisor)


@BACKBONES.register("t2t_vit_24")
def t2t_vit_24(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-24: 24 blocks of width 512, `attention` on the grid in each."""
    return _published("performer", 512, 24, 3, width, attention, resolution, divisor)


@BACKBONES.register("t2t_vit_t_14")
def t2t_vit_t_14(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-t-14: full attention in its token blocks, 14 blocks of width 384, `attention` on the grid in each."""
    return _published("transformer", 384, 14, 3, width, attention, resolution, divisor)


@BACKBONES.register("t2t_vit_t_19")
def t2t_vit_t_19(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-t-19: full attention in its token blocks, 19 blocks of width 448, `attention` on the grid in each."""
    return _published("transformer", 448, 19, 3, width, attention, resolution, divisor)


@BACKBONES.register("t2t_vit_t_24")
def t2t_vit_t_24(
    width: float = 1.0, attention: Attention = NO_ATTENTION, resolution: int = 224, divisor: int = 8
) -> T2TArchitecture:
    """T2T-ViT-t-24: full attention in its token blocks, 24 blocks of width 512, `attention` on the grid in each."""
    return _published("transformer", 512, 24, 3, width, attention, resolution, divisor)
