"""Adversarial training (arXiv:1706.06083): learning from pictures changed so that the network gets them wrong."""

from foundation.errors import InputError
from training.methods.label_step import LabelStep
from training.methods.label_step import labels as by_labels
from training.methods.registry import METHODS, Training
from training.task import Attacking

NAME = "adversarial"


@METHODS.register("adversarial")
def adversarial(training: Training) -> LabelStep:
    """The step of the method `labels`, of a task that attacks the pictures before each; which ones, the task says.

    Raises InputError for another task, and what that step refuses where pictures are attacked.
    """
    if not isinstance(training.task, Attacking):
        raise InputError(f"`method` {NAME}: for classification alone, not task {training.task.name}; leave it out")
    return by_labels(training)
