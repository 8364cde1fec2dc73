"""Channel-wise importance-based feature selection, CIFS (arXiv:2102.05311), and the probe that it learns by.

A probe is a small classifier on the mean over a map, beside the network's own. Who trains a network on labels of
classes hands them over by `asked`, and trains the probes' logits as well: so an op's signature stays that of any other.
Without labels, as in evaluation, a gate goes by the probe's own first two classes.

Differences from the authors' program: a gate is multiplied by the number of channels C, since it has the sum 1: two of
them would scale a map by 1/C each, and little of it would be left. And they are closed forms instead of gradients.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]
from torch.nn import functional as F

from search_space.attention.registry import register

HIDDEN = 128
"""Units between the layers of the nonlinear probe."""


class Probed(nn.Module):
    """An op with a probe of so many classes. In its forward pass it looks at what is `asked`."""

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes


class _Asked(threading.local):
    """What is asked of probes in this thread: batches that lie side by side have the same modules."""

    def __init__(self) -> None:
        self.labels: Tensor | None = None
        self.logits: list[Tensor] | None = None
        self.detached = True


_ASKED = _Asked()


@contextmanager
def asked(labels: Tensor | None = None, *, detached: bool = True) -> Iterator[list[Tensor]]:
    """Into the list come the logits of the probes of a network that is run within it, N×classes each, in order.

    Args:
        labels: of the pictures that the network is given, N (int64), for its gates.
        detached: whether a gate gives the map no gradients by what its probe makes of it, as in the paper. An attack
            may want to know better.
    """
    before = _ASKED.labels, _ASKED.logits, _ASKED.detached
    logits: list[Tensor] = []
    _ASKED.labels, _ASKED.logits, _ASKED.detached = labels, logits, detached
    try:
        yield logits
    finally:
        _ASKED.labels, _ASKED.logits, _ASKED.detached = before


def probes(network: nn.Module) -> list[Probed]:
    """The network's ops that have a probe, in order."""
    return [module for module in network.modules() if isinstance(module, Probed)]


def of_other_classes(one: nn.Module | None, other: nn.Module) -> bool:
    """Whether both have probes, of different numbers of classes: the rows of one say nothing of the other's."""
    return isinstance(one, Probed) and isinstance(other, Probed) and one.classes != other.classes


@register("probe")
class Probe(Probed):
    """A linear probe without a gate, as a control: deep supervision in training, and nothing besides.

    Parameters CK + K, for K classes. Without labels the map is passed on as it is: no MACs.
    """

    def __init__(self, channels: int, classes: int):
        super().__init__(classes)
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        if not is_scripting():
            self._supervised(x)
        return x

    def _supervised(self, x: Tensor) -> None:
        if _ASKED.logits is not None:
            _ASKED.logits.append(self.linear(x.mean((2, 3))))

    def make_constant(self) -> float:
        """The gate that it has not."""
        return 1.0


@register("cifs")
class FeatureSelection(Probed):
    """The gate of CIFS by a linear probe (arXiv:2102.05311, section 4): x · C · softmax(g), over the channels.

    g is the gradient of two logits of the probe by the mean over the map, W_a + W_b: of its first two classes, in
    training of the true class and its second one, which may be the same. Parameters CK + K for K classes, MACs CK.
    """

    def __init__(self, channels: int, classes: int):
        super().__init__(classes)
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.linear(x.mean((2, 3)))
        pair = logits.topk(min(2, logits.shape[1]), 1)[1]  # N×2
        if not is_scripting():
            pair = _told(pair, logits)
        relevance = self.linear.weight[pair[:, 0]] + self.linear.weight[pair[:, -1]]  # N×C
        return x * _gate(relevance)

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        nn.init.zeros_(self.linear.weight)
        return 1.0


@register("cifs_mlp")
class NonlinearFeatureSelection(Probed):
    """The gate of CIFS by a probe of two layers, as the paper has it where a linear one would be too weak.

    Between the layers are 128 units and a softplus of β = 5, whose derivative is σ(5·): g is
    [σ(5·pre) ⊙ (V_a + V_b)]·W with the layers W and V. Parameters 128(C + K) + 128 + K, MACs 128(2C + K).
    """

    sharpness: Final[float] = 5.0  # so declared, TorchScript sees it

    def __init__(self, channels: int, classes: int):
        super().__init__(classes)
        self.first = nn.Linear(channels, HIDDEN)
        self.second = nn.Linear(HIDDEN, classes)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3))
        before = self.first(pooled)
        logits = self.second(F.softplus(before, self.sharpness))
        pair = logits.topk(min(2, logits.shape[1]), 1)[1]  # N×2
        if not is_scripting():
            pair = _told(pair, logits)
            if _ASKED.detached and torch.is_grad_enabled():
                before = self.first(pooled.detach())
        chosen = self.second.weight[pair[:, 0]] + self.second.weight[pair[:, -1]]  # N×128
        relevance = F.linear((self.sharpness * before).sigmoid() * chosen, self.first.weight.t())  # N×C
        return x * _gate(relevance)

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        nn.init.zeros_(self.second.weight)
        return 1.0


def _gate(relevance: Tensor) -> Tensor:
    """N×C to gates of the mean 1, N×C×1×1."""
    return (relevance.shape[1] * relevance.softmax(1))[:, :, None, None]


def _told(pair: Tensor, logits: Tensor) -> Tensor:
    """Hands over the logits if they are asked for; the pair of classes, N×2, the first the true one if that is told."""
    if _ASKED.logits is None:
        return pair
    _ASKED.logits.append(logits)
    return pair if _ASKED.labels is None else torch.stack((_ASKED.labels, pair[:, -1]), 1)
