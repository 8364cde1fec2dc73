"""The attacks that networks are tested under, each with the settings that it is known by."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from foundation.registry import Registry
from training.attacks.adaptive import adaptive
from training.attacks.apgd import apgd
from training.attacks.box import Box
from training.attacks.losses import DLR_CLASSES, LogitLoss, cross_entropy, dlr, right
from training.attacks.pgd import Losses, pgd
from training.attacks.square import square
from training.targets import in_float32

MOST_STEPS = 1_000_000
Logits = Callable[[Tensor], Tensor]
"""From normalised images (N×C×H×W) to logits (N×classes), in evaluation mode."""


class NetworkLogits(nn.Module):
    """The logits of a network, whose insides an attack may look at; every gradient by a picture is looked at, too.

    Args:
        where: how a message calls the network.
    """

    def __init__(self, network: nn.Module, where: str):
        super().__init__()
        self.network, self.where = network, where

    def _check(self, gradient: Tensor) -> None:
        if not bool(gradient.isfinite().all()):  # its sign would be 0: nothing would be changed, nor found wrong
            raise InputError(
                f"{self.where}: a gradient by a picture is not finite, so no attack can follow it; give `attack` square"
            )

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            images.register_hook(self._check)
        logits: Tensor = in_float32(self.network(images.contiguous(memory_format=torch.channels_last)))
        return logits


@dataclass(frozen=True)
class Attack(ABC):
    """What makes of pictures such as a network gets wrong.

    Attributes:
        steps: how often the network is asked about a picture, by gradient or not; by some attacks for each loss.
        unit: what these are called.
        usual: as many as there are if nothing else is said; None where there is no choice.
        gradients: whether it takes the network's gradients. One that does not is a check on those that do.
    """

    steps: int
    unit: ClassVar[str] = "steps"
    usual: ClassVar[int | None]
    gradients: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, logits: Logits, images: Tensor, labels: Tensor, box: Box, seeds: Sequence[int]) -> Tensor:
        """The images, N×C×H×W, changed within the box.

        Args:
            labels: the true classes, N (int64), of at least two.
            seeds: of each picture's random draws. None may be from torch's global random state: lanes share it.
        """


ATTACKS: Registry[type[Attack]] = Registry("attack")
"""Those of `--attack`."""


def read_attack(text: str) -> Attack:
    """The attack that `pgd` says, or with another number of steps `pgd:100`. Raises InputError for any other text."""
    name, colon, number = text.partition(":")
    if name not in ATTACKS:
        raise InputError(f"`attack` {text}: unknown; known: {ATTACKS.known()}")
    kind = ATTACKS[name]
    if not colon:
        return kind(kind.usual or 1)
    if kind.usual is None:
        raise InputError(f"`attack` {text}: has no number of {kind.unit}; give {name}")
    steps = int(number) if re.fullmatch(r"\d{1,9}", number) else 0
    if not 1 <= steps <= MOST_STEPS:
        raise InputError(
            f"`attack` {text}: expected {kind.unit} from 1 to {MOST_STEPS} after the colon, got {number or 'nothing'}"
        )
    return kind(steps)


def _cross_entropies(logits: Logits, labels: Tensor) -> Losses:
    return lambda images: cross_entropy(logits(images), labels)


@ATTACKS.register("pgd")
class PGD(Attack):
    """`pgd` from the picture itself on cross-entropy, by steps of a tenth of epsilon: 0.8/255 of 8/255."""

    usual = 20

    def __call__(self, logits: Logits, images: Tensor, labels: Tensor, box: Box, seeds: Sequence[int]) -> Tensor:
        return pgd(_cross_entropies(logits, labels), images, box, steps=self.steps, step=0.1)


@ATTACKS.register("fgsm")
class FGSM(Attack):
    """One step of a whole epsilon (arXiv:1412.6572, section 4)."""

    usual = None

    def __call__(self, logits: Logits, images: Tensor, labels: Tensor, box: Box, seeds: Sequence[int]) -> Tensor:
        return pgd(_cross_entropies(logits, labels), images, box, steps=1, step=1)


@ATTACKS.register("apgd")
class APGD(Attack):
    """`apgd` on cross-entropy, and on the difference of logits ratio for what is right then; each from a random start.

    Of two classes that ratio says nothing: there is cross-entropy alone.
    """

    usual = 100

    def __call__(self, logits: Logits, images: Tensor, labels: Tensor, box: Box, seeds: Sequence[int]) -> Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        attacked = self._on(cross_entropy, logits, images, labels, box, generators)
        with torch.no_grad():
            outputs = logits(attacked)
        left = right(outputs, labels).nonzero()[:, 0]
        if outputs.shape[1] >= DLR_CLASSES and len(left):
            own = [generators[number] for number in left.tolist()]
            attacked[left] = self._on(dlr, logits, images[left], labels[left], box, own)
        return attacked

    def _on(
        self,
        loss: LogitLoss,
        logits: Logits,
        images: Tensor,
        labels: Tensor,
        box: Box,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        _, channels, *size = images.shape
        drawn = [torch.rand(1 if box.grey else channels, *size, generator=each) * 2 - 1 for each in generators]
        start = torch.stack(drawn).to(images.device).expand_as(images)
        return apgd(logits, images, labels, box, loss=loss, steps=self.steps, start=start)


@ATTACKS.register("square")
class Square(Attack):
    """`square`. The publication has 10,000 queries and AutoAttack 5,000; 1,000 are such as a CPU can be waited for."""

    unit = "queries"
    usual = 1_000
    gradients = False

    def __call__(self, logits: Logits, images: Tensor, labels: Tensor, box: Box, seeds: Sequence[int]) -> Tensor:
        return square(logits, images, labels, box, queries=self.steps, seeds=seeds)


@ATTACKS.register("adaptive")
class Adaptive(Attack):
    """`adaptive`, on networks whose attention has gates that go by probes."""

    usual = 20

    def __call__(self, logits: Logits, images: Tensor, labels: Tensor, box: Box, seeds: Sequence[int]) -> Tensor:
        assert isinstance(logits, NetworkLogits)
        return adaptive(logits, images, labels, box, steps=self.steps)
