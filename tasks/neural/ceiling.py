"""Noisy responses to the same picture, and the most of their variance that any prediction can explain."""

from typing import NamedTuple

import torch
from torch import Tensor

REPEATS = 10
"""Of each picture. Half of them are one half of the split."""
FANO = 1.0
"""Variance of the noise by the mean response, as of counts of spikes that follow a Poisson law."""


class Halves(NamedTuple):
    """The mean response over one half of the repeats, and over the other: N×n each."""

    first: Tensor
    second: Tensor

    @property
    def mean(self) -> Tensor:
        """Over all repeats."""
        return (self.first + self.second) / 2


def responded(clean: Tensor, seed: int, *, repeats: int = REPEATS, fano: float = FANO) -> Halves:
    """Noisy responses: normal noise of a variance that is `fano` times the mean response.

    Args:
        clean: N×n, responses without noise, from 0.
        repeats: an even number of them.
        fano: 0 for no noise.
    """
    generator = torch.Generator().manual_seed(seed)
    clean = clean.cpu().double()
    deviation = (fano * clean).sqrt()

    def half() -> Tensor:
        total = torch.zeros_like(clean)
        for _ in range(repeats // 2):
            total += clean + deviation * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        return total / (repeats // 2)

    return Halves(half(), half())


def noise_ceiling(halves: Halves) -> Tensor:
    """Of each neuron the share of the mean response's variance over pictures that is not noise: n, from 0 to 1.

    It is the split-half correlation r, brought to the length of both halves by Spearman and Brown: 2r/(1+r). A neuron
    that always responds alike has NaN.
    """
    first, second = (half - half.mean(0) for half in halves)
    correlation = (first * second).sum(0) / (first.square().sum(0) * second.square().sum(0)).sqrt()
    return (2 * correlation / (1 + correlation)).clamp(min=0)
