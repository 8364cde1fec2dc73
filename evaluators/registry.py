"""The evaluators that there are, and what each is made from.

A room of its own for each: it registers what makes it here, with its own settings. Nothing else names one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.base import Evaluator
from foundation.errors import InputError
from foundation.progress import Reporter
from foundation.registry import Registry
from search_space.cost.priced_space import PricedSpace
from search_space.first_weights import SCRATCH, FirstWeights
from tasks.classification.room import CLASSIFICATION
from training.data.datasets import Dataset
from training.recipe import Recipe
from training.task import Acting, Task


@dataclass(frozen=True)
class Setup:
    """What is to be searched.

    Attributes:
        task: what candidates are trained for and judged by.
        init: where first weights come from.
        own: the evaluator's own settings, of the kind that its room says; None where it has none.
    """

    priced: PricedSpace
    data: Dataset
    seed: int
    folder: Path
    reporter: Reporter
    task: Task = CLASSIFICATION
    init: FirstWeights = SCRATCH
    own: Any = None


@dataclass(frozen=True)
class Planned:
    """What an evaluator's own settings are, and a line on what of them the number of pictures decided, if any."""

    own: Any = None
    said: str | None = None


Plan = Callable[[Any, Any, int], Planned]
"""From a search's flags, its preset in which flags stand already (both by attribute), and its training pictures."""


@dataclass(frozen=True)
class Traits:
    """What a search asks of an evaluator before it makes one.

    Attributes:
        without_init: why no first weights are of use to it; empty where they are.
        competing: whether its candidates compete with each other, and so are evaluated in one process.
        plan: makes its own settings.
        rough: whether its scores are far from what networks come to by themselves, and a search has finalists trained.
        recipe: by which it reads training pictures, of the search's preset.
        acting: whether it can score networks that act, which nothing is learnt of from pictures.
    """

    without_init: str = ""
    competing: bool = False
    rough: bool = False
    plan: Plan = lambda flags, preset, pictures: Planned()
    recipe: Callable[[Any], Recipe] = lambda preset: preset.recipe
    acting: bool = False


Make = Callable[[Setup], Evaluator]
"""Makes an evaluator from the setup."""


@dataclass(frozen=True)
class Maker:
    """What makes an evaluator, with its traits."""

    make: Make
    traits: Traits

    def __call__(self, setup: Setup) -> Evaluator:
        return self.make(setup)

    @property
    def __name__(self) -> str:
        """By which a registry names who holds a name."""
        return self.make.__name__


def having(traits: Traits) -> Callable[[Make], Maker]:
    """Decorator of what makes an evaluator: says its traits."""
    return lambda make: Maker(make, traits)


def traits_of(name: str) -> Traits:
    """The traits of the evaluator of that name. Raises InputError for an unknown one."""
    make = EVALUATORS[name]
    return make.traits if isinstance(make, Maker) else Traits()


EVALUATORS: Registry[Make] = Registry("evaluator")
"""Those of `--evaluator`: what makes each from the setup."""


def check_acting(name: str, task: Task) -> None:
    """Raises InputError for an evaluator that cannot score the networks of a task, which act."""
    if isinstance(task, Acting) and not traits_of(name).acting:
        able = " or ".join(other for other in EVALUATORS if traits_of(other).acting)
        raise InputError(
            f"`evaluator` {name}: knows pictures alone, and task {task.name} is learnt from episodes; use {able}"
        )


def check_evaluator(name: str) -> None:
    """Raises InputError for an unknown evaluator."""
    if name not in EVALUATORS:
        raise InputError(f"`evaluator` {name}: unknown; known: {EVALUATORS.known()}")
