"""How well scores rank networks, held against what training each of them by itself gave.

Kendall's τ-b and its bootstrap interval, Spearman's ρ, and regret: what is lost by taking the scores' word. Where MACs
vary much, counting them ranks well already; so a ranking is worth what it gets among networks of equal MACs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.float64]

RESAMPLES = 2000
COVERAGE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% bootstrap interval (percentiles)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Truth:
    """What each network's own training gave, and how it might have come out on other networks and other pictures.

    Args:
        accuracy: of each network, in 0 to 1; the mean over seeds.
        resampled: resamples × networks, the accuracies on resampled test pictures; None to take `accuracy` for exact.
        seed: of the networks drawn in each resample. Every score is held against the same resamples, so differences
            between scores are paired.
    """

    def __init__(self, accuracy: Values, resampled: Values | None = None, seed: int = 0):
        self.accuracy = np.asarray(accuracy, dtype=np.float64)
        count = len(self.accuracy)
        rng = np.random.default_rng(seed)
        resamples = RESAMPLES if resampled is None else len(resampled)
        self._drawn = rng.integers(count, size=(resamples, count))
        chosen = self.accuracy[None] if resampled is None else resampled
        self._values = np.take_along_axis(np.broadcast_to(chosen, (resamples, count)), self._drawn, 1)

    def tau(self, scores: Sequence[float]) -> Interval:
        """Kendall's τ-b of the scores (higher is better) with the accuracies."""
        return _interval(kendall(scores, self.accuracy), self.resampled_tau(scores))

    def resampled_tau(self, scores: Sequence[float]) -> Values:
        """τ in every resample; NaN where all drawn scores or accuracies are equal."""
        values = np.asarray(scores, dtype=np.float64)
        pairs = zip(self._drawn, self._values, strict=True)
        return np.array([kendall(values[drawn], truth) for drawn, truth in pairs])

    def advantage(self, scores: Sequence[float], others: Sequence[float]) -> Interval:
        """How much higher τ is by the scores than by others, by paired resamples."""
        value = kendall(scores, self.accuracy) - kendall(others, self.accuracy)
        return _interval(value, self.resampled_tau(scores) - self.resampled_tau(others))

    def spearman(self, scores: Sequence[float]) -> float:
        """Spearman's ρ: Pearson's correlation of the ranks."""
        return float(np.corrcoef(rankdata(np.asarray(scores)), rankdata(self.accuracy))[0, 1])

    def regret(self, scores: Sequence[float], count: int) -> float:
        """The best accuracy of all networks less the best among the `count` that score highest."""
        best = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:count]
        return float(self.accuracy.max() - self.accuracy[best].max())


def kendall(one: Sequence[float] | Values, other: Sequence[float] | Values) -> float:
    """Kendall's τ-b of two rankings of the same things; NaN where either holds one value only."""
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    upper = np.triu_indices(len(first), 1)
    a = np.sign(first[upper[0]] - first[upper[1]])
    b = np.sign(second[upper[0]] - second[upper[1]])
    norm = np.sqrt(float((a != 0).sum()) * float((b != 0).sum()))
    return float((a * b).sum() / norm) if norm else float("nan")


def reachable(accuracies: Values, draws: int = 400, seed: int = 0) -> float:
    """About the τ that a score without any error would have with the mean over seeds.

    The mean over few seeds is off itself, so not even the networks' exact expectations rank as it does; nor is one
    seed's τ with another a bound, since both are off there. Normal errors, of one variance for all networks: the means,
    drawn together until their spread is that without the errors, stand for the expectations, and seeds are drawn about
    them.

    Args:
        accuracies: networks × seeds, at least 2 of each.

    Returns the mean τ over the draws; NaN where the seeds explain all that the networks differ by.
    """
    networks, seeds = accuracies.shape
    error = accuracies.var(1, ddof=1).mean() / seeds
    means = accuracies.mean(1)
    spread = means.var(ddof=1)
    if error >= spread:
        return float("nan")
    expected = means.mean() + np.sqrt(1 - error / spread) * (means - means.mean())
    errors = np.random.default_rng(seed).normal(0.0, np.sqrt(error), size=(draws, networks))
    return float(np.mean([kendall(expected, expected + drawn) for drawn in errors]))


def resampled_accuracy(correct: NDArray[np.int64], counted: NDArray[np.int64], resamples: int, seed: int = 0) -> Values:
    """Accuracies on test sets whose originals are drawn anew: resamples × networks.

    Pictures made of the same original are not independent, so originals are drawn and not pictures.

    Args:
        correct: right answers, networks × originals.
        counted: pictures of each original.
    """
    rng = np.random.default_rng(seed)
    originals = len(counted)
    weights = rng.multinomial(originals, np.full(originals, 1 / originals), size=resamples)
    shares: Values = (weights @ correct.T) / (weights @ counted)[:, None]
    return shares


def _interval(value: float, resampled: Values) -> Interval:
    tail = 100 * (1 - COVERAGE) / 2
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    return Interval(value, float(low), float(high))
