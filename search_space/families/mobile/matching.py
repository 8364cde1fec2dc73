"""Which stages of two mobile networks stand for each other, where one has more of them than the other."""

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul

from search_space.families.mobile.architecture import MobileArchitecture, Stage

_ALONE = 8.0  # a stage that stands for none, beside |log2| of the widths' ratio of two that stand for each other


def can_match(theirs: MobileArchitecture, own: MobileArchitecture) -> bool:
    """Whether the networks have as many stages, or maps of the same sizes."""
    if len(theirs.stages) == len(own.stages):
        return True
    sizes = [
        {size for size, stage in zip(_maps(both), both.stages, strict=True) if stage.depth} for both in (theirs, own)
    ]
    return sizes[0] == sizes[1]


def matched(theirs: MobileArchitecture, own: MobileArchitecture) -> list[int | None]:
    """Of each stage of `own` the number of the one of `theirs` that it stands for; None for none.

    Of as many stages each stands for the one of its number. Else it is in order, among stages that leave maps of one
    size: as many of the same block and stride as there are, those of the nearest widths.
    """
    if len(theirs.stages) == len(own.stages):
        return list(range(len(own.stages)))
    found: list[int | None] = [None] * len(own.stages)
    for size in dict.fromkeys(_maps(own)):
        there, here = ([i for i, one in enumerate(_maps(both)) if one == size] for both in (theirs, own))
        pairs = _in_order([theirs.stages[i] for i in there], [own.stages[i] for i in here])
        for one, other in pairs:
            found[here[other]] = there[one]
    return found


def _maps(architecture: MobileArchitecture) -> list[int]:
    """The stride of each stage's map, were none dilated."""
    strides = [stage.stride for stage in architecture.stages]
    return list(accumulate(strides, mul, initial=architecture.stem_stride))[1:]


def _in_order(there: Sequence[Stage], here: Sequence[Stage]) -> list[tuple[int, int]]:
    """The cheapest pairs of stages in order."""
    # Of the first of either, the cost and the pairs.
    best: dict[tuple[int, int], tuple[float, list[tuple[int, int]]]] = {(0, 0): (0.0, [])}
    for one in range(len(there) + 1):
        for other in range(len(here) + 1):
            ways = []
            if one:
                cost, pairs = best[one - 1, other]
                ways.append((cost + _ALONE * (there[one - 1].depth > 0), pairs))
            if other:
                cost, pairs = best[one, other - 1]
                ways.append((cost + _ALONE * (here[other - 1].depth > 0), pairs))
            if one and other and _alike(there[one - 1], here[other - 1]):
                cost, pairs = best[one - 1, other - 1]
                apart = abs(math.log2(there[one - 1].width / here[other - 1].width))
                ways.append((cost + apart, [*pairs, (one - 1, other - 1)]))
            if ways:
                best[one, other] = min(ways, key=lambda way: way[0])
    return best[len(there), len(here)][1]


def _alike(there: Stage, here: Stage) -> bool:
    return there.depth > 0 and here.depth > 0 and (there.block, there.stride) == (here.block, here.stride)
