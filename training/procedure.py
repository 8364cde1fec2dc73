"""How networks are trained by themselves: all but which network, on which pictures and by which seed."""

import json
from dataclasses import dataclass
from typing import Any

from search_space.first_weights import SCRATCH, FirstWeights
from training.data.dataset import Dataset
from training.methods.registry import Predict
from training.methods.settings import LABELS, ChosenMethod
from training.recipe import Recipe
from training.specs import named
from training.task import Task


@dataclass(frozen=True)
class Teaching:
    """A teacher, and what tells it apart from others."""

    name: str
    predict: Predict


@dataclass(frozen=True)
class Procedure:
    """What trainings have in common that are to be compared.

    Attributes:
        recipe: epochs, batches, learning rate and the like.
        task: what the networks are for, and judged by.
        start: where first weights come from.
        teaching: the teacher that is learnt from as well, if there is one.
        adapt: whether a step that runs out of memory is taken in smaller parts, see `LabelStep`.
        method: what a step does, see `training.methods`.
    """

    recipe: Recipe
    task: Task
    start: FirstWeights = SCRATCH
    teaching: Teaching | None = None
    adapt: bool = False
    method: ChosenMethod = LABELS

    @property
    def teacher(self) -> Predict | None:
        """What the teacher says of pictures."""
        return self.teaching.predict if self.teaching else None

    def described(self) -> dict[str, Any]:
        """Plain values that tell trainings apart, but for the recipe's."""
        return {
            "init": self.start.name,
            "teacher": self.teaching.name if self.teaching else None,
            **named("task", self.task.name),
            **self.method.described(),
        }

    def resolved(self, data: Dataset, seed: int) -> dict[str, Any]:
        """What tells a training of an architecture from another one, as a file has it."""
        values = {
            **self.recipe.described(),
            "seed": seed,
            "data": data.identity,
            "pixels": list(data.train.size),
            **self.described(),
        }
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain
