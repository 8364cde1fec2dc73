"""What may stand at a stage, by its cost in buckets: counted as a histogram, drawn by rank within a bucket.

A stage's outcomes are its shapes, each with every combination of what its groups of blocks may have as attention. Those
are too many to list where each block has its own, so only a head is: a shape with its first group's attention. The
other groups are a `Rest`: the ways to choose their attentions, by cost.
"""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search_space.chain import Link, Option, Shape, State
from search_space.cost.cost_table import OptionCosts, Outcomes
from search_space.cost.exact_counts import WORD_BITS, Counts, integer


class Heads:
    """The heads after one input width at one resolution, and their costs in some of the columns.

    A head's cost takes the rest at its cheapest, column by column; the rest's are counted above that.

    Attributes:
        costs: heads × columns.
        chosen: of each head, the shape's number and the first group's option.
        rests: of each shape, the groups after the first.
    """

    def __init__(self, outcomes: Outcomes, row: int, columns: Sequence[int]):
        self.shapes = outcomes.shapes
        self.after = outcomes.after
        self.firsts = [groups[0].options if groups else () for groups in outcomes.groups]
        self.rests = [groups[1:] for groups in outcomes.groups]
        self.row = row
        self.columns = list(columns)
        self.chosen: list[tuple[int, int]] = []
        costs = []
        base = outcomes.costs[row][:, self.columns]
        for number, groups in enumerate(outcomes.groups):
            shape = base[number] + sum(self._all(rest).min(0) for rest in groups[1:])
            costs.append(shape + self._all(groups[0]) if groups else shape[None])
            self.chosen += [(number, option) for option in range(len(costs[-1]))]
        self.costs = np.concatenate(costs)

    def _all(self, group: OptionCosts) -> NDArray[np.int64]:
        return group.costs[self.row][:, self.columns]

    def above(self, group: OptionCosts) -> NDArray[np.int64]:
        """Costs of a group's options above its cheapest, options × columns."""
        costs = self._all(group)
        return costs - costs.min(0)

    @cached_property
    def dearest(self) -> NDArray[np.int64]:
        """The most that an outcome costs, by column."""
        rests = [sum((self.above(group).max(0) for group in rest), np.zeros_like(self.costs[0])) for rest in self.rests]
        return (self.costs + np.array(rests)[[number for number, _ in self.chosen]]).max(0)

    @property
    def roundings(self) -> int:
        """How many costs of an outcome are rounded down to buckets."""
        return 1 + max(len(rest) for rest in self.rests)

    @property
    def addends(self) -> NDArray[np.int64]:
        """Every number that an outcome's cost is a sum of, by column."""
        groups = dict.fromkeys(group for rest in self.rests for group in rest)
        return np.concatenate([self.costs, *(self.above(group) for group in groups)])


@dataclass(frozen=True)
class Scale:
    """Costs in several columns as one number of joint buckets: its digits are the numbers of buckets.

    Attributes:
        bucket: what a bucket is, by column.
        shape: the numbers of buckets that remain at first, and one, by column.
    """

    bucket: NDArray[np.int64]
    shape: NDArray[np.int64]

    @cached_property
    def bases(self) -> NDArray[np.int64]:
        """The digits' bases. All but the first are twice as large as a digit gets."""
        return np.concatenate([self.shape[:1], 2 * self.shape[1:]])

    @cached_property
    def strides(self) -> NDArray[np.int64]:
        """What a digit counts."""
        return np.array([int(np.prod(self.bases[axis + 1 :])) for axis in range(len(self.bases))], dtype=np.int64)

    @cached_property
    def size(self) -> int:
        """One more than the largest joint number."""
        return int(np.prod(self.bases))

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Which joint numbers have no digit in the upper half of its base."""
        numbers = np.arange(self.size)
        valid = np.ones(self.size, dtype=bool)
        for axis in range(1, len(self.bases)):
            valid &= numbers // self.strides[axis] % self.bases[axis] < self.shape[axis]
        return valid

    def joint(self, costs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The joint numbers of costs, N×columns to N; -1 for what is more than remains."""
        digits = costs // self.bucket
        return np.where((digits < self.shape).all(1), digits @ self.strides, -1)

    def histogram(
        self, ones: NDArray[np.int64], others: NDArray[np.int64], ways: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How often each joint number is the sum of one and another, of which there are so many `ways`."""
        if not len(ways):  # nothing fits into what remains
            return np.zeros(self.size, dtype=np.int64)
        sums = (ones[ones >= 0][:, None] + others).ravel()
        weights = np.broadcast_to(ways, (len(sums) // len(ways), len(ways))).ravel()
        fits = sums < self.size
        # In floating point, but below 2^53: a space has fewer outcomes at any stage.
        return np.bincount(sums[fits], weights[fits], self.size).astype(np.int64) * self.valid


@dataclass(frozen=True, eq=False)
class Rest:
    """The ways in which some groups of blocks get their attention, by cost in joint buckets."""

    ways: dict[int, int]
    options: tuple[Option, ...] = ()  # of the first group
    spent: tuple[int, ...] = ()  # by each option
    after: "Rest | None" = None  # the groups after the first

    @cached_property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The costs, and the ways."""
        return np.array(list(self.ways), dtype=np.int64), np.array(list(self.ways.values()), dtype=np.int64)

    def at(self, buckets: int, rank: int) -> list[Option]:
        """Of the ways that cost so much, the one of that rank: an attention for each group."""
        found = []
        rest = self
        while rest.after is not None:
            left = [buckets - spent if spent >= 0 else -1 for spent in rest.spent]
            option, rank = _ranked(map(rest.after.ways.get, left), rank)
            found.append(rest.options[option])
            buckets, rest = left[option], rest.after
        return found


class Rests:
    """Makes the rests of one resolution, each once."""

    def __init__(self, scale: Scale):
        self.scale = scale
        self._made: dict[tuple[OptionCosts, ...], Rest] = {(): Rest({0: 1})}

    def rest(self, heads: Heads, groups: tuple[OptionCosts, ...]) -> Rest:
        """The rest of these groups."""
        if groups not in self._made:
            after = self.rest(heads, groups[1:])
            spent = self.scale.joint(heads.above(groups[0]))
            histogram = self.scale.histogram(spent, *after.arrays)
            here = np.flatnonzero(histogram)
            ways = dict(zip(here.tolist(), histogram[here].tolist(), strict=True))
            self._made[groups] = Rest(ways, groups[0].options, tuple(spent.tolist()), after)
        return self._made[groups]


class Moves:
    """The outcomes of a stage after one input width, at one resolution.

    Attributes:
        states: the states after it, ascending.
    """

    def __init__(self, heads: Heads, rests: Rests):
        self._scale = rests.scale
        spent = self._scale.joint(heads.costs)
        together: dict[State, dict[Rest, list[int]]] = {}
        for index, (number, _) in enumerate(heads.chosen):
            rest = rests.rest(heads, heads.rests[number])
            together.setdefault(heads.after[number], {}).setdefault(rest, []).append(index)
        self.states = tuple(sorted(together))
        histograms = np.zeros((len(self.states), self._scale.size), dtype=np.int64)
        for histogram, state in zip(histograms, self.states, strict=True):
            for rest, indexes in together[state].items():
                histogram += self._scale.histogram(spent[indexes], *rest.arrays)
        # Of each width, the numbers of joint buckets that outcomes cost, and how many cost so much.
        self._column, self._spent = np.nonzero(histograms)
        ways = histograms[self._column, self._spent]
        # Sums of ways × words stay below 2^63, or are of Python's integers.
        self._ways = ways if ways.sum() < 1 << (62 - WORD_BITS) else ways.astype(object)
        self._heads = [self._sorted(heads, spent, together[state]) for state in self.states]

    @staticmethod
    def _sorted(
        heads: Heads, spent: NDArray[np.int64], indexes: dict[Rest, list[int]]
    ) -> tuple[list[int], list[tuple[Shape, tuple[Option, ...], Rest]], int]:
        """Some heads' costs in ascending order, the heads, and the most that a rest of theirs costs."""
        listed = [(int(spent[index]), index, rest) for rest, own in indexes.items() for index in own]
        listed.sort(key=lambda entry: entry[:2])
        fitting = [entry for entry in listed if entry[0] >= 0]
        found = []
        for _, index, rest in fitting:
            number, option = heads.chosen[index]
            found.append((heads.shapes[number], heads.firsts[number][option : option + 1], rest))
        return [cost for cost, _, _ in fitting], found, max((max(rest.ways, default=0) for rest in indexes), default=0)

    def histograms(self) -> dict[State, NDArray[np.int64]]:
        """By output width, how many outcomes cost each number of joint buckets."""
        found = np.zeros((len(self.states), self._scale.size), dtype=np.int64)
        found[self._column, self._spent] = self._ways
        return dict(zip(self.states, found, strict=True))

    def at(self, ticket: int, remaining: int, after: Counts) -> tuple[Link, int, int]:
        """Of all ways to go on from here within `remaining` joint buckets, the stage of the one of that number.

        `after` counts the ways to go on after it. Returns also what the stage costs, and the number of the way among
        those after it.
        """
        # The states after this one are some of those that there are.
        words = after.words[:, after.starts(self.states)[self._column] + (remaining - self._spent)]
        # An outcome that does not fit reads some other number, times zero.
        below = np.cumsum(words * (self._ways * (self._spent <= remaining)), axis=1)
        chosen = bisect.bisect_right(range(len(self._spent)), ticket, key=lambda index: integer(below[:, index]))
        if chosen:
            ticket -= integer(below[:, chosen - 1])
        rank, ticket = divmod(ticket, integer(words[:, chosen]))
        spent = int(self._spent[chosen])
        costs, heads, reach = self._heads[self._column[chosen]]
        first = bisect.bisect_left(costs, spent - reach)
        until = bisect.bisect_right(costs, spent)
        ways = (heads[index][2].ways.get(spent - costs[index]) for index in range(first, until))
        number, rank = _ranked(ways, rank)
        shape, attention, rest = heads[first + number]
        return shape.chosen([*attention, *rest.at(spent - costs[first + number], rank)]), spent, ticket


def _ranked(ways: Iterable[int | None], rank: int) -> tuple[int, int]:
    """The entry in which the way of that rank is, and its rank there."""
    for index, own in enumerate(ways):
        if own is not None:
            if rank < own:
                return index, rank
            rank -= own
    raise AssertionError("fewer ways than were counted")
