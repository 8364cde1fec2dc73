"""Architectures of a space as numbers: integer codes for batches, and features for a regression.

A code holds the number of the resolution and of each link, in the order in which an Encoding first met them; numbers
mean nothing outside their Encoding. Whatever is asked of the codes afterwards is a look-up in arrays, so a million
architectures take seconds.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.chain import Link, State
from search_space.cost.cost import Cost, costs_along, fixed_cost
from search_space.cost.priced_space import PricedSpace
from search_space.parts import Part

Codes = NDArray[np.int64]
"""N×(1 + links): the numbers of the resolution and of every link."""


_Costs = tuple[tuple[int, ...], ...]
"""Resolutions × columns."""


class _Met(NamedTuple):
    """A link that stands after a state.

    Its features, its costs at every resolution, and the sides of its output there.
    """

    state: State
    link: Link
    after: State
    features: tuple[float, ...]
    costs: _Costs
    sides: tuple[int, ...]


class _Arrays(NamedTuple):
    """What is known of a position's links, by their number."""

    before: NDArray[np.int64]  # numbers of states
    after: NDArray[np.int64]
    features: NDArray[np.float64]  # links × features
    costs: NDArray[np.int64]  # resolutions × links × columns
    log2_macs: NDArray[np.float64]  # resolutions × links


class Encoding:
    """The codes of a space's architectures, with what codes are asked for.

    Attributes:
        names: the features, in the order of `features`' columns. By link: what its program says of it, and log2 of its
            MACs. Of the whole: resolution, and log2 of each cost.
        columns: the costs that are known, as fields of Cost: latency where the space has a table of it.
    """

    def __init__(self, priced: PricedSpace):
        self.priced = priced
        self.space = space = priced.space
        self.columns = ("macs", "params", *(["latency_ns"] if priced.latency else []))
        names = [
            f"{program.name} {name}" for program in space.programs for name in (*program.feature_names, "log2 macs")
        ]
        self.names = ("resolution", *names, *(f"log2 {name}" for name in self.columns))
        self._resolutions = {resolution: number for number, resolution in enumerate(space.resolution)}
        self._met: list[list[_Met]] = [[] for _ in space.programs]
        self._numbers: list[dict[tuple[State, Link], int]] = [{} for _ in space.programs]
        self._arrays: list[_Arrays | None] = [None for _ in space.programs]
        self._states: dict[State, int] = {}
        stem, self._first_sides = self._costs(space.stem_parts, space.resolution)
        fixed = self._row(fixed_cost(priced.latency))
        self._stem = np.array(stem, dtype=np.int64) + np.array(fixed, dtype=np.int64)

    def encode(self, architectures: Iterable[Architecture]) -> Codes:
        """The codes of architectures. Raises InputError where resolution or number of links are not the space's."""
        codes = []
        for architecture in architectures:
            links = self.space.links(architecture)
            if architecture.resolution not in self._resolutions or links is None or len(links) != len(self._met):
                raise InputError(
                    f"architecture {architecture.digest()[:12]}: {len(architecture.stage_rows())} stages at resolution "
                    f"{architecture.resolution} are not in space {self.space.name}"
                )
            code = [self._resolutions[architecture.resolution]]
            state, sides = self.space.start, self._first_sides
            for index, link in enumerate(links):
                number = self._numbers[index].get((state, link))
                if number is None:
                    number = self._meet(index, state, link, sides)
                code.append(number)
                met = self._met[index][number]
                state, sides = met.after, met.sides
            codes.append(code)
        return np.array(codes, dtype=np.int64).reshape(-1, 1 + len(self._met))

    def decode(self, code: NDArray[np.int64]) -> Architecture:
        """The architecture of one code."""
        resolution, *numbers = code.tolist()
        links = tuple(met[number].link for met, number in zip(self._met, numbers, strict=True))
        return self.space.architecture(self.space.resolution[resolution], links)

    def costs(self, codes: Codes) -> NDArray[np.int64]:
        """The costs `columns`, N×columns, equal to those of the space's cost table."""
        resolution = codes[:, 0]
        total: NDArray[np.int64] = self._stem[resolution]
        for index in range(len(self._met)):
            total = total + self._links(index).costs[resolution, codes[:, index + 1]]
        return total

    def features(self, codes: Codes) -> NDArray[np.float64]:
        """The features `names`, N×F."""
        resolution = codes[:, 0]
        found = np.empty((len(codes), len(self.names)))
        found[:, 0] = np.array(self.space.resolution)[resolution]
        at = 1
        for index in range(len(self._met)):
            links, numbers = self._links(index), codes[:, index + 1]
            until = at + links.features.shape[1]
            found[:, at:until] = links.features[numbers]
            found[:, until] = links.log2_macs[resolution, numbers]
            at = until + 1
        found[:, at:] = np.log2(np.maximum(1, self.costs(codes)))
        return found

    def recombine(self, parents: Codes, count: int, rng: np.random.Generator) -> Codes:
        """`count` codes each of whose links is that of some parent in which it follows the same state.

        The resolution is drawn from the parents', then link after link; the costs are free.
        """
        codes = np.empty((count, parents.shape[1]), dtype=np.int64)
        codes[:, 0] = rng.choice(parents[:, 0], count)
        state = np.full(count, self._state(self.space.start), dtype=np.int64)
        for index in range(len(self._met)):
            links = self._links(index)
            offered = parents[:, index + 1]
            offered = offered[np.argsort(links.before[offered], kind="stable")]
            before = links.before[offered]
            first = np.searchsorted(before, state, side="left")
            number = np.searchsorted(before, state, side="right") - first
            # A state came from a parent, so that parent's next link is among those offered.
            chosen = offered[first + (rng.random(count) * number).astype(np.int64)]
            codes[:, index + 1] = chosen
            state = links.after[chosen]
        return codes

    def _meet(self, index: int, state: State, link: Link, sides: Sequence[int]) -> int:
        """The number given to a link at the position, after `state`, that has none yet."""
        met = self._met[index]
        program = self.space.programs[index]
        after = program.after(link)
        parts = [part.telling(self.priced.head.classes) for part in program.parts(link, state)]
        costs, later = self._costs(parts, sides)
        for tap in self.space.tap_parts(index, link, state, self.priced.head):
            costs = _added(costs, self._costs([tap], sides)[0])
        if index == len(self._met) - 1:  # the costs of what follows are part of the last link's
            costs = _added(costs, self._costs(self.space.tail_parts(after, self.priced.head), later)[0])
        met.append(_Met(state, link, after, program.features(link), costs, later))
        self._numbers[index][state, link] = len(met) - 1
        self._arrays[index] = None
        return len(met) - 1

    def _costs(self, parts: Sequence[Part], sides: Sequence[int]) -> tuple[_Costs, tuple[int, ...]]:
        """The costs of parts one after the other at every resolution, and the sides after them."""
        costs, after = costs_along(parts, sides, self.priced.latency)
        return tuple(self._row(cost) for cost in costs), after

    def _links(self, index: int) -> _Arrays:
        """The arrays over all links met at the position, made again when there are more."""
        arrays = self._arrays[index]
        if arrays is None:
            met = self._met[index]
            costs = np.array([one.costs for one in met], dtype=np.int64).transpose(1, 0, 2)
            arrays = self._arrays[index] = _Arrays(
                np.array([self._state(one.state) for one in met]),
                np.array([self._state(one.after) for one in met]),
                np.array([one.features for one in met], dtype=np.float64),
                costs,
                np.log2(np.maximum(1, costs[:, :, 0])),
            )
        return arrays

    def _state(self, state: State) -> int:
        """A state's number."""
        return self._states.setdefault(state, len(self._states))

    def _row(self, cost: Cost) -> tuple[int, ...]:
        return tuple(getattr(cost, name) for name in self.columns)


def encoding(priced: PricedSpace) -> Encoding:
    """The (cached) encoding of a space; it is the same for all budgets."""
    return _encoding(priced.unbounded)


def _added(costs: _Costs, more: _Costs) -> _Costs:
    return tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(costs, more, strict=True))


@lru_cache(maxsize=16)
def _encoding(priced: PricedSpace) -> Encoding:
    return Encoding(priced)
