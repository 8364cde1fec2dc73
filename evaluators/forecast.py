"""How long a search will take and how much memory it needs, from a few steps and scores of the real thing.

Nothing is written: what is timed here is what the evaluators do, without their files.
"""

import itertools
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from evaluators.base import Evaluator
from foundation import distributed
from foundation.errors import InputError
from foundation.memory import free_memory, kept_bytes
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.network import bare, build
from tasks.classification.room import CLASSIFICATION
from training.augmentation.recipe import Augmentation
from training.data.datasets import Dataset, Split
from training.methods.base import Method, Practice
from training.methods.choice import METHODS, Training
from training.methods.registry import Predict
from training.methods.settings import LABELS, ChosenMethod
from training.recipe import Recipe
from training.resize import resized_batches
from training.sizing import epoch_steps
from training.standalone import EVALUATION_BATCH
from training.targets import Batch, Targets
from training.task import Acting, Task

MORE = 1.1  # of what a step keeps for its gradients: that, and the gradients themselves
STEPS = 5
LEVELS = 10
"""On which a network that acts is timed: an episode may have hundreds of steps, and as many pictures."""
PATIENCE = 20.0
"""Seconds after which no further step is timed."""


@dataclass(frozen=True)
class Search:
    """What is to be searched: where, within what, for how many candidates, by how many workers, how many rescored."""

    priced: PricedSpace
    seed: int
    trials: int
    workers: int
    rescored: int

    def drawn(self, count: int) -> list[Architecture]:
        """Architectures within the budget."""
        rng = random.Random(derive(self.seed, "forecast"))
        return [self.priced.sample(rng) for _ in range(count)]


@dataclass(frozen=True)
class Forecast:
    """Seconds of each part of the work, and the bytes that this process held at most while parts of it were tried."""

    seconds: dict[str, float]
    memory: int

    @property
    def total(self) -> float:
        """Seconds in all."""
        return sum(self.seconds.values())


@runtime_checkable
class Forecasting(Protocol):
    """An evaluator that does more than to score one candidate after another, and knows how long that takes."""

    def seconds(self, search: Search) -> dict[str, float]:
        """Of each part of the work by its name, from a little of each. Leaves no file."""
        ...


def forecast(evaluator: Evaluator, search: Search) -> Forecast:
    """Tries a little of each part. The sampler's own time is not counted."""
    seconds = evaluator.seconds(search) if isinstance(evaluator, Forecasting) else scored_seconds(evaluator, search)
    return Forecast(seconds, peak_memory())


def scored_seconds(evaluator: Evaluator, search: Search) -> dict[str, float]:
    """Of scores alone: some of them, timed."""
    first, *others = search.drawn(1 + STEPS)
    evaluator.evaluate(first)
    each = median_seconds(lambda architecture: evaluator.evaluate(architecture), others)
    again = median_seconds(lambda architecture: evaluator.evaluate(architecture, thorough=True), others[:2])
    return {
        "search": each * search.trials / search.workers,
        "scoring the best again": again * min(search.trials, search.rescored),
    }


def check_memory(
    architecture: Architecture, side: int, pictures: int, device: torch.device, precision: str = "auto"
) -> None:
    """Raises InputError where a training step of so many pictures of that side would not fit into what is free.

    The estimate goes by what the network keeps for its gradients, see `kept_bytes`.
    """
    halved = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")  # as `training.precision` does
    kept = kept_bytes(lambda: bare(architecture, num_classes=2), side) / (2 if halved else 1)
    needed, free = round(MORE * pictures * kept), free_memory(device)
    if free is not None and needed > free:
        raise InputError(
            f"`batch_size`: a step of {pictures} pictures of {side} pixels needs about {needed / 2**30:.0f} GiB of "
            f"memory, and {free / 2**30:.0f} are free here; give a smaller one, or a `micro_batch` where there is one"
        )


def epoch_seconds(
    architecture: Architecture,
    side: int,
    data: Dataset,
    pictures: Split,
    recipe: Recipe,
    teacher: Predict | None = None,
    adapt: bool = False,
    task: Task = CLASSIFICATION,
    method: ChosenMethod = LABELS,
) -> tuple[float, float]:
    """Seconds of an epoch of the network's own training on the pictures, of that side, and of its validation.

    Args:
        adapt: whether a step that runs out of memory is taken in smaller parts, see `LabelStep`.
    """
    network = (
        build(architecture, task.head(data.num_classes, architecture))
        .to(data.device)
        .to(memory_format=torch.channels_last)
    )
    step = METHODS[method.name](Training(network, side, recipe, task, data, teacher, adapt, own=method.own))
    if isinstance(step, Practice):
        training = step.timed()
    else:
        training = _epoch_of_pictures(step, architecture, side, data, pictures, recipe, adapt)
    started = time.monotonic()
    count, size = (1, LEVELS) if isinstance(task, Acting) else (STEPS, EVALUATION_BATCH)
    batches = itertools.islice(data.validation.batches(size), count)
    task.measure(network, resized_batches(batches, side))
    seen = min(1.0, count * size / max(1, len(data.validation)))
    return training, (time.monotonic() - started) / seen


def _epoch_of_pictures(
    step: Method, architecture: Architecture, side: int, data: Dataset, pictures: Split, recipe: Recipe, adapt: bool
) -> float:
    """Seconds of an epoch's steps."""
    augmentation = step.augment(recipe)
    if not adapt:
        check_memory(architecture, side, augmentation.views * at_once(pictures, recipe), data.device, recipe.precision)
    each = step_seconds(step.model, step, timed_batches(pictures, recipe, augmentation), recipe, 0)
    return each * epoch_steps(len(pictures), recipe.batch_size)


def at_once(pictures: Split, recipe: Recipe) -> int:
    """Pictures that a step takes at a time."""
    return min(len(pictures), recipe.micro_batch or recipe.batch_size)


def timed_batches(pictures: Split, recipe: Recipe, augmentation: Augmentation | None = None) -> Iterator[Batch]:
    """Batches as the recipe's training has them.

    Args:
        augmentation: a method's; None for the recipe's.
    """
    return iter(pictures.batches(recipe.batch_size, seed=0, augmentation=augmentation or recipe.augment))


def step_seconds(
    model: nn.Module,
    step: Callable[[Tensor, Targets, int], float],
    batches: Iterable[Batch],
    recipe: Recipe,
    first: int,
) -> float:
    """Seconds of a training step and of reading its batch; the first one, which warms up, does not count."""
    taken: list[float] = []
    model.train()
    started = begun = time.monotonic()
    for number, (images, targets) in enumerate(itertools.islice(batches, STEPS + 1), first):
        model.zero_grad()
        step(images, targets, number)
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        now = time.monotonic()
        taken.append(now - begun)
        begun = now
        if now - started > PATIENCE:
            break
    model.zero_grad()
    return statistics.median(taken[1:] or taken or [0.0])


def median_seconds(work: Callable[[Architecture], object], architectures: Iterable[Architecture]) -> float:
    """Seconds of the work on one of the architectures."""
    taken: list[float] = []
    started = time.monotonic()
    for architecture in architectures:
        begun = time.monotonic()
        work(architecture)
        taken.append(time.monotonic() - begun)
        if time.monotonic() - started > PATIENCE:
            break
    return statistics.median(taken)


def peak_memory() -> int:
    """Bytes that this process held at most: on the GPU, where it has one; else in memory."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        return torch.cuda.max_memory_reserved()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit * distributed.local_world()
