"""The loss of a network whose attention has probes: they learn from the labels too (CIFS, arXiv:2102.05311, section 4).

3/(β + 1) · [the network's loss + β/L · Σ cross-entropy of each of L probes], with the paper's β = 2: the factor is 1.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from search_space.attention.probes import asked, probes
from training.targets import Targets

WEIGHT = 2.0
"""β."""


def with_probes(loss: Tensor, logits: Sequence[Tensor], targets: Tensor, weight: float = WEIGHT) -> Tensor:
    """The loss of the whole, from the network's and the probes' logits, N×classes each; without probes the network's.

    Args:
        loss: of one number, or of N, one a picture.
        targets: N labels, or N×classes shares of each.
    """
    if not logits:
        return loss
    reduction = "none" if loss.ndim else "mean"
    total = sum(nn.functional.cross_entropy(one.float(), targets, reduction=reduction) for one in logits)
    return 3 / (weight + 1) * (loss + weight / len(logits) * total)


AddProbes = Callable[[Tensor], Tensor]
"""From a network's loss to that with its probes'."""


@contextmanager
def learning(network: nn.Module, targets: Targets) -> Iterator[AddProbes]:
    """Within it the network's probes know the targets; afterwards what it gave adds their loss to the network's."""
    if not probes(network):
        yield lambda loss: loss
        return
    assert isinstance(targets, Tensor)  # there are probes in classifiers alone
    labels = targets.argmax(1) if targets.ndim > 1 else targets  # of mixed pictures the larger share
    with asked(labels) as logits:
        yield lambda loss: with_probes(loss, logits, targets)
