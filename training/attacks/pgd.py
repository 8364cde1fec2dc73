"""Projected gradient descent (arXiv:1706.06083, section 2.1), and with one step the fast gradient sign method."""

from collections.abc import Callable

import torch
from torch import Tensor

from training.attacks.box import Box

Losses = Callable[[Tensor], Tensor]
"""From N×C×H×W images to N losses, each of its own picture alone."""


def pgd(losses: Losses, images: Tensor, box: Box, *, steps: int, step: float, start: Tensor | None = None) -> Tensor:
    """Images, N×C×H×W, changed within the box so that the losses grow: what the last step came to.

    The network has to be in evaluation mode: else a picture's loss depends on the others, and the running statistics
    are those of attacked pictures.

    Args:
        step: of each step, in epsilons, by the gradient's sign.
        start: where it begins, in epsilons from the images, of their shape; none begins at the images.
    """
    attacked = images if start is None else box.inside(images + box.epsilon * box.tied(start), images)
    for _ in range(steps):
        gradient = gradient_of(losses, attacked, box)
        attacked = box.inside(attacked + step * box.epsilon * gradient.sign(), images)
    return attacked


def gradient_of(losses: Losses, images: Tensor, box: Box) -> Tensor:
    """Of the losses by the images, N×C×H×W, as the box lets them be changed."""
    return box.tied(losses_and_gradient(losses, images)[1])


def losses_and_gradient(losses: Losses, images: Tensor) -> tuple[Tensor, Tensor]:
    """The losses, N, and their gradient by the images, N×C×H×W. No parameter is given one."""
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        found = losses(images)
        (gradient,) = torch.autograd.grad(found.sum(), images)
    return found.detach(), gradient.detach()


def uniform(like: Tensor) -> Tensor:
    """Where a training's attack starts, in epsilons: from torch's global random state, in -1 to 1."""
    return 2 * torch.rand_like(like) - 1
