"""The named search spaces."""

from collections.abc import Callable

from search_space.architecture import Attention
from search_space.backbones import MOBILENETV2
from search_space.blocks import NO_ATTENTION
from search_space.errors import InputError
from search_space.space import SearchSpace, StageOptions


def _every_attention(ratios: tuple[int, ...]) -> tuple[Attention, ...]:
    return (NO_ATTENTION, *(Attention(kind, ratio) for kind in ("se", "ca") for ratio in ratios))


def mobilenetv2() -> SearchSpace:
    """MobileNetV2 for ImageNet: attention, kernel, expansion, depth and width at every stage, and the resolution."""
    stages = []
    for row in MOBILENETV2:
        expands = row.expansion > 1
        depth = row.depth
        stages.append(
            StageOptions(
                block="inverted_residual",
                stride=row.stride,
                width=tuple(sorted({max(8, int(row.width * factor) // 8 * 8) for factor in (0.75, 1.0, 1.25)})),
                depth=tuple(sorted({max(1, depth - 1), depth, depth + 1})) if expands else (1,),
                expansion=(3, 4, 6) if expands else (1,),
                kernel_size=(3, 5, 7) if expands else (3,),
                attention=_every_attention((8, 16, 32)) if expands else (NO_ATTENTION,),
            )
        )
    return SearchSpace(
        name="mobilenetv2",
        resolution=(160, 192, 224, 256),
        stem_width=32,
        stem_stride=2,
        stages=tuple(stages),
        head_width=1280,
        activation="relu6",
    )


def mobilenetv2_32() -> SearchSpace:
    """A small MobileNetV2 for 32×32 pictures.

    Its total stride of 4 leaves an 8×8 map, where attention still sees positions, and a view narrow enough that a
    shallow network of small kernels does not see from border to border without it.
    """
    rows = (((8, 12), 2), ((12, 16), 1), ((16, 20), 1), ((20, 24), 1), ((24, 32), 1))
    stages = tuple(
        StageOptions(
            block="inverted_residual",
            stride=stride,
            width=widths,
            depth=(1, 2),
            expansion=(2, 3, 4),
            kernel_size=(3, 5),
            attention=_every_attention((4, 8, 16)),
        )
        for widths, stride in rows
    )
    return SearchSpace(
        name="mobilenetv2-32",
        resolution=(32,),
        stem_width=8,
        stem_stride=2,
        stages=stages,
        head_width=128,
        activation="relu6",
        num_classes=10,
    )


SPACES: dict[str, Callable[[], SearchSpace]] = {"mobilenetv2": mobilenetv2, "mobilenetv2-32": mobilenetv2_32}


def named_space(name: str) -> SearchSpace:
    """The space of that name. Raises InputError for an unknown one."""
    if name not in SPACES:
        raise InputError(f"--space {name}: unknown; known: {', '.join(SPACES)}")
    return SPACES[name]()
