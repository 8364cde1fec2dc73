"""Counting the architectures within a budget and drawing uniformly from exactly those.

Cost is additive along the chain of links, so the ways to complete a chain within a remaining budget obey a recursion
over (link, state before it, remaining budget). Costs are counted above each link's cheapest outcome in units of a
bucket, rounded down; where the bucket is the greatest common divisor of all of them the count is exact, else it is an
upper bound, and a drawn architecture is redrawn until its exact cost is within the budget. Redrawing keeps the draw
exactly uniform, and few draws are lost: each rounding is less than one bucket, of 32767 to the budget. There is one
rounding a link, or one a part where each has an option of its own.

Several bounds are held together by the same recursion over a joint remaining budget, in fewer buckets each. A joint
remainder is one number: its digits, in a base of twice the buckets, are what remains of each bound. A digit that would
become negative borrows and lands in the upper half of its base, where nothing can be completed.
"""

import random
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foundation.amounts import with_unit
from foundation.errors import InputError
from search_space.architecture import Architecture
from search_space.chain import Link, State
from search_space.cost.cost import BOUNDED_BY, Budget
from search_space.cost.cost_table import COLUMNS, CostTable
from search_space.cost.exact_counts import Counts, convolved, spectrum
from search_space.cost.moves import Heads, Moves, Rests, Scale

Rng = random.Random | np.random.Generator

BUCKETS = {0: 1, 1: (1 << 15) - 1, 2: (1 << 7) - 1, 3: (1 << 5) - 1}
"""Buckets for each bound, by the number of bounds: so many that a transform has 2^16 or, of three, 2^18 points."""

FEWER = 4  # times fewer for a single bound where blocks decide alone: a draw looks at every cost that a stage may have

MAX_REDRAWS = 10_000
MAX_LISTED = 10_000  # so few that listing them all is quicker than the user notices


class _Chain(NamedTuple):
    """The recursion for one resolution: moves by link and state before it, and completions from every link."""

    resolution: int
    remaining: int  # in joint buckets; negative where not even the cheapest outcomes fit
    surely: int  # what remains if every cost is rounded up; negative for none
    moves: list[dict[State, Moves]]
    completions: list[Counts]

    @property
    def total(self) -> int:
        return self.within(self.remaining)

    def within(self, buckets: int) -> int:
        """Architectures that cost at most so many joint buckets."""
        if buckets < 0:
            return 0
        (state,) = self.moves[0]
        return self.completions[0].number(state, buckets)


@lru_cache(maxsize=16)
def budget_table(costs: CostTable, budget: Budget) -> "BudgetTable":
    """The table of a space's costs and a budget. Raises InputError naming the smallest network if none is within it."""
    return BudgetTable(costs, budget)


class BudgetTable:
    """Counts and draws those architectures within `budget` of which a table has the costs."""

    def __init__(self, costs: CostTable, budget: Budget):
        self.costs = costs
        self.space = space = costs.space
        self.budget = budget
        bounds = dict(budget.bounds())
        for name, bound in bounds.items():
            least = getattr(costs.cost(costs.cheapest(name)), name)
            if least > bound:
                exact = least / 10**6 if name == "latency_ns" else least
                raise InputError(
                    f"budget {with_unit(name, bound)}: the smallest network of space {space.name} "
                    f"({costs.head.told}) has {with_unit(name, least)} ({exact}); raise `{BOUNDED_BY[name]}` to at "
                    "least that"
                )
        self._chains, self._exact = self._made(list(bounds), np.array(list(bounds.values()), dtype=np.int64))
        self.total = sum(chain.total for chain in self._chains)
        if not self.total:
            raise InputError(f"budget {budget}: no architecture of space {space.name} is within all of it; loosen one")

    def count(self) -> tuple[int, int]:
        """Lower and upper bound on the number of architectures within the budget; equal where exact."""
        if self._exact:
            return self.total, self.total
        if self.total <= MAX_LISTED:
            return self._listed, self._listed
        return sum(chain.within(chain.surely) for chain in self._chains), self.total

    @cached_property
    def _listed(self) -> int:
        return sum(1 for _ in self.all())

    def sample(self, rng: Rng) -> Architecture:
        """A uniform draw from the architectures within the budget."""
        for _ in range(MAX_REDRAWS):
            architecture = self.at(below(rng, self.total))
            if self._exact or self.budget.allows(self.costs.cost(architecture)):
                return architecture
        raise InputError(
            f"budget {self.budget}: {MAX_REDRAWS} draws met no architecture within all of its bounds; loosen one"
        )

    def all(self) -> Iterator[Architecture]:
        """Every architecture within the budget once."""
        for ticket in range(self.total):
            architecture = self.at(ticket)
            if self._exact or self.budget.allows(self.costs.cost(architecture)):
                yield architecture

    def at(self, ticket: int) -> Architecture:
        """The architecture of a ticket from 0 to `total - 1`; each has its own."""
        for chain in self._chains:
            if ticket < chain.total:
                break
            ticket -= chain.total
        links: list[Link] = []
        state, remaining = self.space.start, chain.remaining
        for program, moves, after in zip(self.space.programs, chain.moves, chain.completions[1:], strict=True):
            link, spent, ticket = moves[state].at(ticket, remaining, after)
            links.append(link)
            state, remaining = program.after(link), remaining - spent
        return self.space.architecture(chain.resolution, links)

    def _made(self, names: list[str], bounds: NDArray[np.int64]) -> tuple[list[_Chain], bool]:
        """The chains of every resolution, and whether they are exact."""
        table = self.costs
        columns = [COLUMNS.index(name) for name in names]
        layers = []
        rooms = []
        for row in range(len(self.space.resolution)):
            room = bounds - table.stem[row, columns]
            layer = []
            for by_state in table.outcomes:
                heads = {state: Heads(outcomes, row, columns) for state, outcomes in by_state.items()}
                cheapest = np.min([own.costs.min(0) for own in heads.values()], axis=0)
                for own in heads.values():
                    own.costs -= cheapest
                room = room - cheapest
                layer.append(heads)
            layers.append(layer)
            rooms.append(room)
        everything = [own for layer in layers for heads in layer for own in heads.values()]
        unit = np.maximum(1, np.gcd.reduce(np.concatenate([own.addends for own in everything]), axis=0))
        # A room beyond the dearest of everything changes nothing.
        dearest = [
            np.max([own.dearest for layer in layers for own in layer[index].values()], axis=0)
            for index in range(len(table.outcomes))
        ]
        rooms = [np.minimum(room, np.sum(dearest, axis=0)) for room in rooms]
        most = np.max(rooms, axis=0)
        alone = any(own.roundings > 1 for own in everything)
        buckets = BUCKETS[len(names)] // (FEWER if alone and len(names) == 1 else 1)
        bucket = unit * np.maximum(1, -(-most // (unit * buckets)))
        chains = [
            _chain(resolution, layer, room, bucket)
            for resolution, layer, room in zip(self.space.resolution, layers, rooms, strict=True)
        ]
        return chains, bool((bucket == unit).all())


def _chain(
    resolution: int, layers: list[dict[State, Heads]], room: NDArray[np.int64], bucket: NDArray[np.int64]
) -> _Chain:
    """The recursion for one resolution, given costs above each stage's cheapest, and the room for their sum."""
    if (room < 0).any():
        return _Chain(resolution, -1, -1, [], [])
    scale = Scale(bucket, room // bucket + 1)
    rests = Rests(scale)
    moves = [{state: Moves(heads, rests) for state, heads in layer.items()} for layer in layers]
    roundings = sum(max(heads.roundings for heads in layer.values()) for layer in layers)
    surely = scale.shape - 1 - roundings
    return _Chain(
        resolution,
        int((scale.shape - 1) @ scale.strides),
        int(surely @ scale.strides) if (surely >= 0).all() else -1,
        moves,
        _count(moves, scale),
    )


def _count(moves: list[dict[State, Moves]], scale: Scale) -> list[Counts]:
    """Completions from every link and state within each number of joint buckets."""
    last = [state for own in moves[-1].values() for state in own.states]
    limbs = dict.fromkeys(last, scale.valid[None].astype(np.int64))
    counts = [Counts(limbs, scale.size)]
    for layer in reversed(moves):
        spectra = {state: spectrum(rows) for state, rows in limbs.items()}
        limbs = {state: convolved(own.histograms(), spectra, scale.size) * scale.valid for state, own in layer.items()}
        counts.insert(0, Counts(limbs, scale.size))
    return counts


def below(rng: Rng, bound: int) -> int:
    """A uniform integer from 0 to `bound - 1`, of any size, by rejection (each try succeeds half the time or more)."""
    bits = (bound - 1).bit_length()
    count = (bits + 7) // 8
    for _ in range(1000):
        raw = rng.randbytes(count) if isinstance(rng, random.Random) else rng.bytes(count)
        ticket = int.from_bytes(raw, "little") & ((1 << bits) - 1)
        if ticket < bound:
            return ticket
    raise RuntimeError("the random generator gave 1000 tickets above the bound: it is broken")
