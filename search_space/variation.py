"""New architectures from good ones: mutation and crossover, within the space and the budget."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace

MAX_TRIES = 200


def mutate(priced: PricedSpace, architecture: Architecture, rng: random.Random, rate: float = 0.1) -> Architecture:
    """Another architecture in which each decision is drawn anew with probability `rate`, the others kept.

    Any architecture of the space can come of any other. One over the budget, or equal to the parent, is drawn again; if
    200 in a row are, one is drawn uniformly from the budget. Raises InputError if nothing is within the budget.
    """

    def choose(name: str, options: Sequence[Any]) -> Any:
        kept = priced.space.decided(architecture, name)
        return kept if kept in options and rng.random() >= rate else rng.choice(options)

    return _within(priced, rng, lambda: priced.space.assemble(choose), other_than=architecture)


def crossover(priced: PricedSpace, one: Architecture, other: Architecture, rng: random.Random) -> Architecture:
    """An architecture each of whose decisions is that of one parent or the other, where the space still offers it.

    One over the budget is drawn again; if 200 in a row are, one is drawn uniformly from the budget. Raises InputError
    if nothing is within the budget.
    """

    def choose(name: str, options: Sequence[Any]) -> Any:
        parents = (priced.space.decided(parent, name) for parent in (one, other))
        inherited = [value for value in parents if value in options]
        return rng.choice(inherited or options)

    return _within(priced, rng, lambda: priced.space.assemble(choose), other_than=None)


def _within(
    priced: PricedSpace,
    rng: random.Random,
    draw: Callable[[], Architecture],
    other_than: Architecture | None,
) -> Architecture:
    for _ in range(MAX_TRIES):
        architecture = draw()
        if architecture != other_than and priced.allows(architecture):
            return architecture
    return priced.sample(rng)
