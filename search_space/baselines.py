"""Hand-designed networks to compare a found one with, at the same MACs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from foundation.amounts import human
from foundation.errors import InputError
from foundation.registry import Registry
from search_space.architecture import Architecture
from search_space.cost.cost import measure
from search_space.family import found_in
from search_space.head import Head
from search_space.space import SearchSpace

TOLERANCE = 0.01
MAX_NUDGES = 50

A = TypeVar("A", bound=Architecture)

Compared = Callable[[Any, Any, int, Head | int], Mapping[str, Architecture]]
"""From an architecture, its space or None, MACs and a head to the networks by name."""

COMPARED: Registry[Compared] = Registry("networks to compare with of family")
"""What makes them, registered in the file `baselines.py` of a family's room."""


def compared(
    architecture: Architecture, space: SearchSpace | None, macs: int, head: Head | int
) -> Mapping[str, Architecture]:
    """The networks to compare `architecture` with, by name, each within 1% of `macs`.

    They have the space's middle widths, depths and the like; without a space, or with one of another family, the
    architecture's own.
    """
    try:
        make = found_in(COMPARED, architecture.family, "baselines")
    except InputError:
        raise InputError(
            f"`compare`: there are no hand-designed networks to compare one of family {architecture.family} with; "
            "leave it out"
        ) from None
    return make(architecture, space if space and space.family == architecture.family else None, macs, head)


def at_macs(make: Callable[[float, int], A], macs: int, head: Head | int, nudged: Callable[[A], Iterable[A]]) -> A:
    """The network of `make(width multiplier, divisor)` whose MACs are nearest to `macs`.

    Widths are multiples of 8 if that comes within 1%, else of 4, 2 or 1; of networks so small that a channel in every
    stage is too coarse, the best of the `nudged`, which differ by a channel somewhere, is taken again and again. Raises
    InputError if nothing comes within 1%.
    """

    def off(architecture: A) -> int:
        return measure(architecture, head).macs - macs

    for divisor in (8, 4, 2, 1):
        # MACs grow with the width multiplier: bisect to the step that crosses the aim.
        low, high = 0.05, 8.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if off(make(middle, divisor)) > 0 else (middle, high)
        nearest = min((make(width, divisor) for width in (low, high)), key=lambda network: abs(off(network)))
        if abs(off(nearest)) <= TOLERANCE * macs:
            return nearest
    for _ in range(MAX_NUDGES):
        closer = min(nudged(nearest), key=lambda network: abs(off(network)))
        if abs(off(closer)) >= abs(off(nearest)):
            break
        nearest = closer
    if abs(off(nearest)) <= TOLERANCE * macs:
        return nearest
    raise InputError(f"no hand-designed network within {TOLERANCE:.0%} of {human(macs)} MACs between width 0.05 and 8")
