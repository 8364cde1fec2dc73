"""Accuracy and loss of a network on labelled pictures, and the batch statistics it needs first."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training import distributed
from training.loop import autocast


class Metrics(NamedTuple):
    """Top-1 accuracy in 0 to 1, and mean cross-entropy in nats."""

    accuracy: float
    loss: float


@torch.no_grad()
def evaluate(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, shared: bool = False) -> Metrics:
    """Metrics over all batches, in evaluation mode.

    Args:
        shared: over the batches of all processes, each of which calls this with its share.
    """
    network.eval()
    correct = torch.zeros((), dtype=torch.int64)
    loss = torch.zeros((), dtype=torch.float64)
    count = 0
    for images, labels in batches:
        with autocast(images.device):
            logits = network(images)
        logits = logits.float()
        correct += (logits.argmax(1) == labels).sum().cpu()
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum").double().cpu()
        count += len(labels)
    sums = [float(correct), float(loss), float(count)]
    correct_sum, loss_sum, count_sum = distributed.total(sums) if shared else sums
    return Metrics(correct_sum / count_sum, loss_sum / count_sum)


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
