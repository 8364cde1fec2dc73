"""What a network says of pictures in evaluation, what a search keeps of it, and the batch statistics needed first."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from foundation.memory import out_of_memory
from foundation.metric import Measured
from training.lanes import each_batch
from training.precision import autocast
from training.targets import Batch, Targets, in_float32, joined
from training.task import Task

_T = TypeVar("_T")


def seen(
    network: nn.Module,
    batches: Iterable[Batch],
    look: Callable[[Any, Targets], _T],
    *,
    precision: str = "auto",
) -> Iterator[_T]:
    """What `look` makes of the network's outputs (float32) and targets for each batch, in order, in evaluation mode.

    Several batches at a time where there are lanes; a batch that memory does not hold is taken in halves.

    Args:
        precision: as in a recipe.
    """
    network.eval()

    def looked(images: Tensor, targets: Targets) -> _T:
        with torch.no_grad():
            with autocast(images.device, precision):
                outputs = _in_parts(network, images)
            return look(in_float32(outputs), targets)

    return each_batch(looked, batches)


def evaluate(
    task: Task, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
) -> Measured:
    """What a search keeps of a candidate: the task's metric over all batches, and what that says is beside it."""
    measured = task.measure(network, batches, shared=shared, precision=precision).measured
    return Measured(measured.metric, measured.value, {name: measured.beside[name] for name in task.metric.beside})


def _in_parts(network: nn.Module, images: Tensor) -> Any:
    """The outputs, by halves of the batch where memory does not hold the whole: in evaluation they are the same."""
    try:
        return network(images)
    except RuntimeError as error:
        if not out_of_memory(error) or len(images) == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return joined([_in_parts(network, half) for half in images.chunk(2)])


@torch.no_grad()
def recompute_batch_statistics(network: nn.Module, batches: Iterable[Batch]) -> None:
    """Replaces every BatchNorm's running statistics by the plain average over the batches (training pictures)."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    network.train()
    for images, _ in batches:
        with autocast(images.device):
            network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
