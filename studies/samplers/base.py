"""What a sampler is: it proposes architectures from what it was told of the ones before.

A sampler of one's own is a class and a line, in a file that a search is given as its `sampler`, FILE.py:NAME:

    @register("cheapest-first")
    class CheapestFirst(Sampler):
        def propose(self, turn, running):
            draws = (self.goal.priced.sample(self.rng(turn)) for _ in range(10))
            return Proposal(min(draws, key=self.goal.priced.cost))

The search loop sees to budget and repeats: a proposal over the budget, or seen before, is told as rejected, and the
sampler is asked again, `asks` times in all; then an architecture is drawn uniformly from the budget.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from foundation.errors import InputError
from foundation.metric import ACCURACY, Metric
from foundation.plugins import load_plugin
from foundation.registry import Registry
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.cost import Budget, Cost
from search_space.cost.priced_space import PricedSpace
from search_space.space import SearchSpace
from studies.choices import FRONT_SHARE

OVER_BUDGET, SEEN = "over budget", "evaluated before"
REJECTIONS = (OVER_BUDGET, SEEN)
"""Why a proposal is not evaluated. An evaluation that failed has a reason of its own."""


@dataclass(frozen=True)
class Goal:
    """What a sampler proposes for.

    Attributes:
        startup: proposals that are drawn from the budget before the sampler is asked.
        metric: what candidates are ranked by.
        costs: fields of Cost that are to be low beside it, if any.
        front_share: of the proposals that are for the front of score and costs; the others are for the best that fills
            the budget. A sampler may have a balance of its own.
    """

    priced: PricedSpace
    seed: int
    startup: int
    metric: Metric = ACCURACY
    costs: tuple[str, ...] = ("macs",)
    front_share: float = FRONT_SHARE

    @property
    def space(self) -> SearchSpace:
        """Which architectures there are."""
        return self.priced.space

    @property
    def budget(self) -> Budget:
        """What they are to meet."""
        return self.priced.budget

    @property
    def objectives(self) -> tuple[str, ...]:
        """All by name: the metric, and the costs."""
        return (self.metric.name, *self.costs)


@dataclass(frozen=True)
class Proposal:
    """An architecture, and what the sampler wants to be told again with it: plain values."""

    architecture: Architecture
    memo: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """What became of a proposal.

    Attributes:
        score: what is maximised, whichever way of the metric is better: its merit; None if it was not evaluated.
        reason: why it was not; else None.
        excess: how far over the budget it is, as a fraction of it; at most 0 within.
    """

    proposal: Proposal
    cost: Cost
    score: float | None
    excess: float
    reason: str | None = None

    @property
    def architecture(self) -> Architecture:
        """The proposal's."""
        return self.proposal.architecture

    def values(self, objectives: Sequence[str]) -> list[float]:
        """What is maximised, and the costs among the objectives, of an evaluated proposal."""
        assert self.score is not None
        return [self.score, *(float(getattr(self.cost, name)) for name in objectives[1:])]


class Sampler(ABC):
    """Proposes architectures.

    A proposal is a function of the goal, the turn, and what the sampler was told, in its order: a killed run that is
    started again tells it the same, and must be proposed the same.
    """

    several_objectives: ClassVar[bool] = True
    """Whether it can weigh several objectives; if not, a search with costs among its objectives is refused."""

    balances: ClassVar[bool] = False
    """Whether it goes by the goal's `front_share`."""

    asks: ClassVar[int] = 20
    """Proposals in a row that may be rejected before one is drawn from the budget."""

    def __init__(self, goal: Goal):
        self.goal = goal

    def rng(self, turn: int) -> random.Random:
        """Random numbers for a turn."""
        return random.Random(derive(self.goal.seed, "sampler", turn))

    @abstractmethod
    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        """The next proposal.

        Args:
            turn: a number that no other proposal of the search has had, for random numbers.
            running: architectures that are being evaluated.
        """

    def tell(self, told: Told) -> None:  # noqa: B027 (a sampler need not learn)
        """Takes note of what became of a proposal, of its own or drawn from the budget."""


SAMPLERS: Registry[type[Sampler]] = Registry("sampler", ", or FILE.py:NAME")

register = SAMPLERS.register
"""Decorator that makes a Sampler known by a name."""


def sampler_names() -> tuple[str, ...]:
    """The registered samplers, in order of registration."""
    return SAMPLERS.names()


def sampler_class(name: str) -> type[Sampler]:
    """The sampler of that name, or that of the user's own file `FILE.py:NAME`. Raises InputError for an unknown one."""
    file, _, own = name.rpartition(":")
    if file.endswith(".py"):
        load_plugin(Path(file), f"`sampler` {name}")
        name, given = own, name
        if name not in SAMPLERS or SAMPLERS[name].__module__.startswith("studies."):
            raise InputError(f"`sampler` {given}: {file} registers no sampler {own!r}")
    if name not in SAMPLERS:
        raise InputError(f"`sampler` {name}: unknown; known: {SAMPLERS.known()}")
    return SAMPLERS[name]


def make_sampler(name: str, goal: Goal) -> Sampler:
    """A sampler for the goal. Raises InputError for an unknown one, or one that cannot weigh the goal's objectives."""
    found = sampler_class(name)
    if goal.costs and not found.several_objectives:
        raise InputError(f"`sampler` {name}: has one objective only; add `objectives` {goal.metric.name}")
    return found(goal)
