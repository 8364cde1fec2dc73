"""Counting the architectures within a budget and drawing uniformly from exactly those.

Cost is additive along the chain of stages, so the ways to complete a chain within a remaining budget obey a recursion
over (stage, input width, remaining budget). Costs are counted above each stage's cheapest outcome in units of a bucket,
rounded down; where the bucket is the greatest common divisor of all of them the count is exact, else it is an upper
bound, and a drawn architecture is redrawn until its exact cost is within the budget. Redrawing keeps the draw exactly
uniform, and few draws are lost: each stage's rounding is at most one bucket of 1/32768 of the budget.
"""

import random
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search_space.architecture import Architecture, Stage
from search_space.blocks import strided
from search_space.cost import Budget, human
from search_space.errors import InputError

if TYPE_CHECKING:
    from search_space.space import SearchSpace

Rng = random.Random | np.random.Generator

BUCKETS = 1 << 15
MAX_REDRAWS = 10_000

_LIMB_BITS = 20


class _Outcomes(NamedTuple):
    """What may stand at a stage after one input width: parallel lists, and the cost in buckets."""

    stages: tuple[Stage, ...]
    widths: tuple[int, ...]
    buckets: NDArray[np.int64]


class _Chain(NamedTuple):
    """The recursion for one resolution: outcomes and counts by stage and input width."""

    resolution: int
    remaining: int  # in buckets; negative where not even the cheapest outcomes fit
    outcomes: list[dict[int, _Outcomes]]
    counts: list[dict[int, NDArray[np.object_]]]  # counts[i][w][b]: completions from stage i within b buckets

    @property
    def total(self) -> int:
        return self.within(self.remaining)

    def within(self, buckets: int) -> int:
        """Architectures that cost at most so many buckets."""
        if buckets < 0:
            return 0
        (counts,) = self.counts[0].values()
        return int(counts[buckets])


@lru_cache(maxsize=16)
def budget_table(space: "SearchSpace", budget: Budget) -> "BudgetTable":
    """The table of a space and a budget. Raises InputError naming the smallest network if nothing is within it."""
    return BudgetTable(space, budget)


class BudgetTable:
    """Counts and draws architectures of `space` within `budget`.

    Of several bounds the one that leaves least room is held by the table, the others by redrawing.
    """

    def __init__(self, space: "SearchSpace", budget: Budget):
        self.space = space
        self.budget = budget
        names = [name for name, _ in budget.bounds()]
        for name in names:
            least = getattr(space.cost(space.cheapest(name)), name)
            bound = dict(budget.bounds())[name]
            if least > bound:
                raise InputError(
                    f"budget {human(bound)} {name}: the smallest network of space {space.name} "
                    f"({space.num_classes} classes) has {human(least)} ({least}); raise --max-{name} to at least that"
                )
        # Rounded down, no architecture within the budget is lost; a bucket a stage less, and none over it counts.
        tables = [self._chains(name) for name in names or [""]]
        self._tightest, buckets_exact, slack = min(tables, key=lambda table: sum(chain.total for chain in table[0]))
        self._exact = buckets_exact and len(names) <= 1
        if self._exact:
            self._lower = self.total
        elif len(names) > 1:
            self._lower = 0  # how the bounds overlap is not counted
        else:
            self._lower = sum(chain.within(chain.remaining - slack) for chain in self._tightest)

    @property
    def total(self) -> int:
        """Number of architectures that the table draws from before any is redrawn."""
        return sum(chain.total for chain in self._tightest)

    def count(self) -> tuple[int, int]:
        """Lower and upper bound on the number of architectures within the budget; equal where exact."""
        return self._lower, self.total

    def sample(self, rng: Rng) -> Architecture:
        """A uniform draw from the architectures within the budget."""
        for _ in range(MAX_REDRAWS):
            architecture = self.at(_below(rng, self.total))
            if self._exact or self.budget.allows(self.space.cost(architecture)):
                return architecture
        raise InputError(
            f"budget {self.budget}: {MAX_REDRAWS} draws within its tightest bound met no architecture within all of "
            "its bounds; loosen one"
        )

    def all(self) -> Iterator[Architecture]:
        """Every architecture within the budget once."""
        for ticket in range(self.total):
            architecture = self.at(ticket)
            if self._exact or self.budget.allows(self.space.cost(architecture)):
                yield architecture

    def at(self, ticket: int) -> Architecture:
        """The architecture of a ticket from 0 to `total - 1`; each has its own."""
        for chain in self._tightest:
            if ticket < chain.total:
                break
            ticket -= chain.total
        stages: list[Stage] = []
        width, remaining = self.space.stem_width, chain.remaining
        for index, by_width in enumerate(chain.outcomes):
            outcomes = by_width[width]
            after = chain.counts[index + 1]
            left = remaining - outcomes.buckets
            ways = np.zeros(len(left), dtype=object)
            for out_width, completions in after.items():
                here = np.flatnonzero((np.array(outcomes.widths) == out_width) & (left >= 0))
                ways[here] = completions[left[here]]
            cumulative = np.cumsum(ways)
            chosen = int(np.searchsorted(cumulative, ticket, side="right"))
            ticket -= int(cumulative[chosen - 1]) if chosen else 0
            stages.append(outcomes.stages[chosen])
            width, remaining = outcomes.widths[chosen], int(left[chosen])
        return self.space._architecture(chain.resolution, tuple(stages))

    def _chains(self, name: str) -> tuple[list[_Chain], bool, int]:
        """The chains of every resolution under the bound on `name` (nothing is bounded if it is empty).

        Also whether they are exact, and by how many buckets rounding can have lowered an architecture's cost.
        """
        space = self.space
        bound = dict(self.budget.bounds()).get(name, 0)
        raw = [self._costs(resolution, name) for resolution in space.resolution]
        rooms = [bound - base for _, base in raw] if name else [0] * len(raw)
        above = np.concatenate([costs for layers, _ in raw for layer in layers for _, _, costs in layer.values()])
        unit = int(np.gcd.reduce(above)) or 1
        bucket = unit * max(1, -(-max(rooms) // (unit * BUCKETS)))
        chains = []
        for resolution, (layers, _), room in zip(space.resolution, raw, rooms, strict=True):
            outcomes = [
                {
                    width: _Outcomes(stages, tuple(stage.width for stage in stages), costs // bucket)
                    for width, (stages, _, costs) in layer.items()
                }
                for layer in layers
            ]
            remaining = room // bucket if room >= 0 else -1
            chains.append(_Chain(resolution, remaining, outcomes, _count(outcomes, remaining)))
        return chains, bucket == unit, len(space.stages)

    def _costs(
        self, resolution: int, name: str
    ) -> tuple[list[dict[int, tuple[tuple[Stage, ...], int, NDArray[np.int64]]]], int]:
        """By stage and input width, the outcomes and their costs above the stage's cheapest; and the sum of those.

        The cost of the stem is part of the sum, that of head and classifier part of the last stage's.
        """
        space = self.space
        widths = [space.stem_width]
        size = strided(resolution, space.stem_stride)
        base = 0
        layers = []
        for index, options in enumerate(space.stages):
            layer = {}
            for width in widths:
                stages = space.stage_outcomes(index, width)
                costs = np.zeros(len(stages), dtype=np.int64)
                if name:
                    costs[:] = [getattr(space.stage_cost(stage, width, size), name) for stage in stages]
                    if index == len(space.stages) - 1:
                        costs += [getattr(space.fixed_cost(resolution, stage.width), name) for stage in stages]
                layer[width] = (stages, width, costs)
            cheapest = min(int(costs.min()) for _, _, costs in layer.values())
            base += cheapest
            layers.append({width: (stages, width, costs - cheapest) for width, (stages, _, costs) in layer.items()})
            widths = list(dict.fromkeys(options.width))
            size = strided(size, options.stride)
        return layers, base


def _count(outcomes: list[dict[int, _Outcomes]], remaining: int) -> list[dict[int, NDArray[np.object_]]]:
    """Completions from every stage and input width within 0 to `remaining` buckets, as exact integers."""
    if remaining < 0:
        return [{} for _ in range(len(outcomes) + 1)]
    size = remaining + 1
    last_widths = {width for layer in outcomes[-1].values() for width in layer.widths}
    ones = np.zeros((1, size), dtype=np.int64) + 1
    limbs: list[dict[int, NDArray[np.int64]]] = [dict.fromkeys(last_widths, ones)]
    for layer in reversed(outcomes):
        spectra = {width: _spectrum(counts, size) for width, counts in limbs[0].items()}
        limbs.insert(0, {width: _completions(here, spectra, size) for width, here in layer.items()})
    return [{width: _integers(counts) for width, counts in stage.items()} for stage in limbs]


def _completions(outcomes: _Outcomes, after: dict[int, NDArray[np.complex128]], size: int) -> NDArray[np.int64]:
    """Convolution of the outcomes' cost histogram with the completions after each of them, in limbs.

    By real FFT: a limb is below 2^20 and a histogram sums to at most some thousand outcomes, so every result stays
    below 2^34 and the rounding error of a transform of 2^16 points far below one half.
    """
    widths = np.array(outcomes.widths)
    total: NDArray[np.complex128] | None = None
    for width, spectrum in after.items():
        costs = outcomes.buckets[(widths == width) & (outcomes.buckets < size)]
        histogram = np.bincount(costs, minlength=size).astype(np.float64)
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
