"""Changes to pictures within a bound of mean squared error, towards what another category's pictures evoke.

Pictures are N×C×H×W with values from 0 to 1, grey ones of one channel. A budget is the most that the mean squared
difference of a picture's values may be; 0 leaves it as it is (in the manner of arXiv:2011.05623, whose code is not
published).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from training.attacks.pgd import losses_and_gradient

STEPS = 40
FIRST_STEP = 0.25
"""Of the root of the budget; the later ones fall by a cosine."""
HALVINGS = 30
"""Of the interval in which the strength of noise is looked for."""
ROUNDED = 1 - 1e-5
"""Keeps what is scaled to the bound within it."""

Distances = Callable[[Tensor], Tensor]
"""From N×C×H×W pictures to N distances, each of its own picture alone."""


def mean_squared(changed: Tensor, pictures: Tensor) -> Tensor:
    """Of each picture the mean squared difference, N."""
    return ((changed - pictures) ** 2).mean((1, 2, 3))


def within(changed: Tensor, pictures: Tensor, budget: float) -> Tensor:
    """The changed pictures brought back to the budget, and between black and white.

    The second keeps the first: no value of the picture lies outside, so clipping only brings values nearer to it.
    """
    error = mean_squared(changed, pictures)
    scale = (budget / error.clamp(min=1e-30)).sqrt() * ROUNDED
    scale = torch.where(error > budget, scale, 1.0)[:, None, None, None]
    return (pictures + scale * (changed - pictures)).clamp(0, 1)


def descended(
    distances: Distances, pictures: Tensor, budget: float, *, steps: int = STEPS, smoothing: float = 0.0
) -> Tensor:
    """Pictures changed so that the distances fall: projected gradient descent from the pictures themselves.

    A step is along the gradient, of a length that is a share of the budget's root. Of all that was passed the nearest
    is returned, so no distance grows.

    Args:
        smoothing: by how much the gradient is blurred, a deviation as a share of the longer side; 0 for not at all. A
            change that is meant for one network moves another the better for it (arXiv:1904.02884).
    """
    nearest, changed = pictures, pictures
    least = torch.full((len(pictures),), math.inf, device=pictures.device)
    for step in range(steps + 1):
        found, gradient = losses_and_gradient(distances, changed)
        gradient = _smoothed(gradient, smoothing * max(pictures.shape[2:]))
        better = found < least
        least = torch.where(better, found, least)
        nearest = torch.where(better[:, None, None, None], changed, nearest)
        length = FIRST_STEP * math.sqrt(budget) * (1 + math.cos(math.pi * step / (steps + 1))) / 2
        size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-30)
        changed = within(changed - length * gradient / size, pictures, budget)
    return nearest


def _smoothed(gradient: Tensor, deviation: float) -> Tensor:
    if not deviation:
        return gradient
    reach = min(math.ceil(2 * deviation), *(side - 1 for side in gradient.shape[2:]))
    return gaussian_blur(gradient, [2 * reach + 1, 2 * reach + 1], [deviation, deviation])


def noisy(pictures: Tensor, budget: float, seeds: Sequence[int]) -> Tensor:
    """Pictures with normal noise, of the strength at which what is clipped to black and white has spent the budget.

    Args:
        seeds: of each picture its own.
    """
    drawn = [torch.randn(pictures.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    noise = torch.stack(drawn).to(pictures)
    low = torch.zeros(len(pictures), 1, 1, 1, device=pictures.device)
    high = low + 100 * math.sqrt(budget)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = (mean_squared((pictures + middle * noise).clamp(0, 1), pictures) <= budget)[:, None, None, None]
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return (pictures + low * noise).clamp(0, 1)


def share_to_blend(pictures: Tensor, others: Tensor, budget: float) -> Tensor:
    """How far each picture may go towards the other: a = √(B/MSE(x, t)), at most 1; N."""
    return (budget / mean_squared(others, pictures).clamp(min=1e-30)).sqrt().clamp(max=1)


def blended(pictures: Tensor, others: Tensor, budget: float) -> Tensor:
    """Pictures blended with others as far as the budget reaches: x + a(t − x)."""
    share = share_to_blend(pictures, others, budget)[:, None, None, None]
    return torch.where(share < 1, within(pictures + share * (others - pictures), pictures, budget), others)
