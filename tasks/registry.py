"""The tasks that there are. A room of its own for each, which registers itself here; nothing else names one.

What a task is, `training.task` says: trainings ask for loss and measure, and stand below the tasks.
"""

from collections.abc import Callable

from foundation.errors import InputError
from foundation.registry import Registry
from training.task import Task

TASKS: Registry[Callable[[], Task]] = Registry("task")
"""Those of `--task`: what makes each."""


def task(name: str) -> Task:
    """The task of that name. Raises InputError for an unknown one."""
    if name not in TASKS:
        raise InputError(f"`task` {name}: unknown; known: {TASKS.known()}")
    return TASKS[name]()
