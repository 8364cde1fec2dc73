"""Counting the architectures within a budget and drawing uniformly from exactly those.

Cost is additive along the chain of stages, so the ways to complete a chain within a remaining budget obey a recursion
over (stage, input width, remaining budget). Costs are counted above each stage's cheapest outcome in units of a bucket,
rounded down; where the bucket is the greatest common divisor of all of them the count is exact, else it is an upper
bound, and a drawn architecture is redrawn until its exact cost is within the budget. Redrawing keeps the draw exactly
uniform, and few draws are lost: each stage's rounding is at most one bucket, of 32768 to the budget.

Several bounds are held together by the same recursion over a joint remaining budget, in fewer buckets each. A joint
remainder is one number: its digits, in a base of twice the buckets, are what remains of each bound. A digit that would
become negative borrows and lands in the upper half of its base, where nothing can be completed.
"""

import random
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search_space.architecture import Architecture, Stage
from search_space.cost import FLAGS, Budget, shown
from search_space.cost_table import COLUMNS, Outcomes
from search_space.errors import InputError

if TYPE_CHECKING:
    from search_space.space import SearchSpace

Rng = random.Random | np.random.Generator

BUCKETS = {0: 1, 1: 1 << 15, 2: 1 << 7, 3: 1 << 5}
"""Buckets for each bound, by the number of bounds."""

MAX_REDRAWS = 10_000
MAX_LISTED = 10_000  # so few that listing them all is quicker than the user notices

_LIMB_BITS = 20


class _Outcomes(NamedTuple):
    """What may stand at a stage after one input width: parallel lists, and the cost in joint buckets (-1: too much)."""

    stages: tuple[Stage, ...]
    widths: NDArray[np.int64]
    buckets: NDArray[np.int64]


class _Chain(NamedTuple):
    """The recursion for one resolution: outcomes and counts by stage and input width."""

    resolution: int
    remaining: int  # in joint buckets; negative where not even the cheapest outcomes fit
    surely: int  # what remains if every stage is rounded up; negative for none
    outcomes: list[dict[int, _Outcomes]]
    counts: list[dict[int, NDArray[np.object_]]]  # counts[i][w][b]: completions from stage i within b joint buckets

    @property
    def total(self) -> int:
        return self.within(self.remaining)

    def within(self, buckets: int) -> int:
        """Architectures that cost at most so many joint buckets."""
        if buckets < 0:
            return 0
        (counts,) = self.counts[0].values()
        return int(counts[buckets])


@lru_cache(maxsize=16)
def budget_table(space: "SearchSpace", budget: Budget) -> "BudgetTable":
    """The table of a space and a budget. Raises InputError naming the smallest network if nothing is within it."""
    return BudgetTable(space, budget)


class BudgetTable:
    """Counts and draws architectures of `space` within `budget`."""

    def __init__(self, space: "SearchSpace", budget: Budget):
        self.space = space
        self.budget = budget
        bounds = dict(budget.bounds())
        for name, bound in bounds.items():
            least = getattr(space.cost(space.cheapest(name)), name)
            if least > bound:
                exact = least / 10**6 if name == "latency_ns" else least
                raise InputError(
                    f"budget {shown(name, bound)}: the smallest network of space {space.name} ({space.num_classes} "
                    f"classes) has {shown(name, least)} ({exact}); raise {FLAGS[name]} to at least that"
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
            architecture = self.at(_below(rng, self.total))
            if self._exact or self.budget.allows(self.space.cost(architecture)):
                return architecture
        raise InputError(
            f"budget {self.budget}: {MAX_REDRAWS} draws met no architecture within all of its bounds; loosen one"
        )

    def all(self) -> Iterator[Architecture]:
        """Every architecture within the budget once."""
        for ticket in range(self.total):
            architecture = self.at(ticket)
            if self._exact or self.budget.allows(self.space.cost(architecture)):
                yield architecture

    def at(self, ticket: int) -> Architecture:
        """The architecture of a ticket from 0 to `total - 1`; each has its own."""
        for chain in self._chains:
            if ticket < chain.total:
                break
            ticket -= chain.total
        stages: list[Stage] = []
        width, remaining = self.space.stem_width, chain.remaining
        for index, by_width in enumerate(chain.outcomes):
            outcomes = by_width[width]
            left = remaining - outcomes.buckets
            fits = (outcomes.buckets >= 0) & (left >= 0)
            ways = np.zeros(len(left), dtype=object)
            for out_width, completions in chain.counts[index + 1].items():
                here = np.flatnonzero(fits & (outcomes.widths == out_width))
                ways[here] = completions[left[here]]
            cumulative = np.cumsum(ways)
            chosen = int(np.searchsorted(cumulative, ticket, side="right"))
            ticket -= int(cumulative[chosen - 1]) if chosen else 0
            stages.append(outcomes.stages[chosen])
            width, remaining = int(outcomes.widths[chosen]), int(left[chosen])
        return self.space.architecture(chain.resolution, tuple(stages))

    def _made(self, names: list[str], bounds: NDArray[np.int64]) -> tuple[list[_Chain], bool]:
        """The chains of every resolution, and whether they are exact."""
        table = self.space.costs
        columns = [COLUMNS.index(name) for name in names]
        layers = []  # by resolution: costs above each stage's cheapest, in the bounded columns
        rooms = []
        for row in range(len(self.space.resolution)):
            room = bounds - table.stem[row, columns]
            above = []
            for by_width in table.outcomes:
                costs = {width: outcomes.costs[row][:, columns] for width, outcomes in by_width.items()}
                cheapest = np.min([cost.min(0) for cost in costs.values()], axis=0)
                room = room - cheapest
                above.append({width: cost - cheapest for width, cost in costs.items()})
            layers.append(above)
            rooms.append(room)
        everything = np.concatenate([cost for above in layers for layer in above for cost in layer.values()])
        unit = np.maximum(1, np.gcd.reduce(everything, axis=0))
        # A room beyond the dearest of everything changes nothing.
        dearest = [
            np.max([cost.max(0) for above in layers for cost in above[index].values()], axis=0)
            for index in range(len(table.outcomes))
        ]
        ceiling = np.sum(dearest, axis=0)
        rooms = [np.minimum(room, ceiling) for room in rooms]
        most = np.max(rooms, axis=0)
        buckets = BUCKETS[len(names)]
        bucket = unit * np.maximum(1, -(-most // (unit * buckets)))
        chains = [
            _chain(resolution, table.outcomes, above, room, bucket)
            for resolution, above, room in zip(self.space.resolution, layers, rooms, strict=True)
        ]
        return chains, bool((bucket == unit).all())


def _chain(
    resolution: int,
    outcomes: list[dict[int, Outcomes]],
    above: list[dict[int, NDArray[np.int64]]],
    room: NDArray[np.int64],
    bucket: NDArray[np.int64],
) -> _Chain:
    """The recursion for one resolution, given costs above each stage's cheapest, and the room for their sum."""
    if (room < 0).any():
        return _Chain(resolution, -1, -1, [], [])
    shape = room // bucket + 1
    bases = np.concatenate([shape[:1], 2 * shape[1:]])
    strides = np.array([int(np.prod(bases[axis + 1 :])) for axis in range(len(bases))], dtype=np.int64)
    joint = []
    for by_width, costs in zip(outcomes, above, strict=True):
        layer = {}
        for width, outcome in by_width.items():
            digits = costs[width] // bucket
            index = np.where((digits < shape).all(1), digits @ strides, -1)
            layer[width] = _Outcomes(outcome.stages, outcome.widths, index)
        joint.append(layer)
    size = int(np.prod(bases))
    numbers = np.arange(size)
    valid = np.ones(size, dtype=bool)
    for axis in range(1, len(bases)):
        valid &= numbers // strides[axis] % bases[axis] < shape[axis]
    surely = shape - 1 - len(outcomes)
    return _Chain(
        resolution,
        int((shape - 1) @ strides),
        int(surely @ strides) if (surely >= 0).all() else -1,
        joint,
        _count(joint, valid),
    )


def _count(outcomes: list[dict[int, _Outcomes]], valid: NDArray[np.bool_]) -> list[dict[int, NDArray[np.object_]]]:
    """Completions from every stage and input width within each number of buckets, as exact integers.

    `valid` says which numbers of buckets have no digit in the upper half of its base.
    """
    size = len(valid)
    last_widths = {int(width) for layer in outcomes[-1].values() for width in layer.widths}
    limbs: list[dict[int, NDArray[np.int64]]] = [dict.fromkeys(last_widths, valid[None].astype(np.int64))]
    for layer in reversed(outcomes):
        # Counts after one width can need more limbs than after another: all get as many, or sums would mix limbs up.
        most = max(len(counts) for counts in limbs[0].values())
        spectra = {
            width: _spectrum(np.pad(counts, ((0, most - len(counts)), (0, 0))), size)
            for width, counts in limbs[0].items()
        }
        limbs.insert(0, {width: _completions(here, spectra, size) * valid for width, here in layer.items()})
    return [{width: _integers(counts) for width, counts in stage.items()} for stage in limbs]


def _completions(outcomes: _Outcomes, after: dict[int, NDArray[np.complex128]], size: int) -> NDArray[np.int64]:
    """Convolution of the outcomes' cost histogram with the completions after each of them, in limbs.

    By real FFT: a limb is below 2^20 and a histogram sums to at most some thousand outcomes, so every result stays
    below 2^34 and the rounding error of a transform of 2^18 points far below one half.
    """
    total: NDArray[np.complex128] | None = None
    for width, spectrum in after.items():
        fits = (outcomes.widths == width) & (outcomes.buckets >= 0) & (outcomes.buckets < size)
        histogram = np.bincount(outcomes.buckets[fits], minlength=size).astype(np.float64)
        product = spectrum * np.fft.rfft(histogram, _padded(size))
        total = product if total is None else total + product
    assert total is not None
    sums = np.rint(np.fft.irfft(total, _padded(size), axis=1)[:, :size]).astype(np.int64)
    return _carried(sums)


def _spectrum(counts: NDArray[np.int64], size: int) -> NDArray[np.complex128]:
    return np.fft.rfft(counts.astype(np.float64), _padded(size), axis=1)


def _padded(size: int) -> int:
    """A transform length at which the convolution does not wrap around."""
    return 1 << (2 * size - 1).bit_length()


def _carried(limbs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same numbers with every limb (lowest first) below 2^20, in as many limbs as they need."""
    rows = []
    carry = np.zeros_like(limbs[0])
    for row in limbs:
        carry = carry + row
        rows.append(carry & ((1 << _LIMB_BITS) - 1))
        carry = carry >> _LIMB_BITS
    while carry.any():
        rows.append(carry & ((1 << _LIMB_BITS) - 1))
        carry = carry >> _LIMB_BITS
    return np.stack(rows)


def _integers(limbs: NDArray[np.int64]) -> NDArray[np.object_]:
    """The numbers as Python integers, which have no upper bound."""
    total = np.zeros(limbs.shape[1], dtype=object)
    for row in limbs[::-1]:
        total = (total << _LIMB_BITS) + row.astype(object)
    return total


def _below(rng: Rng, bound: int) -> int:
    """A uniform integer from 0 to `bound - 1`, of any size, by rejection (each try succeeds half the time or more)."""
    bits = (bound - 1).bit_length()
    count = (bits + 7) // 8
    for _ in range(1000):
        raw = rng.randbytes(count) if isinstance(rng, random.Random) else rng.bytes(count)
        ticket = int.from_bytes(raw, "little") & ((1 << bits) - 1)
        if ticket < bound:
            return ticket
    raise RuntimeError("the random generator gave 1000 tickets above the bound: it is broken")
