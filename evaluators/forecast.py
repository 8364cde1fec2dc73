"""How long a search will take and how much memory it needs, from a few steps and scores of the real thing.

Nothing is written: what is timed here is what the evaluators do, without their files.
"""

import functools
import itertools
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evaluators.anchored import AnchoredEvaluator
from evaluators.base import Evaluator
from evaluators.proxy import ProxyEvaluator
from evaluators.proxy_settings import Halving
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.sandwich import Sandwich
from evaluators.tabular import TabularEvaluator
from evaluators.zero_cost import ZeroCostEvaluator
from evaluators.zero_cost.registry import AGGREGATES, components
from foundation import distributed
from foundation.errors import InputError
from foundation.memory import free_memory, kept_bytes
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.network import Network, build
from training.data.datasets import Dataset, Split
from training.evaluation import evaluate
from training.methods.label_step import LabelStep, Predict
from training.recipe import Recipe
from training.resize import resized
from training.sizing import epoch_steps
from training.standalone import EVALUATION_BATCH

MORE = 1.1  # of what a step keeps for its gradients: that, and the gradients themselves
STEPS = 5
PATIENCE = 20.0
"""Seconds after which no further step is timed."""

Batch = tuple[Tensor, Tensor]


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


def forecast(evaluator: Evaluator, search: Search) -> Forecast:
    """Tries a little of each part. The sampler's own time is not counted."""
    seconds = _seconds(evaluator, search)
    return Forecast(seconds, peak_memory())


@functools.singledispatch
def _seconds(evaluator: Evaluator, search: Search) -> dict[str, float]:
    """Of an evaluator that needs no preparation."""
    return _scored(evaluator, search)


def _scored(evaluator: Evaluator, search: Search) -> dict[str, float]:
    """Some scores, timed."""
    first, *others = search.drawn(1 + STEPS)
    evaluator.evaluate(first)
    each = _median(lambda architecture: evaluator.evaluate(architecture), others)
    again = _median(lambda architecture: evaluator.evaluate(architecture, thorough=True), others[:2])
    return {
        "search": each * search.trials / search.workers,
        "best again": again * min(search.trials, search.rescored),
    }


@_seconds.register
def _tabular(evaluator: TabularEvaluator, search: Search) -> dict[str, float]:
    evaluator.prepare()  # is quick, and leaves no file
    return _scored(evaluator, search)


@_seconds.register
def _supernet(evaluator: SupernetEvaluator, search: Search) -> dict[str, float]:
    recipe = evaluator.recipe
    step = Sandwich(evaluator.store, recipe, seed=evaluator.seed, priced=evaluator.priced, largest_steps=STEPS + 1)
    epoch = epoch_steps(len(evaluator.data.train), recipe.batch_size)
    largest = min(recipe.largest_epochs, recipe.epochs) * epoch
    model = evaluator.store

    side = max(search.priced.space.resolution)
    data = evaluator.data
    for architecture in {*step.architectures(0), *step.architectures(STEPS + 1)}:  # with the largest alone, and after
        check_memory(architecture, side, _at_once(data.train, recipe), data.device, recipe.precision)

    def steps(first: int, count: int) -> float:
        """Seconds of one of `count` steps from `first` on."""
        return _step_seconds(model, step, _batches(evaluator.data.train, recipe), recipe, first) if count else 0.0

    found = {}
    if evaluator.given is None:
        found["supernet"] = largest * steps(0, largest) + (recipe.epochs * epoch - largest) * steps(STEPS + 1, epoch)
    scored = _scored(evaluator, search)
    if evaluator.prior:  # which, unprepared, scored with them; its references take as long as candidates do
        each = scored["search"] * search.workers / search.trials
        found["prior"] = each * evaluator.prior.scorer.batch.reference
    return found | scored


@_seconds.register
def _proxy(evaluator: ProxyEvaluator, search: Search) -> dict[str, float]:
    halving = evaluator.halving
    training, scoring = _epoch(evaluator, search)
    entrants = entrants_by_rung(halving)
    generations = -(-search.trials // halving.generation)
    epochs = [after - before for before, after in itertools.pairwise((0, *halving.epochs))]
    search_seconds = sum(count * (training * own + scoring) for count, own in zip(entrants, epochs, strict=True))
    # At most: of the promising, some have taken every rung.
    unfinished = max(0, min(search.rescored, generations * halving.generation) - generations * entrants[-1])
    again = unfinished * (training * (halving.epochs[-1] - halving.epochs[0]) + scoring * (len(epochs) - 1))
    return {"search": generations * search_seconds, "best again": again}


def _epoch(evaluator: ProxyEvaluator, search: Search) -> tuple[float, float]:
    """Seconds of an epoch of a network's own training, and of its validation."""
    settings = evaluator.settings
    tried = []
    for architecture in search.drawn(2):
        side = max(1, round(architecture.resolution * settings.resolution))
        tried.append(epoch_seconds(architecture, side, evaluator.data, evaluator.pictures, settings.recipe))
    training, scoring = (statistics.mean(values) for values in zip(*tried, strict=True))
    return training, scoring


def check_memory(
    architecture: Architecture, side: int, pictures: int, device: torch.device, precision: str = "auto"
) -> None:
    """Raises InputError where a training step of so many pictures of that side would not fit into what is free.

    The estimate goes by what the network keeps for its gradients, see `kept_bytes`.
    """
    halved = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")  # as `training.precision` does
    kept = kept_bytes(lambda: Network(architecture, num_classes=2), side) / (2 if halved else 1)
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
) -> tuple[float, float]:
    """Seconds of an epoch of the network's own training on the pictures, of that side, and of its validation.

    Args:
        adapt: whether a step that runs out of memory is taken in smaller parts, see `LabelStep`.
    """
    if not adapt:
        check_memory(architecture, side, _at_once(pictures, recipe), data.device, recipe.precision)
    network = build(architecture, data.num_classes).to(data.device).to(memory_format=torch.channels_last)
    step = LabelStep(network, side, recipe, data.num_classes, teacher=teacher, adapt=adapt)
    each = _step_seconds(network, step, _batches(pictures, recipe), recipe, 0)
    started = time.monotonic()
    batches = itertools.islice(data.validation.batches(EVALUATION_BATCH), STEPS)
    evaluate(network, ((resized(images, side), labels) for images, labels in batches))
    seen = min(1.0, STEPS * EVALUATION_BATCH / max(1, len(data.validation)))
    return each * epoch_steps(len(pictures), recipe.batch_size), (time.monotonic() - started) / seen


@_seconds.register
def _anchored(evaluator: AnchoredEvaluator, search: Search) -> dict[str, float]:
    training, scoring = _epoch(evaluator.training, search)
    each = training * evaluator.settings.recipe.epochs + scoring
    supernet = _supernet(evaluator.supernet, search)
    before: dict[str, float] = {name: supernet.pop(name) for name in ("supernet", "prior") if name in supernet}
    return {**before, "anchors": each * len(evaluator.anchors), **supernet}


@_seconds.register
def _zero_cost(evaluator: ZeroCostEvaluator, search: Search) -> dict[str, float]:
    name, scorer = evaluator.objective, evaluator.scorer
    first, *others = search.drawn(1 + STEPS)
    parts = components(name) if name in AGGREGATES else (name,)
    each = 0.0
    for part in parts:
        scorer.score(first, part)
        each += _median(functools.partial(scorer.score, name=part), others)
    found = {"search": each * search.trials / search.workers}
    return {"reference": each * scorer.batch.reference, **found} if name in AGGREGATES else found


def entrants_by_rung(halving: Halving) -> list[int]:
    """How many candidates of a generation take each rung, as `studies.halving` sends them on."""
    bounds = [halving.generation * index // halving.bins for index in range(halving.bins + 1)]
    sizes = [end - start for start, end in itertools.pairwise(bounds) if end > start]
    found = []
    for _ in halving.epochs:
        found.append(sum(sizes))
        sizes = [max(1, size // halving.eta) for size in sizes]
    return found


def _at_once(pictures: Split, recipe: Recipe) -> int:
    """Pictures that a step takes at a time."""
    return min(len(pictures), recipe.micro_batch or recipe.batch_size)


def _batches(pictures: Split, recipe: Recipe) -> Iterator[Batch]:
    return iter(pictures.batches(recipe.batch_size, seed=0, augmentation=recipe.augment))


def _step_seconds(
    model: nn.Module, step: Callable[[Tensor, Tensor, int], float], batches: Iterable[Batch], recipe: Recipe, first: int
) -> float:
    """Seconds of a training step and of reading its batch; the first one, which warms up, does not count."""
    taken: list[float] = []
    model.train()
    started = begun = time.monotonic()
    for number, (images, labels) in enumerate(itertools.islice(batches, STEPS + 1), first):
        model.zero_grad()
        step(images, labels, number)
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        now = time.monotonic()
        taken.append(now - begun)
        begun = now
        if now - started > PATIENCE:
            break
    model.zero_grad()
    return statistics.median(taken[1:] or taken or [0.0])


def _median(work: Callable[[Architecture], object], architectures: Iterable[Architecture]) -> float:
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
