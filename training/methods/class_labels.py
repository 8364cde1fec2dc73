"""The loss of a batch where labels of classes may be smoothed, or be shares of several; else the task's own."""

from typing import Any

from torch import Tensor, nn

from training.recipe import Recipe
from training.targets import Targets
from training.task import Task, check_class_labels


class TaskLoss:
    """The task's loss, with the recipe's label smoothing. Raises InputError for that of other targets.

    A class, not a closure: a step is copied with it.
    """

    def __init__(self, task: Task, recipe: Recipe):
        if recipe.label_smoothing:
            check_class_labels(task, f"`label_smoothing` {recipe.label_smoothing:g}", "give 0")
        self.task = task
        self.smoothing = recipe.label_smoothing

    def __call__(self, outputs: Any, targets: Targets) -> Tensor:
        """The mean over the batch."""
        if not self.smoothing:
            return self.task.loss(outputs, targets)
        assert isinstance(targets, Tensor)
        return nn.functional.cross_entropy(outputs, targets, label_smoothing=self.smoothing)
