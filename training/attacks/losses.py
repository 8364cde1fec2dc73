"""What attacks raise: a number for each picture from its logits and label, larger where the label is less likely."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

LogitLoss = Callable[[Tensor, Tensor], Tensor]
"""From logits (N×classes) and labels (N, int64) to N losses, each of its own picture alone."""

DLR_CLASSES = 3
"""As many classes as `dlr` needs."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """In nats. Of a sure network it is so near 0 that its gradient is lost to rounding."""
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def excess(logits: Tensor, labels: Tensor) -> Tensor:
    """By how much the largest logit of the other classes is above the label's; of at least two classes."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - _of_label(logits, labels)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The difference of logits ratio (arXiv:2003.01690, section 4.1): `excess` by the first logit less the third.

    It is the same for logits that are scaled or shifted, so a network cannot hide its gradient by large logits. Of two
    classes it would be 1 or -1 whatever the picture: there have to be `DLR_CLASSES`.
    """
    first, _, third = logits.topk(DLR_CLASSES, 1).values.unbind(1)
    return excess(logits, labels) / (first - third + 1e-12)


def right(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the label has the largest logit: N, bool."""
    return logits.argmax(1) == labels


def _of_label(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None])[:, 0]
