"""Mutation and crossover, and with them the neighbours that must not be twins."""

import dataclasses
import functools
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from search_space import Architecture, Attention, Budget, InputError
from search_space.cost.priced_space import PricedSpace
from search_space.network import parts
from search_space.parts import Part
from search_space.space import SearchSpace
from search_space.spaces import SPACES, priced_space
from search_space.variation import crossover, mutate


@functools.cache
def _made(part: Part) -> tuple[str, tuple[torch.Size, ...]]:
    """All that tells a part of a network apart: its modules and the shapes of its parameters."""
    with torch.device("meta"):
        module = part.create()
    return str(module), tuple(parameter.shape for parameter in module.parameters())


def _network(architecture: Architecture) -> tuple[object, ...]:
    """All that tells networks apart."""
    return architecture.resolution, *((name, _made(part)) for name, part in parts(architecture, 10))


def _one_changed(space: SearchSpace, rng: random.Random) -> Iterator[tuple[str, list[Architecture]]]:
    """Of each decision of some architecture: its name, and the architectures that differ by its options."""
    decided: dict[str, Sequence[Any]] = {}
    chosen: dict[str, Any] = {}

    def choose(name: str, options: Sequence[Any]) -> Any:
        decided[name] = options
        return chosen.setdefault(name, rng.choice(options))

    space.assemble(choose)

    def changed(name: str, option: Any) -> Architecture:
        values = {**chosen, name: option}  # where another option opens other decisions, they take the first
        return space.assemble(lambda key, options: value if (value := values.get(key)) in options else options[0])

    for name, options in decided.items():
        yield name, [changed(name, option) for option in options]


@pytest.mark.parametrize("name", SPACES)
def test_distinct_architectures_are_distinct_networks(name: str) -> None:
    """Twins are found here if anywhere: among the options of one decision."""
    space, rng = priced_space(name).space, random.Random(0)
    for decision, beside in _one_changed(space, rng):
        assert len(set(map(_network, beside))) == len(set(beside)) == len(beside), decision


@pytest.fixture(scope="module")
def small_space(tiny_space: PricedSpace) -> PricedSpace:
    """A few hundred architectures."""
    options = dataclasses.replace(
        tiny_space.space.stages[0],
        attention=(Attention("none"), Attention("se", 4), Attention("ca", 2)),
        kernel_size=(3,),
    )
    return PricedSpace(
        dataclasses.replace(tiny_space.space, name="small", resolution=(16,), stages=(options, options)), 4
    )


def _half(space: PricedSpace) -> Budget:
    costs = sorted(space.cost(architecture).macs for architecture in space.space.enumerate())
    return Budget(max_macs=costs[len(costs) // 2])


def test_mutation_reaches_everything_within_the_budget(small_space: PricedSpace) -> None:
    budget = _half(small_space)
    within = {a for a in small_space.space.enumerate() if budget.allows(small_space.cost(a))}
    assert 100 < len(within) < 1000
    rng = random.Random(0)
    bounded = small_space.within(budget)
    architecture = small_space.smallest
    reached = {architecture}
    for _ in range(40 * len(within)):  # far fewer are needed
        if reached == within:
            break
        child = mutate(bounded, architecture, rng, rate=0.3)
        assert child != architecture
        architecture = child
        reached.add(child)
    assert reached == within


def test_mutation_keeps_most_decisions(small_space: PricedSpace) -> None:
    rng = random.Random(1)
    parent = small_space.sample(rng)
    made = small_space.space.choices(parent)
    kept = []
    for _ in range(200):
        child = small_space.space.choices(mutate(small_space, parent, rng, rate=0.1))
        kept.append(sum(child.get(name) == choice for name, choice in made.items()) / len(made))
    assert 0.6 < sum(kept) / len(kept) < 1


def test_crossover_takes_from_both_parents(small_space: PricedSpace) -> None:
    rng = random.Random(2)
    one, other = small_space.smallest, small_space.largest
    children = [crossover(small_space, one, other, rng) for _ in range(100)]
    for child in children:
        for name, choice in small_space.space.choices(child).items():
            parents = [small_space.space.choices(parent).get(name) for parent in (one, other)]
            assert choice in parents or None in parents
    assert len(set(children)) > 20
    assert crossover(small_space, one, one, rng) == one


def test_budgets_hold(small_space: PricedSpace) -> None:
    rng = random.Random(3)
    budget = _half(small_space)
    for _ in range(100):
        child = crossover(small_space.within(budget), small_space.largest, small_space.smallest, rng)
        assert budget.allows(small_space.cost(child))
    # Nearly everything is over this one: the bounded number of tries ends in a draw from the budget.
    tight = Budget(max_macs=small_space.cost(small_space.smallest).macs)
    assert mutate(small_space.within(tight), small_space.largest, rng, rate=0.05) == small_space.smallest
    with pytest.raises(InputError, match="smallest network"):
        mutate(small_space.within(Budget(max_macs=10)), small_space.largest, rng)
