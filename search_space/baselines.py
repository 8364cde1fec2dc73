"""Hand-designed networks to compare a found one with: at its MACs, or such as fill the budget."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from foundation.amounts import human
from foundation.errors import InputError
from foundation.registry import Registry
from search_space.architecture import Architecture
from search_space.cost.cost import Budget, measure
from search_space.cost.latency import LatencyTable
from search_space.family import found_in
from search_space.head import Head
from search_space.space import SearchSpace

TOLERANCE = 0.01
MAX_NUDGES = 12
KEPT = 3  # of the nudged, so that one step in a wrong direction is no end

A = TypeVar("A", bound=Architecture)

Off = Callable[[Architecture], float]
"""How far a network's cost is from what is aimed at, as a fraction of it; below 0 for a smaller one."""

Compared = Callable[[Any, Any, Off, bool, bool], Mapping[str, Architecture]]
"""Networks by name, from an architecture, its space or None, what is aimed at, whether every ratio is wanted, and
whether the space's own options are, of which alone times are known."""

COMPARED: Registry[Compared] = Registry("networks to compare with of family")
"""What makes them, registered in the file `baselines.py` of a family's room."""


def compared(
    architecture: Architecture,
    space: SearchSpace | None,
    aim: int | Budget,
    head: Head | int,
    *,
    latency: LatencyTable | None = None,
    every_ratio: bool = False,
) -> Mapping[str, Architecture]:
    """The networks to compare `architecture` with, by name.

    They have the space's middle widths, depths and the like; without a space, or with one of another family, the
    architecture's own.

    Args:
        aim: MACs that each is within 1% of; or a budget, of which each takes 98 to 100%.
        latency: the times of the space's pieces, for a budget of latency: each network is then one of the space, and
            takes less of the budget where the space has none that fills it.
        every_ratio: whether each kind of attention comes with every ratio that the space offers, or with a middle one.

    Raises InputError where there are none, or none of that cost.
    """
    try:
        make = found_in(COMPARED, architecture.family, "baselines")
    except InputError:
        raise InputError(
            f"`compare`: there are no hand-designed networks to compare one of family {architecture.family} with; "
            "leave it out"
        ) from None

    def off(network: Architecture) -> float:
        cost = measure(network, head, latency)
        return cost.macs / aim - 1 if isinstance(aim, int) else aim.excess(cost) + TOLERANCE

    try:
        own = space and space.member_of(architecture)
        return make(architecture, own, off, every_ratio, latency is not None)
    except InputError as error:
        raise InputError(f"`compare` at {f'{human(aim)} MACs' if isinstance(aim, int) else aim}: {error}") from None


def at_cost(make: Callable[[float, int], A], off: Off, nudged: Callable[[A], Iterable[A]], *, most: bool = False) -> A:
    """The network of `make(width multiplier, divisor)` whose cost is nearest to what is aimed at.

    Widths are multiples of 8 if that comes within 1%, else of 4, 2 or 1; where a step in every stage is too coarse, the
    best few of the `nudged`, which differ by a step somewhere, are taken again and again. Raises InputError if nothing
    comes within 1%.

    Args:
        most: whether one that costs less will do, where none of as much is met.
    """

    def over(width: float, divisor: int) -> bool:
        try:
            return off(make(width, divisor)) > 0
        except InputError:  # more of something than a network may have
            return True

    for divisor in (8, 4, 2, 1):
        # Costs grow with the width multiplier: bisect to the step that crosses the aim.
        low, high = 0.05, 8.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if over(middle, divisor) else (middle, high)
        near = [make(low, divisor)]
        with suppress(InputError):
            near.append(make(high, divisor))
        nearest = min(near, key=lambda network: abs(off(network)))
        if abs(off(nearest)) <= TOLERANCE:
            return nearest
    best, seen = [nearest], {nearest}
    for _ in range(MAX_NUDGES):
        fresh = dict.fromkeys(network for one in best for network in nudged(one) if network not in seen)
        seen |= fresh.keys()
        best = sorted([*best, *fresh], key=lambda network: abs(off(network)))[:KEPT]
        if abs(off(best[0])) <= TOLERANCE or not fresh:
            break
    if abs(off(best[0])) <= TOLERANCE:
        return best[0]
    less = sorted((network for network in seen if off(network) < 0), key=off) if most else []
    if less:
        return less[-1]
    raise InputError(f"no hand-designed network comes within {TOLERANCE:.0%} of it between width 0.05 and 8")
