"""Ridge regression of neurons' responses on a network's features, and how much of the responses it explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

PENALTIES = tuple(10.0**power for power in range(-4, 5))
"""That are tried, in units of the number of pictures: features are brought to a variance of 1 before."""
SMALLEST = 1e-6
"""Deviation below which a feature says nothing."""


def ridge(features: Tensor, responses: Tensor, penalty: float) -> Tensor:
    """The weights, d×n, of W = (ΦᵀΦ + λI)⁻¹ΦᵀR, without an intercept.

    Args:
        features: Φ, N×d, in double precision.
        responses: R, N×n.
        penalty: λ, above 0.
    """
    squares = features.T @ features + penalty * torch.eye(features.shape[1], dtype=features.dtype)
    return torch.linalg.solve(squares, features.T @ responses)


def left_out_errors(features: Tensor, responses: Tensor, penalties: Sequence[float]) -> list[float]:
    """For each penalty the mean squared error on each picture of a ridge regression on all the others.

    By the hat matrix H of all pictures that is (r − Hr)/(1 − h), without fitting it again for each.

    Args:
        features, responses: as `ridge` takes them.
    """
    left, values, _ = torch.linalg.svd(features, full_matrices=False)
    turned = left.T @ responses
    found = []
    for penalty in penalties:
        kept = (values**2 / (values**2 + penalty))[:, None]
        leverage = (left**2 @ kept).clamp(max=1 - 1e-9)
        found.append(float((((responses - left @ (kept * turned)) / (1 - leverage)) ** 2).mean()))
    return found


@dataclass(frozen=True)
class Regression:
    """From a network's features to predicted responses.

    Attributes:
        centre, scale: d each, that features are brought to a mean of 0 and a variance of 1 by.
        weights: d×n.
        mean: n, of the responses.
        penalty: that was chosen.
    """

    centre: Tensor
    scale: Tensor
    weights: Tensor
    mean: Tensor
    penalty: float

    @classmethod
    def fitted(cls, features: Tensor, responses: Tensor) -> Self:
        """By ridge regression of N pictures, with the penalty that does best when one picture at a time is left out.

        Args:
            features: N×d.
            responses: N×n, the means of repeated ones.
        """
        features, responses = features.double(), responses.double()
        centre, scale, mean = features.mean(0), features.std(0, correction=0), responses.mean(0)
        scale = torch.where(scale > SMALLEST, scale, torch.inf)
        known, wanted = (features - centre) / scale, responses - mean
        penalties = [len(features) * penalty for penalty in PENALTIES]
        errors = left_out_errors(known, wanted, penalties)
        penalty = penalties[min(range(len(errors)), key=errors.__getitem__)]
        return cls(centre, scale, ridge(known, wanted, penalty), mean, penalty)

    def __call__(self, features: Tensor) -> Tensor:
        """The predicted responses, N×n, of the features' kind; gradients flow through."""
        centre, scale, weights, mean = (one.to(features) for one in (self.centre, self.scale, self.weights, self.mean))
        return (features - centre) / scale @ weights + mean


def explained_variance(predicted: Tensor, responses: Tensor) -> Tensor:
    """Of each neuron the share of the responses' variance over pictures that the prediction explains: n, at most 1.

    It is below 0 where the neuron's mean would predict better. A neuron that always responds alike has NaN.

    Args:
        predicted, responses: N×n.
    """
    left = ((responses - predicted) ** 2).sum(0)
    whole = ((responses - responses.mean(0)) ** 2).sum(0)
    return torch.where(whole > 0, 1 - left / whole, torch.nan)


def over_neurons(shares: Tensor, responses: Tensor) -> float:
    """The mean of shares of variance, n, over neurons, each weighted by its variance; those without any are left out.

    Explained variances come to the share of all neurons' variance that is explained: of one that hardly responds at
    all, and is predicted badly, the mean of the shares alone could be anything.

    Args:
        responses: that these are shares of, N×n.
    """
    weights = responses.var(0, correction=0)
    return float((shares * weights)[weights > 0].sum() / weights.sum())


def predicted_in_folds(features: Tensor, responses: Tensor, folds: int) -> Tensor:
    """Each picture's responses, N×n, predicted by a regression on the pictures of the other folds.

    Every `folds`-th picture is of the same fold, so that pictures that come sorted by class are shared out evenly.
    """
    predicted = torch.empty_like(responses, dtype=torch.float64)
    fold = torch.arange(len(features)) % folds
    for number in range(folds):
        own = fold == number
        predicted[own] = Regression.fitted(features[~own], responses[~own])(features[own].double())
    return predicted
