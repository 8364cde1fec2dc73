"""The costs of everything that a space can put at each link, as arrays: one architecture's cost is a few look-ups.

Cost is additive: a link's depends on its shape, the state before it, the size of its input, which the resolution and
the state decide, and on the option of each group of parts that decide together. So an architecture's cost is the sum of
one row for the stem, and for each link one for its shape and one for each group's option.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search_space.architecture import Architecture
from search_space.chain import Group, Link, Option, Shape, State
from search_space.cost.cost import Cost, costs_along, fixed_cost, piece_cost
from search_space.cost.latency import LatencyTable
from search_space.head import Head
from search_space.parts import Part, Slot
from search_space.space import SearchSpace

COLUMNS = tuple(field.name for field in fields(Cost))
"""The fields of Cost, in the order of a table's columns."""


Sides = tuple[int, ...]
"""The side of a map at every resolution of a space, in pixels."""


@dataclass(frozen=True, eq=False)
class OptionCosts:
    """What a group of parts may choose, and its costs: resolutions × options × columns."""

    options: tuple[Option, ...]
    costs: NDArray[np.int64]


class Outcomes(NamedTuple):
    """What may stand at a link after one state.

    Its shapes, the state after each, their costs without their groups' options, resolutions × shapes × columns, and
    what the groups of each may choose.
    """

    shapes: tuple[Shape, ...]
    after: tuple[State, ...]
    costs: NDArray[np.int64]
    groups: tuple[tuple[OptionCosts, ...], ...]


class _Place(NamedTuple):
    """Where a shape's costs stand among the table's rows, and those of its groups' options."""

    number: int
    groups: tuple[tuple[tuple[int, ...], dict[Option, int]], ...]  # (parts, rows by option)
    placeless: tuple[int, ...]


class CostTable:
    """The costs of a space's architectures with a head, with latencies if there is a table.

    Attributes:
        outcomes: of each link, by the state before it. Costs of what follows the last link are part of the last's.
        stem: cost of the stem, resolutions × columns.
    """

    def __init__(self, space: SearchSpace, head: Head, latency: LatencyTable | None = None):
        self.space = space
        self.head = head
        self.latency = latency
        self.outcomes: list[dict[State, Outcomes]] = []
        # Groups of the same channels and sizes share their costs.
        self._interned: dict[tuple[object, ...], OptionCosts] = {}
        self._passed: dict[tuple[tuple[Part, ...], Sides], tuple[NDArray[np.int64], Sides]] = {}
        fixed = fixed_cost(latency)
        stem, first = self._through(space.stem_parts, space.resolution)
        self.stem = stem + np.array(_row(fixed), dtype=np.int64)
        sides: dict[State, Sides] = {space.start: first}
        for index in range(len(space.programs)):
            later: dict[State, Sides] = {}
            self.outcomes.append({state: self._outcomes(index, state, own, later) for state, own in sides.items()})
            sides = later
        self._passed.clear()  # nothing after the outcomes asks for it
        self._resolutions = {resolution: row for row, resolution in enumerate(space.resolution)}
        # For look-ups: all costs in a row. The first is nothing's, for a group that a shape does not have.
        blocks = [np.zeros((len(space.resolution), 1, len(COLUMNS)), dtype=np.int64)]
        options: dict[OptionCosts, dict[Option, int]] = {}
        length = 1
        for known in self._interned.values():
            options[known] = {option: length + number for number, option in enumerate(known.options)}
            blocks.append(known.costs)
            length += len(known.options)
        self._rows: list[dict[tuple[State, Hashable], _Place]] = []
        for program, by_state in zip(space.programs, self.outcomes, strict=True):
            rows: dict[tuple[State, Hashable], _Place] = {}
            for state, outcomes in by_state.items():
                for number, (shape, costs) in enumerate(zip(outcomes.shapes, outcomes.groups, strict=True)):
                    own = (group.blocks for group in shape.groups)
                    placed = tuple(zip(own, (options[group] for group in costs), strict=True))
                    rows[state, program.key(shape.link)] = _Place(length + number, placed, shape.placeless)
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
        best: tuple[int, tuple[Link, ...], int] | None = None
        for row, resolution in enumerate(self.space.resolution):
            # Shortest path along the chain of links, by the state after each.
            start = sign * int(self.stem[row, column])
            paths: dict[State, tuple[int, tuple[Link, ...]]] = {self.space.start: (start, ())}
            for by_state in self.outcomes:
                longer: dict[State, tuple[int, tuple[Link, ...]]] = {}
                for state, (cost, links) in paths.items():
                    outcomes = by_state[state]
                    chosen_costs = [
                        sum(int((sign * group.costs[row, :, column]).min()) for group in groups)
                        for groups in outcomes.groups
                    ]
                    totals = cost + sign * outcomes.costs[row, :, column] + np.array(chosen_costs)
                    for after, here in _by_state(outcomes.after).items():
                        chosen = int(here[np.argmin(totals[here])])
                        total = int(totals[chosen])
                        if after not in longer or total < longer[after][0]:
                            options = [
                                group.options[int((sign * group.costs[row, :, column]).argmin())]
                                for group in outcomes.groups[chosen]
                            ]
                            longer[after] = (total, (*links, outcomes.shapes[chosen].chosen(options)))
                paths = longer
            for cost, links in paths.values():
                if best is None or cost < best[0]:
                    best = (cost, links, resolution)
        assert best is not None
        return self.space.architecture(best[2], best[1])

    def _numbers(self, architecture: Architecture) -> list[list[int]]:
        """The rows of each link: its shape's, then its groups'. Raises KeyError if the space does not hold it."""
        links = self.space.links(architecture)
        if links is None:
            raise KeyError(architecture)
        found = []
        state = self.space.start
        for program, rows, link in zip(self.space.programs, self._rows, links, strict=True):
            row = rows[state, program.key(link)]
            numbers = [row.number]
            chosen = program.options_of(link)
            for blocks, options in row.groups:
                own = [chosen[block] for block in blocks]
                if own.count(own[0]) != len(own):
                    raise KeyError(link)
                numbers.append(options[own[0]])
            if any(chosen[block] != program.nothing for block in row.placeless):
                raise KeyError(link)
            found.append(numbers)
            state = program.after(link)
        return found

    def _outcomes(self, index: int, state: State, sides: Sides, later: dict[State, Sides]) -> Outcomes:
        """The outcomes at a link whose input has these sides; adds the sides after it to `later`, by state."""
        program = self.space.programs[index]
        shapes = self.space.shapes(index, state)
        last = index == len(self.space.programs) - 1
        costs = []
        groups = []
        states = []
        for shape in shapes:
            parts = [part.telling(self.head.classes) for part in program.parts(shape.link, state)]
            inputs = [sides]
            total = np.zeros((len(sides), len(COLUMNS)), dtype=np.int64)
            for part in parts:
                own_costs, out = self._through((part,), inputs[-1])
                total += own_costs
                inputs.append(out)
            for tap in self.space.tap_parts(index, shape.link, state, self.head):
                total += self._through((tap,), sides)[0]
            after = program.after(shape.link)
            states.append(after)
            if later.setdefault(after, inputs[-1]) != inputs[-1]:
                raise ValueError(f"{program.name}: state {after} comes with several sizes; it has to tell them apart")
            if last:
                total += self._through(self.space.tail_parts(after, self.head), inputs[-1])[0]
            costs.append(total)
            own = []
            for group in shape.groups:
                seen = tuple(_slot(parts[number], inputs[number]) for number in group.blocks)
                own.append(self._option_costs(index, group, seen))
            groups.append(tuple(own))
        return Outcomes(shapes, tuple(states), np.array(costs).transpose(1, 0, 2), tuple(groups))

    def _through(self, parts: Sequence[Part], sides: Sides) -> tuple[NDArray[np.int64], Sides]:
        """The costs of parts one after the other at every resolution, and the sides after them."""
        key = (tuple(parts), sides)
        if key not in self._passed:
            costs, after = costs_along(parts, sides, self.latency)
            self._passed[key] = np.array([_row(cost) for cost in costs], dtype=np.int64), after
        return self._passed[key]

    def _option_costs(self, index: int, group: Group, seen: tuple[tuple[Slot, Sides], ...]) -> OptionCosts:
        """Of a group of parts whose slots are these, at these sizes, one for each resolution."""
        if (index, seen) not in self._interned:
            options = self.space.programs[index].options(group)
            costs = np.zeros((len(self.space.resolution), len(options), len(COLUMNS)), dtype=np.int64)
            for slot, sides in seen:
                for number, option in enumerate(options):
                    piece = slot.chosen(option)
                    costs[:, number] += [_row(piece_cost(piece, side, self.latency)) for side in sides]
            self._interned[index, seen] = OptionCosts(options, costs)
        return self._interned[index, seen]


def _slot(part: Part, sides: Sides) -> tuple[Slot, Sides]:
    """The slot of a part, and the side of its map for each side of the part's input."""
    for _, piece in part.pieces:
        if isinstance(piece, Slot):
            return piece, sides
        sides = tuple(piece.output_size(side) for side in sides)
    raise ValueError(f"{part} has no slot")


def _by_state(after: Sequence[State]) -> dict[State, NDArray[np.int64]]:
    """The positions of each state, the lowest state first."""
    found: dict[State, list[int]] = {}
    for number, state in enumerate(after):
        found.setdefault(state, []).append(number)
    return {state: np.array(found[state]) for state in sorted(found)}


def _row(cost: Cost) -> tuple[int, ...]:
    return tuple(getattr(cost, name) for name in COLUMNS)


@lru_cache(maxsize=16)
def cost_table(space: SearchSpace, head: Head, latency: LatencyTable | None = None) -> CostTable:
    """The (cached) table of a space's costs."""
    return CostTable(space, head, latency)
