"""The methods that there are, and what each is made from. Each registers itself in a file of this folder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from foundation.errors import InputError
from foundation.registry import Registry
from search_space.network import Network
from training.data.dataset import Dataset
from training.methods.base import Method
from training.recipe import Recipe
from training.task import Task

Predict = Callable[[Tensor], Tensor]
"""From the batch of normalised images to logits."""


@dataclass(frozen=True)
class Training:
    """What is to be trained.

    Attributes:
        network: freshly made, on its device; what the method keeps in the end, or the start of that.
        resolution: of the images the network is given, in pixels a side.
        teacher: that is learnt from as well, if there is one. A method that learns from none refuses it.
        adapt: whether a step that runs out of memory may be taken in smaller parts, instead of an error.
        say: told what a user should know.
        own: what is set of the method alone, see `training.methods.settings`.
    """

    network: Network
    resolution: int
    recipe: Recipe
    task: Task
    data: Dataset
    teacher: Predict | None = None
    adapt: bool = False
    say: Callable[[str], None] = lambda message: None
    own: Any = None


METHODS: Registry[Callable[[Training], Method]] = Registry("method")
"""Those of `--method`: what makes each."""


def check_method(name: str) -> None:
    """Raises InputError for an unknown method."""
    if name not in METHODS:
        raise InputError(f"`method` {name}: unknown; known: {METHODS.known()}")
