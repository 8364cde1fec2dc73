"""Which blocks of two mobile networks stand for each other, where they do not come in the same stages."""

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import NamedTuple

from search_space.families.mobile.architecture import MobileArchitecture, Stage

_ALONE = 8.0  # a block that stands for none, beside |log2| of the widths' ratio of two that stand for each other
_KERNEL = 0.25  # beside that, for each depthwise convolution that only one of them has


class Place(NamedTuple):
    """A block's stage and its number there."""

    stage: int
    number: int


class _Placed(NamedTuple):
    place: Place
    stage: Stage
    stride: int


def can_match(theirs: MobileArchitecture, own: MobileArchitecture) -> bool:
    """Whether the networks have as many stages, or maps of the same sizes."""
    return len(theirs.stages) == len(own.stages) or _by_map(theirs).keys() == _by_map(own).keys()


def matched(theirs: MobileArchitecture, own: MobileArchitecture) -> dict[Place, Place]:
    """Of blocks of `own` that of `theirs` that each stands for.

    Of as many stages each block stands for the one of its place. Else it is in order, among blocks that leave maps of
    one size: as many of the same sort and stride as there are, those of the nearest widths and kernels.
    """
    found: dict[Place, Place] = {}
    if len(theirs.stages) == len(own.stages):
        for index, (one, other) in enumerate(zip(theirs.stages, own.stages, strict=True)):
            found |= {Place(index, number): Place(index, number) for number in range(min(one.depth, other.depth))}
        return found
    there, here = _by_map(theirs), _by_map(own)
    for size in here:
        found |= _in_order(there[size], here[size])
    return found


def _by_map(architecture: MobileArchitecture) -> dict[int, list[_Placed]]:
    """The blocks by the stride of the map that they leave, were none dilated."""
    strides = [stage.stride for stage in architecture.stages]
    sizes = list(accumulate(strides, mul, initial=architecture.stem_stride))[1:]
    found: dict[int, list[_Placed]] = {}
    for index, (size, stage) in enumerate(zip(sizes, architecture.stages, strict=True)):
        for number in range(stage.depth):
            placed = _Placed(Place(index, number), stage, 1 if number else stage.stride)
            found.setdefault(size, []).append(placed)
    return found


def _in_order(there: Sequence[_Placed], here: Sequence[_Placed]) -> dict[Place, Place]:
    """The cheapest pairs of blocks in order."""
    # Of the first of either, the cost and the pairs.
    best: dict[tuple[int, int], tuple[float, dict[Place, Place]]] = {(0, 0): (0.0, {})}
    for one in range(len(there) + 1):
        for other in range(len(here) + 1):
            ways = []
            if one:
                cost, pairs = best[one - 1, other]
                ways.append((cost + _ALONE, pairs))
            if other:
                cost, pairs = best[one, other - 1]
                ways.append((cost + _ALONE, pairs))
            if one and other and _alike(there[one - 1], here[other - 1]):
                cost, pairs = best[one - 1, other - 1]
                apart = _apart(there[one - 1].stage, here[other - 1].stage)
                ways.append((cost + apart, {**pairs, here[other - 1].place: there[one - 1].place}))
            if ways:
                best[one, other] = min(ways, key=lambda way: way[0])
    return best[len(there), len(here)][1]


def _alike(there: _Placed, here: _Placed) -> bool:
    return (there.stage.block, there.stride) == (here.stage.block, here.stride)


def _apart(there: Stage, here: Stage) -> float:
    kernels = (there.kernel_size, here.kernel_size), (there.start_kernel_size, here.start_kernel_size)
    alone = sum(bool(one) != bool(other) for one, other in kernels)
    return abs(math.log2(there.width / here.width)) + _KERNEL * alone
