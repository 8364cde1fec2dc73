"""Auto-PGD (Croce and Hein, arXiv:2003.01690, section 3): projected gradient ascent that sets its step by itself.

It begins with steps of twice epsilon, with momentum. At checkpoints each picture's step is halved if its loss has
hardly grown since the last one, and the picture goes back to where its loss was the largest.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from training.attacks.box import Box
from training.attacks.losses import LogitLoss, right
from training.attacks.pgd import losses_and_gradient

MOMENTUM = 0.75
"""The share of the new step in a move; the rest is of the move before."""
RISING = 0.75
"""The share of the steps that have to raise the loss, for the step to be kept."""
FIRST, SHORTER, LEAST = 0.22, 0.03, 0.06
"""Of all steps: those up to the first checkpoint, by how many fewer there are to each next one, and at least."""


def apgd(
    logits: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    box: Box,
    *,
    loss: LogitLoss,
    steps: int,
    start: Tensor,
) -> Tensor:
    """Images, N×C×H×W, changed within the box: such as the network gets wrong, or those of the largest loss seen.

    A picture that the network gets wrong is not worked on any further. The network has to be in evaluation mode.

    Args:
        logits: from images to logits, N×classes.
        labels: the true classes, N (int64).
        start: where it begins, in epsilons from the images, of their shape.
    """
    attacked = box.inside(images + box.epsilon * box.tied(start), images)
    climb = _Climb.at(attacked, images, labels, *_looked(logits, loss, attacked, labels, box))
    attacked = attacked.clone()
    climb = climb.leaving_the_wrong(attacked)
    checkpoints, last = checkpoints_of(steps), 0
    for step in range(1, steps + 1):
        if not len(climb.labels):
            break
        point = climb.moved(box, first=step == 1)
        climb = climb.went(point, *_looked(logits, loss, point, climb.labels, box)).leaving_the_wrong(attacked)
        if step in checkpoints:
            climb = climb.checked(step - last)
            last = step
    attacked[climb.number] = climb.best
    return attacked


def checkpoints_of(steps: int) -> list[int]:
    """The steps after which the size of steps is looked at: section 3.1."""
    shares, gap = [0.0], FIRST
    while shares[-1] + gap <= 1 + 1e-9:
        shares.append(shares[-1] + gap)
        gap = max(gap - SHORTER, LEAST)
    return sorted({math.ceil(share * steps - 1e-9) for share in shares[1:]})


@dataclass(frozen=True)
class _Climb:
    """Where the pictures are that are still right: a row for each of them in every tensor.

    Attributes:
        number: of the picture in the batch, int64.
        before: the point from which it came to `point`.
        loss, gradient, right: at `point`.
        best, best_loss, best_gradient: where the loss was the largest.
        size: of a step, in epsilons.
        rises: steps since the last checkpoint that raised the loss.
        best_then, halved: the largest loss at the last checkpoint, and whether the step was halved there.
    """

    number: Tensor
    images: Tensor
    labels: Tensor
    before: Tensor
    point: Tensor
    loss: Tensor
    gradient: Tensor
    right: Tensor
    best: Tensor
    best_loss: Tensor
    best_gradient: Tensor
    size: Tensor
    rises: Tensor
    best_then: Tensor
    halved: Tensor

    @classmethod
    def at(
        cls, point: Tensor, images: Tensor, labels: Tensor, loss: Tensor, gradient: Tensor, right: Tensor
    ) -> "_Climb":
        return cls(
            number=torch.arange(len(labels), device=labels.device),
            images=images,
            labels=labels,
            before=point,
            point=point,
            loss=loss,
            gradient=gradient,
            right=right,
            best=point,
            best_loss=loss,
            best_gradient=gradient,
            size=torch.full_like(loss, 2.0),
            rises=torch.zeros_like(labels),
            best_then=loss,
            halved=torch.ones_like(right),  # so that the first checkpoint looks at the rises alone
        )

    def leaving_the_wrong(self, attacked: Tensor) -> "_Climb":
        """Without the pictures that are wrong now, whose points are put among `attacked`."""
        if bool(self.right.all()):
            return self
        wrong = ~self.right
        attacked[self.number[wrong]] = self.point[wrong]
        return _Climb(*(getattr(self, each.name)[self.right] for each in fields(self)))

    def moved(self, box: Box, *, first: bool) -> Tensor:
        """The next point: a step by the gradient's sign, and some of the move before."""
        step = box.inside(self.point + _over(self.size) * box.epsilon * self.gradient.sign(), self.images)
        if first:
            return step
        mixed = self.point + MOMENTUM * (step - self.point) + (1 - MOMENTUM) * (self.point - self.before)
        return box.inside(mixed, self.images)

    def went(self, point: Tensor, loss: Tensor, gradient: Tensor, right: Tensor) -> "_Climb":
        """At the point, with what was found there."""
        better = loss > self.best_loss
        return replace(
            self,
            before=self.point,
            point=point,
            loss=loss,
            gradient=gradient,
            right=right,
            best=torch.where(_over(better), point, self.best),
            best_loss=torch.where(better, loss, self.best_loss),
            best_gradient=torch.where(_over(better), gradient, self.best_gradient),
            rises=self.rises + (loss > self.loss),
        )

    def checked(self, steps: int) -> "_Climb":
        """After a checkpoint, so many steps since the last one."""
        stuck = ~self.halved & (self.best_loss == self.best_then)
        halved = (self.rises < RISING * steps) | stuck
        return replace(
            self,
            point=torch.where(_over(halved), self.best, self.point),
            loss=torch.where(halved, self.best_loss, self.loss),
            gradient=torch.where(_over(halved), self.best_gradient, self.gradient),
            size=torch.where(halved, self.size / 2, self.size),
            rises=torch.zeros_like(self.rises),
            best_then=self.best_loss,
            halved=halved,
        )


def _looked(
    logits: Callable[[Tensor], Tensor], loss: LogitLoss, images: Tensor, labels: Tensor, box: Box
) -> tuple[Tensor, Tensor, Tensor]:
    """The losses, N, their gradient as the box lets it be followed, and whether the network is right, N."""
    found: list[Tensor] = []

    def losses(images: Tensor) -> Tensor:
        outputs = logits(images)
        found.append(right(outputs.detach(), labels))
        return loss(outputs, labels)

    values, gradient = losses_and_gradient(losses, images)
    return values, box.tied(gradient), found[0]


def _over(values: Tensor) -> Tensor:
    """N values beside N×C×H×W."""
    return values.view(-1, 1, 1, 1)
