"""Accuracy and loss of a network on labelled pictures, and the batch statistics it needs first."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.memory import out_of_memory
from foundation.metric import ACCURACY, Measured
from training.lanes import each_batch
from training.precision import autocast


class Examination(NamedTuple):
    """What a network makes of pictures.

    Attributes:
        accuracy, top5: shares of pictures whose label is the first, or among the first five, predictions.
        loss: mean cross-entropy in nats.
        predicted: the first prediction for each picture of this process's share, N (int64), on the CPU.
        labels: theirs, N (int64), on the CPU.
    """

    accuracy: float
    top5: float
    loss: float
    predicted: Tensor
    labels: Tensor


@torch.no_grad()
def examine(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, shared: bool = False, precision: str = "auto"
) -> Examination:
    """What it makes of all batches, in evaluation mode, and every prediction.

    Args:
        shared: metrics over the batches of all processes, each of which calls this with its share.
        precision: as in a recipe.
    """
    network.eval()

    def seen(images: Tensor, labels: Tensor) -> tuple[list[float], Tensor, Tensor]:
        with autocast(images.device, precision):
            logits = _in_parts(network, images)
        logits = logits.float()
        best = logits.topk(min(5, logits.shape[1])).indices
        hits = best == labels[:, None]
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
        return [float(hits[:, 0].sum()), float(hits.sum()), float(loss)], best[:, 0].cpu(), labels.cpu()

    predicted, labelled = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)]
    correct = top5 = loss = 0.0
    for counts, best, labels in each_batch(seen, batches):
        correct, top5, loss = correct + counts[0], top5 + counts[1], loss + counts[2]
        predicted.append(best)
        labelled.append(labels)
    whole = torch.cat(predicted)
    sums = [correct, top5, loss, float(len(whole))]
    correct, top5, loss, count = distributed.total(sums) if shared else sums
    return Examination(correct / count, top5 / count, loss / count, whole, torch.cat(labelled))


def _in_parts(network: nn.Module, images: Tensor) -> Tensor:
    """The logits, by halves of the batch where memory does not hold the whole: in evaluation they are the same."""
    try:
        return network(images)
    except RuntimeError as error:
        if not out_of_memory(error) or len(images) == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return torch.cat([_in_parts(network, half) for half in images.chunk(2)])


def evaluate(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, shared: bool = False, precision: str = "auto"
) -> Measured:
    """Top-1 accuracy and loss over all batches, as `examine` has them."""
    examined = examine(network, batches, shared=shared, precision=precision)
    return Measured(ACCURACY, examined.accuracy, {"loss": examined.loss})


@torch.no_grad()
def recompute_batch_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
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
