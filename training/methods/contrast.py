"""Contrast: features of what belongs together are drawn together, and away from others."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PROJECTED = 256


class Projector(nn.Module):
    """N×width features to N×256 of length 1, among which is contrasted: Linear, ReLU, Linear.

    It is trained beside a network and never a part of it (arXiv:2002.05709, section 4.2).
    """

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTED))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.layers(x))


def contrast(
    projected: Tensor, positive: Tensor, negative: Tensor, *, temperature: float, focal: bool = False
) -> Tensor:
    """The mean over anchors of the mean of -log p over each one's positives (arXiv:2004.11362, equation 2).

    p is the softmax over an anchor's positives and negatives. Anchors without a positive do not count; where none has
    one the loss is 0, and so are its gradients.

    Args:
        projected: M×q of length 1; the first N are the anchors.
        positive, negative: N×M, which of them are an anchor's; the anchor itself is neither.
        temperature: divides the cosines.
        focal: whether each -log p is weighed by 1 - p, so that near positives count less (arXiv:2102.06605). Gradients
            go through the weight as well.
    """
    counted = positive.any(1)
    if not counted.any():
        return projected.sum() * 0
    positive, among = positive[counted], (positive | negative)[counted]
    cosines = projected[: len(counted)][counted] @ projected.T
    # Off the positives 0, which no weight and no gradient sees.
    log_p = (cosines / temperature).masked_fill(~among, -torch.inf).log_softmax(1).masked_fill(~positive, 0)
    terms = -log_p * (1 - log_p.exp()) if focal else -log_p
    return (terms.sum(1) / positive.sum(1)).mean()


def nt_xent(projected: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss (arXiv:2002.05709, equation 1): each view's only positive is the other view of its picture.

    Args:
        projected: 2N×q of length 1: a view of each of N pictures, then the other one of each, in the same order.
    """
    rows = torch.arange(len(projected), device=projected.device)
    positive = rows[:, None] == rows.roll(len(rows) // 2)
    return contrast(projected, positive, ~positive & (rows[:, None] != rows), temperature=temperature)
