"""Optimisers and schedules of the learning rate, by the names that a recipe gives them."""

import math
from collections.abc import Callable
from typing import Any

import torch

from training.recipe import Recipe


def optimiser(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's, on these parameter groups. `momentum` is AdamW's β₁ (arXiv:1711.05101)."""
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999))
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov and recipe.momentum > 0
    )


_FALLING: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
    "power": lambda done: (1 + 10 * done) ** -0.75,  # arXiv:1409.7495, section 4
    "steps": lambda done: 1.0 if done < 75 / 120 else 0.1 if done < 90 / 120 else 0.01,  # arXiv:2102.05311, section 5
}
"""By name: the share of the highest learning rate when a share of the steps after the warm-up is done."""


def rate(done: int, steps: int, recipe: Recipe) -> float:
    """Share of the highest learning rate after `done` of the steps: a linear warm-up, then the recipe's schedule."""
    rising = recipe.warmup * steps
    if done < rising:
        return (done + 1) / (rising + 1)
    return _FALLING[recipe.schedule]((done - rising) / max(1.0, steps - rising))
