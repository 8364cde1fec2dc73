"""The costs of everything that a space can put at each stage, as arrays: one architecture's cost is a few look-ups.

Cost is additive along the chain of stages: a stage's depends on the stage itself, the width before it and the size of
its input, which the resolution decides. So a table over (resolution, stage, width before, outcome) costs every
architecture of the space.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search_space.architecture import Architecture, Stage
from search_space.blocks import stage_blocks, strided
from search_space.cost import Cost, fixed_cost, part_cost

if TYPE_CHECKING:
    from search_space.space import SearchSpace

COLUMNS = ("macs", "params", "elementwise", "latency_ns")
"""The fields of Cost, in the order of a table's columns."""

_FREE = (0,) * len(COLUMNS)


class Outcomes(NamedTuple):
    """What may stand at a stage after one input width, and its costs: resolutions × outcomes × columns."""

    stages: tuple[Stage, ...]
    widths: NDArray[np.int64]
    costs: NDArray[np.int64]


class CostTable:
    """The costs of a space's architectures with its number of classes.

    Attributes:
        outcomes: of each stage, by the width before it. Costs of head and classifier are part of the last stage's.
        stem: cost of the stem, resolutions × columns.
    """

    def __init__(self, space: "SearchSpace"):
        self.space = space
        self.outcomes: list[dict[int, Outcomes]] = []
        sizes = [strided(resolution, space.stem_stride) for resolution in space.resolution]
        widths: Sequence[int] = (space.stem_width,)
        for index, options in enumerate(space.stages):
            self.outcomes.append({width: self._outcomes(index, width, sizes) for width in widths})
            sizes = [strided(size, options.stride) for size in sizes]
            widths = tuple(dict.fromkeys(options.width))
        fixed = fixed_cost(space.latency)
        self.stem = np.array(
            [_row(fixed + part_cost(space.stem_part, resolution, space.latency)) for resolution in space.resolution]
        )
        self._resolutions = {resolution: row for row, resolution in enumerate(space.resolution)}
        # For look-ups: the number of a stage's outcome, counted on over the widths before it, and all costs in a row.
        self._numbers: list[dict[tuple[int, Stage], int]] = []
        self._costs: list[NDArray[np.int64]] = []
        self._plain: list[list[list[list[int]]]] = []
        for by_width in self.outcomes:
            keys = [(width, stage) for width, outcomes in by_width.items() for stage in outcomes.stages]
            self._numbers.append({key: number for number, key in enumerate(keys)})
            self._costs.append(np.concatenate([outcomes.costs for outcomes in by_width.values()], axis=1))
            self._plain.append(self._costs[-1].tolist())

    def encode(self, architecture: Architecture) -> tuple[int, ...]:
        """The architecture as the number of its resolution and of each stage's outcome.

        Raises KeyError if the space does not hold it.
        """
        code = [self._resolutions[architecture.resolution]]
        width = self.space.stem_width
        for numbers, stage in zip(self._numbers, architecture.stages, strict=True):
            code.append(numbers[width, stage])
            width = stage.width
        return tuple(code)

    def costs(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Costs of encoded architectures: N×(1 + stages) to N×columns."""
        resolution = codes[:, 0]
        total: NDArray[np.int64] = self.stem[resolution]
        for index, costs in enumerate(self._costs):
            total = total + costs[resolution, codes[:, index + 1]]
        return total

    def cost(self, architecture: Architecture) -> Cost:
        """The architecture's cost. Raises KeyError if the space does not hold it."""
        row = self._resolutions[architecture.resolution]
        total = self.stem[row].tolist()
        width = self.space.stem_width
        for numbers, plain, stage in zip(self._numbers, self._plain, architecture.stages, strict=True):
            total = [sum_ + more for sum_, more in zip(total, plain[row][numbers[width, stage]], strict=True)]
            width = stage.width
        return Cost(*total)

    def _outcomes(self, index: int, in_width: int, sizes: Sequence[int]) -> Outcomes:
        space = self.space
        stages = space.stage_outcomes(index, in_width)
        last = index == len(space.stages) - 1
        # A stage's blocks after the first are mostly alike: each is looked up once.
        blocks = [Counter(stage_blocks(stage, in_width, space.activation)) for stage in stages]
        costs = []
        for first_size in sizes:
            later_size = strided(first_size, space.stages[index].stride)
            fixed = {stage.width: _tail(space, stage.width, later_size) for stage in stages} if last else {}
            rows = []
            for stage, parts in zip(stages, blocks, strict=True):
                total = fixed.get(stage.width, _FREE)
                first = True
                for part, count in parts.items():
                    one = part_cost(part, first_size if first else later_size, space.latency)
                    # A first block equal to later ones has their size as well: its stride is 1.
                    total = tuple(sum_ + count * more for sum_, more in zip(total, _row(one), strict=True))
                    first = False
                rows.append(total)
            costs.append(rows)
        return Outcomes(stages, np.array([stage.width for stage in stages]), np.array(costs, dtype=np.int64))


def _tail(space: "SearchSpace", width: int, size: int) -> tuple[int, ...]:
    """Cost of head and classifier after a last stage of `width` channels."""
    total = Cost()
    for part in space.tail_parts(width):
        total += part_cost(part, size, space.latency)
    return _row(total)


def _row(cost: Cost) -> tuple[int, ...]:
    return cost.macs, cost.params, cost.elementwise, cost.latency_ns
