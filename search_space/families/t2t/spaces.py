"""The search spaces of T2T-ViTs by name."""

from collections.abc import Iterable

from search_space.architecture import Attention
from search_space.families.t2t.space import T2TSpace
from search_space.parts import NO_ATTENTION
from search_space.spaces import CLASSES, SPACES

KINDS = ("convolution", "performer", "transformer")


def _gates(ratios: Iterable[int]) -> tuple[Attention, ...]:
    """No attention on the grid, or SE or CA with each of the ratios."""
    return (NO_ATTENTION, *(Attention(kind, ratio) for kind in ("se", "ca") for ratio in ratios))


@SPACES.register("t2t-32")
def t2t_32() -> T2TSpace:
    """For pictures of 32 pixels, about 10 to 40M MACs: 16 or 64 tokens, heads of 16 channels."""
    return T2TSpace(
        name="t2t-32",
        resolution=(32,),
        tokens=KINDS,
        kernel_size=(3, 5, 7),
        token_strides=((4, 2, 1), (2, 2, 2), (2, 2, 1), (2, 1, 2)),
        token_width=(8, 16, 24),
        width=(48, 64, 80),
        depth=(4, 5, 6, 7),
        heads=(2, 3, 4),
        expansion=(1, 2, 3),
        attention=_gates((4, 8)),
        head_width=16,
    )


@SPACES.register("t2t")
def t2t() -> T2TSpace:
    """For ImageNet at 224 pixels, around T2T-ViT-7 to 14: 196 tokens, heads of 64 channels."""
    return T2TSpace(
        name="t2t",
        resolution=(224,),
        tokens=("convolution", "performer"),
        kernel_size=(5, 7),
        token_strides=((4, 2, 2),),
        token_width=(32, 48, 64),
        width=(192, 256, 320, 384),
        depth=tuple(range(6, 15)),
        heads=(3, 4, 5, 6),
        expansion=(2, 3),
        attention=_gates((8, 16)),
        head_width=64,
    )


CLASSES["t2t-32"] = 10
