"""Labels that a network gives itself: the class whose centroid is nearest (arXiv:2002.08546, section 3.3)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from foundation.errors import InputError
from training.adaptation.hypothesis import Seen


def pseudo_labels(seen: Seen, above: int = 0) -> Tensor:
    """A class for each of N pictures (int64), from all of them at once.

    Features have a constant 1 appended and are of length 1. Centroids are first means weighted by the probabilities,
    then means of the pictures nearest to them; nearest is by cosine. A class has a centroid only if more than `above`
    pictures are predicted as it: another one is nobody's label.

    Raises InputError if there is no such class.
    """
    features = F.normalize(F.pad(seen.features, (0, 1), value=1.0))
    counts = seen.probabilities.argmax(1).bincount(minlength=seen.probabilities.shape[1])
    there = (counts > above).nonzero()[:, 0]
    if not len(there):
        raise InputError(
            f"`centroid_above` {above}: the most pictures predicted as one class are {int(counts.max())}; give less"
        )
    weights = seen.probabilities
    for _ in range(2):
        cosines = features @ F.normalize(weights.T @ features)[there].T
        # What the first centroids left without pictures has no second one.
        nearest = cosines.masked_fill(weights.sum(0)[there] == 0, -torch.inf).argmax(1)
        weights = F.one_hot(there[nearest], seen.probabilities.shape[1]).to(features.dtype)
    return weights.argmax(1)
