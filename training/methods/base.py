"""What a training does with a batch: a method, a step with parameter groups and a state of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from training.augmentation.recipe import Augmentation
from training.recipe import Recipe
from training.targets import Targets


class Method(ABC):
    """A training's step. `training.loop.fit` has it replay: see what each part must keep.

    A subclass defines `__call__`, and of the rest what differs.

    Args:
        model: all that is trained, heads and the like that no network keeps included.
    """

    keeps_last: ClassVar[bool] = False
    """Whether the last epoch's weights are kept, instead of those of the best validation."""

    def __init__(self, model: nn.Module):
        self.model = model

    @abstractmethod
    def __call__(self, images: Tensor, targets: Targets, number: int) -> float:
        """Adds the gradients of a batch's mean loss to the parameters of `model`, and returns the loss.

        A function of the model, the state, the batch, and torch's global random state, which is seeded for each epoch.

        Args:
            images: N×3×H×W, normalised.
            targets: the task's, of N pictures; see `training.targets`.
            number: of the step, from 0.
        """

    def groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """The optimiser's parameter groups: no weight decay for what has one dimension, norms and biases."""
        parameters = list(self.model.parameters())
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def augment(self, recipe: Recipe) -> Augmentation:
        """What is done to single training pictures."""
        return recipe.augment

    def begin_epoch(self, epoch: int) -> None:  # noqa: B027 (a method need not know)
        """Called before the steps of an epoch, from 0, once torch's global random state is seeded for it."""

    def evaluated(self) -> nn.Module:
        """The part of `model` that is averaged, evaluated and kept."""
        return self.model

    def state_dict(self) -> dict[str, Any]:
        """What a killed training needs beside the model: tensors and plain values, the same in every process.

        A training is kept within an epoch, too: what `begin_epoch` found of a model that has changed since is in
        it. That is called again before this is loaded.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 (there may be no state)
        """Takes what `state_dict` gave. Raises KeyError, TypeError, ValueError or RuntimeError if it does not fit."""


class Practice(Method):
    """A method that finds what it learns from by itself, and takes its own steps: it is given no batches.

    `training.practice` has it replay: an epoch begins anew in everything but what `model` and `state_dict` hold.
    """

    unit: ClassVar[str] = "steps"
    """What an epoch is counted in."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Of an epoch, in units."""

    @abstractmethod
    def practise(self, epoch: int, seed: int, advance: Callable[[str], None]) -> dict[str, float]:
        """Trains the model for an epoch, and returns what is told of it, `loss` among it.

        Args:
            epoch: from 0.
            seed: of the training; all that is drawn is drawn by it and the epoch.
            advance: called after each unit, with a short note.
        """

    @abstractmethod
    def timed(self) -> float:
        """Seconds of an epoch, from a part of one; the model is of no use afterwards."""

    def __call__(self, images: Tensor, targets: Targets, number: int) -> float:
        """Raises TypeError: there are no batches to learn from."""
        raise TypeError(f"{type(self).__name__} takes its own steps")


class FunctionMethod(Method):
    """A method without a state, from the model and a function for its step."""

    def __init__(self, model: nn.Module, step: Callable[[Tensor, Targets, int], float]):
        super().__init__(model)
        self.step = step

    def __call__(self, images: Tensor, targets: Targets, number: int) -> float:
        return self.step(images, targets, number)
