"""How sure predictions are, and how evenly they spread over the classes: what SHOT maximises (arXiv:2002.08546)."""

import math

import torch
from torch import Tensor

TINY = 1e-5
"""Added to what a logarithm is taken of, as SHOT does."""


def entropies(probabilities: Tensor) -> Tensor:
    """Of each row of N×K, in nats: N, from 0 (up to 1e-5 below) to log K."""
    return -(probabilities * (probabilities + TINY).log()).sum(-1)


def information_loss(logits: Tensor, diversity: float = 1.0) -> Tensor:
    """The mean entropy of predictions less the entropy of the mean prediction, of N×K: a number from −log K to 0.

    It is the negative of the mutual information of picture and prediction (arXiv:2002.08546, equations 3 and 4).

    Args:
        diversity: weight of the second term; without it predicting one class for all is the least loss.
    """
    probabilities = logits.softmax(1)
    return entropies(probabilities).mean() - diversity * entropies(probabilities.mean(0))


def equal_classes(shares: Tensor, pictures: int) -> float:
    """As many equally large classes as the shares (K, of so many pictures) are as spread out as: from 1 to K.

    It is the exponential of their entropy, corrected for the spread that few pictures seem to lack (Miller, 1955).
    """
    entropy = float(torch.special.entr(shares.double()).sum())
    return min(float(len(shares)), math.exp(entropy + (len(shares) - 1) / (2 * pictures)))
