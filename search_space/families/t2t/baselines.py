"""T2T-ViTs to compare a found one with: one attention on the grid of every block, at the same cost."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from search_space.architecture import Architecture, Attention
from search_space.baselines import COMPARED, Off, at_cost
from search_space.families.t2t.architecture import MOST_HEADS, T2TArchitecture, TransformerBlock
from search_space.families.t2t.space import T2TSpace
from search_space.hand_designed import COMPARED_ATTENTIONS
from search_space.parts import NO_ATTENTION
from search_space.rounding import divisible


def uniform(space: T2TSpace, attention: Attention) -> T2TArchitecture:
    """The space's middle network with one attention in every block, in the published manner.

    Performers with the largest first kernel, and the strides that leave most tokens, where the space offers them.
    """
    block = TransformerBlock(_middle(space.heads), _middle(space.expansion), attention)
    return T2TArchitecture(
        resolution=_middle(space.resolution),
        tokens="performer" if "performer" in space.tokens else space.tokens[0],
        kernel_size=max(space.kernel_size),
        token_strides=min(space.token_strides, key=prod),
        token_width=_middle(space.token_width),
        width=_middle(space.width),
        head_width=space.head_width,
        table_width=space.table_width,
        blocks=(block,) * _middle(space.depth),
    )


def widened(architecture: T2TArchitecture, width: float, divisor: int) -> T2TArchitecture:
    """The architecture with the width and the heads of all blocks times `width`, one head at least."""
    own = divisible(architecture.width * width, divisor)
    blocks = tuple(replace(block, heads=max(1, round(block.heads * width))) for block in architecture.blocks)
    return replace(architecture, width=own, table_width=max(own, architecture.table_width), blocks=blocks)


def nudged(architecture: T2TArchitecture) -> Iterator[T2TArchitecture]:
    """The architecture with tokens a channel wider or narrower, or one block with a head more or fewer."""
    for width in (architecture.width - 1, architecture.width + 1):
        if width >= 1:
            yield replace(architecture, width=width, table_width=max(width, architecture.table_width))
    for index, block in enumerate(architecture.blocks):
        for heads in (block.heads - 1, block.heads + 1):
            if 1 <= heads <= MOST_HEADS:
                yield replace(architecture, blocks=_with(architecture, index, replace(block, heads=heads)))


def nudged_within(space: T2TSpace, architecture: T2TArchitecture) -> Iterator[T2TArchitecture]:
    """The architecture with the next option that the space offers, up or down, for a width, the depth or a block."""
    for name in ("token_width", "width"):
        for value in _next(getattr(space, name), getattr(architecture, name)):
            changed: dict[str, Any] = {name: value}
            yield replace(architecture, **changed)
    for depth in _next(space.depth, architecture.depth):
        yield replace(architecture, blocks=architecture.blocks[:1] * depth)
    for index, block in enumerate(architecture.blocks):
        for name in ("heads", "expansion"):
            for value in _next(getattr(space, name), getattr(block, name)):
                changed = {name: value}
                yield replace(architecture, blocks=_with(architecture, index, replace(block, **changed)))


@COMPARED.register("t2t")
def compared(
    architecture: T2TArchitecture,
    space: T2TSpace | None,
    off: Off,
    every_ratio: bool = False,
    own_options: bool = False,
) -> dict[str, Architecture]:
    """The networks to compare `architecture` with, by name, each of the cost that is aimed at.

    They have the space's middle widths, heads, expansions and depth; without a space, the architecture's own.

    Args:
        own_options: whether each has to be of the space.
    """
    found: dict[str, Architecture] = {}
    for attention in _attentions(space, every_ratio):
        if space is None:
            blocks = tuple(replace(block, attention=attention) for block in architecture.blocks)
            base = replace(architecture, blocks=blocks)
        else:
            base = uniform(space, attention)

        def make(width: float, divisor: int, base: T2TArchitecture = base) -> T2TArchitecture:
            if space is None or not own_options:
                return widened(base, width, divisor)
            return replace(base, width=min(space.width, key=lambda own: abs(own - base.width * width)))

        def near(one: T2TArchitecture) -> Iterator[T2TArchitecture]:
            return nudged(one) if space is None or not own_options else nudged_within(space, one)

        name = "uniform none" if attention == NO_ATTENTION else f"uniform {attention.label}"
        found[name] = at_cost(make, off, near, most=own_options)
    return found


def _attentions(space: T2TSpace | None, every_ratio: bool) -> list[Attention]:
    """None, and of each kind that the space offers the middle ratio, or every one; else what the CA paper compares."""
    if space is None:
        return list(COMPARED_ATTENTIONS.values())
    chosen = [NO_ATTENTION]
    for kind in dict.fromkeys(attention.kind for attention in space.attention if attention != NO_ATTENTION):
        own = sorted((one for one in space.attention if one.kind == kind), key=lambda one: one.reduction or 0)
        chosen += own if every_ratio else [own[(len(own) - 1) // 2]]
    return chosen


def _middle(options: Sequence[int]) -> int:
    return sorted(options)[(len(options) - 1) // 2]


def _next(options: Sequence[int], own: int) -> list[int]:
    """The options on either side of one of them."""
    values = sorted(options)
    at = values.index(own)
    return [value for value in values[max(0, at - 1) : at + 2] if value != own]


def _with(architecture: T2TArchitecture, index: int, block: TransformerBlock) -> tuple[TransformerBlock, ...]:
    return (*architecture.blocks[:index], block, *architecture.blocks[index + 1 :])
