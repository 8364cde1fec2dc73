"""The costs of everything that a space can put at each stage, as arrays: one architecture's cost is a few look-ups.

Cost is additive: a stage's depends on its shape, the width before it, the size of its input, which the resolution
decides, and on the attention of each group of blocks that decide together. So an architecture's cost is the sum of one
row for the stem, and for each stage one for its shape and one for each group's attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search_space.architecture import Architecture, Attention, Stage
from search_space.blocks import NO_ATTENTION, AttentionPart, BlockPart, stage_blocks, strided
from search_space.cost.cost import Cost, fixed_cost, part_cost, piece_cost
from search_space.cost.latency import LatencyTable
from search_space.space import SearchSpace
from search_space.stage_program import Group, Shape

COLUMNS = tuple(field.name for field in fields(Cost))
"""The fields of Cost, in the order of a table's columns."""


_FIXED = ("stem_width", "stem_stride", "head_width", "activation")


@dataclass(frozen=True, eq=False)
class AttentionCosts:
    """What a group of blocks may have as its attention, and its costs: resolutions × options × columns."""

    options: tuple[Attention, ...]
    costs: NDArray[np.int64]


class Outcomes(NamedTuple):
    """What may stand at a stage after one input width.

    Its shapes and their costs without attention, resolutions × shapes × columns, and what the groups of each may have.
    """

    shapes: tuple[Shape, ...]
    widths: NDArray[np.int64]
    costs: NDArray[np.int64]
    groups: tuple[tuple[AttentionCosts, ...], ...]


class _Row(NamedTuple):
    """Where a shape's costs stand among the table's rows, and those of its groups' attentions."""

    number: int
    groups: tuple[tuple[tuple[int, ...], dict[Attention, int]], ...]  # (blocks, rows by attention)
    placeless: tuple[int, ...]


class CostTable:
    """The costs of a space's architectures with a classifier of so many classes, with latencies if there is a table.

    Attributes:
        outcomes: of each stage, by the width before it. Costs of head and classifier are part of the last stage's.
        stem: cost of the stem, resolutions × columns.
    """

    def __init__(self, space: SearchSpace, num_classes: int, latency: LatencyTable | None = None):
        self.space = space
        self.num_classes = num_classes
        self.latency = latency
        self.outcomes: list[dict[int, Outcomes]] = []
        # Groups of the same channels and sizes share their costs.
        self._interned: dict[tuple[object, ...], AttentionCosts] = {}
        sizes = [strided(resolution, space.stem_stride) for resolution in space.resolution]
        widths: Sequence[int] = (space.stem_width,)
        for index, options in enumerate(space.stages):
            self.outcomes.append({width: self._outcomes(index, width, sizes) for width in widths})
            sizes = [strided(size, options.stride) for size in sizes]
            widths = options.width
        fixed = fixed_cost(latency)
        self.stem = np.array(
            [_row(fixed + part_cost(space.stem_part, resolution, latency)) for resolution in space.resolution]
        )
        self._resolutions = {resolution: row for row, resolution in enumerate(space.resolution)}
        # For look-ups: all costs in a row. The first is nothing's, for a group that a shape does not have.
        blocks = [np.zeros((len(space.resolution), 1, len(COLUMNS)), dtype=np.int64)]
        attentions: dict[AttentionCosts, dict[Attention, int]] = {}
        length = 1
        for known in self._interned.values():
            attentions[known] = {option: length + number for number, option in enumerate(known.options)}
            blocks.append(known.costs)
            length += len(known.options)
        self._rows: list[dict[tuple[object, ...], _Row]] = []
        for by_width in self.outcomes:
            rows: dict[tuple[object, ...], _Row] = {}
            for width, outcomes in by_width.items():
                for number, (shape, costs) in enumerate(zip(outcomes.shapes, outcomes.groups, strict=True)):
                    own = (group.blocks for group in shape.groups)
                    placed = tuple(zip(own, (attentions[group] for group in costs), strict=True))
                    rows[_key(width, shape.stage)] = _Row(length + number, placed, shape.placeless)
                blocks.append(outcomes.costs)
                length += len(outcomes.shapes)
            self._rows.append(rows)
        self._plain = np.concatenate(blocks, axis=1).tolist()

    def cost(self, architecture: Architecture) -> Cost:
        """The architecture's cost. Raises KeyError if the space does not hold it."""
        row = self._resolutions[architecture.resolution]
        plain = self._plain[row]
        rows = [plain[number] for numbers in self._numbers(architecture) for number in numbers]
        return Cost(*map(sum, zip(self.stem[row].tolist(), *rows, strict=True)))

    def cheapest(self, column_name: str, sign: int = 1) -> Architecture:
        """The architecture of the lowest (`sign=-1`: highest) cost in a column."""
        column = COLUMNS.index(column_name)
        best: tuple[int, tuple[Stage, ...], int] | None = None
        for row, resolution in enumerate(self.space.resolution):
            # Shortest path along the chain of stages, by output width.
            start = sign * int(self.stem[row, column])
            paths: dict[int, tuple[int, tuple[Stage, ...]]] = {self.space.stem_width: (start, ())}
            for by_width in self.outcomes:
                longer: dict[int, tuple[int, tuple[Stage, ...]]] = {}
                for width, (cost, stages) in paths.items():
                    outcomes = by_width[width]
                    attention = [
                        sum(int((sign * group.costs[row, :, column]).min()) for group in groups)
                        for groups in outcomes.groups
                    ]
                    totals = cost + sign * outcomes.costs[row, :, column] + np.array(attention)
                    for out_width in np.unique(outcomes.widths).tolist():
                        here = np.flatnonzero(outcomes.widths == out_width)
                        chosen = int(here[np.argmin(totals[here])])
                        total = int(totals[chosen])
                        if out_width not in longer or total < longer[out_width][0]:
                            options = [
                                group.options[int((sign * group.costs[row, :, column]).argmin())]
                                for group in outcomes.groups[chosen]
                            ]
                            longer[out_width] = (total, (*stages, outcomes.shapes[chosen].attended(options)))
                paths = longer
            for cost, stages in paths.values():
                if best is None or cost < best[0]:
                    best = (cost, stages, resolution)
        assert best is not None
        return self.space.architecture(best[2], best[1])

    def _numbers(self, architecture: Architecture) -> list[list[int]]:
        """The rows of each stage: its shape's, then its groups'. Raises KeyError if the space does not hold it."""
        if any(getattr(architecture, name) != getattr(self.space, name) for name in _FIXED):
            raise KeyError(architecture)
        found = []
        width = self.space.stem_width
        for rows, stage in zip(self._rows, architecture.stages, strict=True):
            row = rows[_key(width, stage)]
            numbers = [row.number]
            for blocks, attentions in row.groups:
                own = [stage.attention[block] for block in blocks]
                if own.count(own[0]) != len(own):
                    raise KeyError(stage)
                numbers.append(attentions[own[0]])
            if any(stage.attention[block] != NO_ATTENTION for block in row.placeless):
                raise KeyError(stage)
            found.append(numbers)
            width = stage.width
        return found

    def _outcomes(self, index: int, in_width: int, sizes: Sequence[int]) -> Outcomes:
        space = self.space
        shapes = space.stage_shapes(index, in_width)
        later_sizes = [strided(size, space.stages[index].stride) for size in sizes]
        last = index == len(space.stages) - 1
        costs = []
        groups = []
        for shape in shapes:
            parts = stage_blocks(shape.stage, in_width, space.activation)
            rows = []
            for first_size, later_size in zip(sizes, later_sizes, strict=True):
                total = np.array(_row(part_cost(parts[0], first_size, self.latency)))
                if len(parts) > 1:  # without attention, all after the first are alike
                    total += (len(parts) - 1) * np.array(_row(part_cost(parts[1], later_size, self.latency)))
                if last:
                    total += self._tail(shape.stage.width, later_size)
                rows.append(total)
            costs.append(rows)
            own = []
            for group in shape.groups:
                seen = tuple(_attention_seen(parts[j], sizes if j == 0 else later_sizes) for j in group.blocks)
                own.append(self._attention_costs(index, group, seen))
            groups.append(tuple(own))
        return Outcomes(
            shapes,
            np.array([shape.stage.width for shape in shapes]),
            np.array(costs, dtype=np.int64).transpose(1, 0, 2),
            tuple(groups),
        )

    def _attention_costs(
        self, index: int, group: Group, seen: tuple[tuple[AttentionPart, tuple[int, ...]], ...]
    ) -> AttentionCosts:
        """Of a group of blocks in which attention sees these parts at these sizes, one for each resolution."""
        if (index, seen) not in self._interned:
            options = self.space.programs[index].attentions(group)
            costs = np.zeros((len(self.space.resolution), len(options), len(COLUMNS)), dtype=np.int64)
            for part, sizes in seen:
                for number, attention in enumerate(options):
                    piece = replace(part, attention=attention)
                    costs[:, number] += [_row(piece_cost(piece, size, self.latency)) for size in sizes]
            self._interned[index, seen] = AttentionCosts(options, costs)
        return self._interned[index, seen]

    def _tail(self, width: int, size: int) -> tuple[int, ...]:
        """Cost of head and classifier after a last stage of `width` channels."""
        total = Cost()
        for part in self.space.tail_parts(width, self.num_classes):
            total += part_cost(part, size, self.latency)
        return _row(total)


def _attention_seen(part: BlockPart, sizes: Sequence[int]) -> tuple[AttentionPart, tuple[int, ...]]:
    """What stands for attention in a block, and the size of its map for each size of the block's input."""
    seen = list(sizes)
    for _, piece in part.pieces:
        if isinstance(piece, AttentionPart):
            return piece, tuple(seen)
        seen = [piece.output_size(size) for size in seen]
    raise ValueError(f"{part} has no place for attention")


def _key(in_width: int, stage: Stage) -> tuple[object, ...]:
    """What tells a stage's shape apart after a width."""
    return in_width, stage.block, stage.width, stage.stride, stage.expansion, stage.kernel_size, stage.depth


def _row(cost: Cost) -> tuple[int, ...]:
    return tuple(getattr(cost, name) for name in COLUMNS)


@lru_cache(maxsize=16)
def cost_table(space: SearchSpace, num_classes: int, latency: LatencyTable | None = None) -> CostTable:
    """The (cached) table of a space's costs."""
    return CostTable(space, num_classes, latency)
