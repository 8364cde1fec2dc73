"""A copy of a network, adapted to a few pictures in seconds: what a search can afford for each of its candidates."""

import copy
import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.seeds import derive
from search_space.network import Network
from training.adaptation.hypothesis import WithFeatures, frozen, hypothesis
from training.adaptation.information import information_loss
from training.evaluation import recompute_batch_statistics
from training.methods.drop_path import without_drop_path
from training.precision import autocast

PICTURES = 1024
"""Of those to adapt to, so many are learnt from."""
STEPS, BATCH = 16, 64
"""One pass over as many pictures."""
RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 1e-3
"""SHOT's, of digits (arXiv:2002.08546)."""


def briefly_adapted(network: Network, batches: Sequence[Tensor], precision: str) -> WithFeatures:
    """The network as SHOT would have it after a few steps; the network given stays as it is.

    Batch statistics are the pictures', then information maximisation moves the features; the hypothesis stays. There
    are no pseudo-labels and no rotations: these need many passes. It is a function of the network and the pictures:
    nothing is drawn from torch's global random state.

    Args:
        batches: pictures as the network is given them, N×C×H×W each.

    Raises InputError for a network that is no classifier of pictures, and for a lone picture.
    """
    if sum(map(len, batches)) < 2:
        raise InputError("`target`: one picture is too few to adapt to; give more")
    adapted = WithFeatures(without_drop_path(copy.deepcopy(network)))
    pictures = torch.cat(list(batches))
    parts = pictures.split(len(batches[0]))
    if len(parts) > 1 and len(parts[-1]) == 1:  # which has no statistics of its own
        parts = parts[:-1]
    recompute_batch_statistics(adapted.network, ((images, torch.empty(0)) for images in parts))
    fixed = {id(parameter) for parameter in hypothesis(adapted.network).parameters()}
    moving = [parameter for parameter in adapted.parameters() if id(parameter) not in fixed]
    optimiser = torch.optim.SGD(moving, RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    adapted.train()
    with frozen(hypothesis(adapted.network)):
        for index in itertools.islice(_order(len(pictures)), STEPS):
            images = pictures[index.to(pictures.device)]
            optimiser.zero_grad(set_to_none=True)
            with autocast(images.device, precision):
                logits = adapted.logits(adapted.features(images))
            information_loss(logits.float()).backward()
            optimiser.step()
    return adapted.eval()


def _order(pictures: int) -> Iterator[Tensor]:
    """Numbers of the pictures of each step, N (int64), pass after pass; an incomplete batch has poor statistics."""
    size = min(BATCH, pictures)
    for number in itertools.count():
        drawn = torch.Generator().manual_seed(derive(number, "brief adaptation"))
        order = torch.randperm(pictures, generator=drawn)
        yield from order[: pictures - pictures % size].split(size)
