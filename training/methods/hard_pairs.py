"""Hard pairs, made by mixing the features of pictures (arXiv:2102.06605)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST = 0.8
"""Share of a hard negative that is the other picture's, at least."""


class Draws(NamedTuple):
    """In 0 to 1, for each of N pictures.

    Attributes:
        partners: N×N; the hard negative is mixed with the picture of another class that has the largest.
        negative, positive: N, the λ of each mixture, from Beta(1, 1).
    """

    partners: Tensor
    negative: Tensor
    positive: Tensor

    @classmethod
    def of(cls, count: int, device: torch.device) -> "Draws":
        """From torch's global random state on the CPU."""
        drawn = (torch.rand(shape) for shape in ((count, count), (count,), (count,)))
        return cls(*(each.to(device) for each in drawn))


class Enlarged(NamedTuple):
    """N originals, then their hard negatives, then their hard positives: M rows.

    Attributes:
        features: M×d.
        shares: M×classes, how much of each class a row is; they sum to 1.
        positive: N×M, a picture's positives: the originals of its class but itself, and its own hard positive.
        negative: N×M, its negatives: all that holds nothing of its class, and its own hard negative. The mixtures of
            other pictures that hold some of its class are neither.
    """

    features: Tensor
    shares: Tensor
    positive: Tensor
    negative: Tensor


def enlarged(features: Tensor, labels: Tensor, num_classes: int, draws: Draws) -> Enlarged:
    """The batch with a hard negative and a hard positive for each picture. Gradients go through all of them.

    A hard negative is (1 - λ) of the picture and λ of one of another class. A hard positive is λ of the picture of the
    same class whose cosine is least, and 1 - λ of the picture of another class whose cosine is greatest. In a batch of
    one class there are no hard negatives, and the hard positive is that picture of the same class. A picture that is
    alone in its class has no hard positive.

    Args:
        features: N×d.
        labels: N (int64).
    """
    count = len(labels)
    number = torch.arange(count, device=labels.device)
    same = labels[:, None] == labels
    mates = same & (number[:, None] != number)
    shares = F.one_hot(labels, num_classes).to(features.dtype)
    has_other, has_mate = ~same.all(1), mates.any(1)

    partner = draws.partners.masked_fill(same, -1).argmax(1)
    unit = F.normalize(features.detach())  # what is mined is a choice, which has no gradient
    cosines = unit @ unit.T
    farthest = cosines.masked_fill(~mates, torch.inf).argmin(1)
    nearest = cosines.masked_fill(same, -torch.inf).argmax(1)
    negative_weight = draws.negative.clamp(min=LEAST)[:, None]
    positive_weight = torch.where(has_other, draws.positive, 1.0)[:, None]

    def with_mixtures(values: Tensor) -> Tensor:
        negatives = values.lerp(values[partner], negative_weight)
        positives = values[nearest].lerp(values[farthest], positive_weight)
        return torch.cat((values, negatives[has_other], positives[has_mate]))

    own_negative = number[:, None] == number[has_other]
    own_positive = number[:, None] == number[has_mate]
    positive = torch.cat((mates, torch.zeros_like(own_negative), own_positive), 1)
    all_shares = with_mixtures(shares)
    foreign = all_shares[:, labels].T == 0
    foreign[:, count : count + own_negative.shape[1]] |= own_negative
    return Enlarged(with_mixtures(features), all_shares, positive, foreign & ~positive)
