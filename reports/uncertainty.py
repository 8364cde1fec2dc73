"""How well a number is known that was measured on some pictures, and which networks it does not tell apart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from foundation.metric import ACCURACY, Measured, Metric, is_corrected
from studies.trials import Candidate
from training.specs import ROBUST

SHARES = (ACCURACY.name, ROBUST)
"""Metrics that are a share of pictures: only of these does the error follow from the number of pictures."""

MEASURING = ("supernet", "proxy")
"""Evaluators whose thorough scores are measured on all validation pictures; others look up, predict or do their own."""


def measured_on(evaluator: Mapping[str, Any], metric: Metric, pictures: int | None) -> int | None:
    """How many pictures an evaluator's thorough scores are of; None where they are of none, or are no plain metric.

    Runs that began before call a corrected score by the metric's name: of such no error is known.

    Args:
        evaluator: its identity.
        pictures: that there are to validate on.
    """
    plain = evaluator.get("prior") is None or is_corrected(metric)
    return pictures if evaluator.get("name") in MEASURING and plain else None


def of_share(share: float, pictures: int) -> float:
    """The standard error of a share of so many pictures, sqrt(p (1 - p) / n), each drawn by itself.

    Of none or all, as if half a picture more were right and half one wrong: that is not known exactly either.
    """
    if share <= 0 or share >= 1:
        share = (min(1.0, max(0.0, share)) * pictures + 0.5) / (pictures + 1)
    return math.sqrt(share * (1 - share) / pictures)


def error_of(metric: Metric, value: float, pictures: int | None) -> float | None:
    """The standard error of a value of the metric; None where it does not follow from the number of pictures."""
    return of_share(value, pictures) if pictures and metric.name in SHARES and metric.is_share else None


def error_of_measured(measured: Measured, pictures: int | None) -> float | None:
    """The same of what was measured. Of a corrected score it is that of the share beside it, as far as it goes on.

    A correction is added to the log-odds of the share, so an error of these moves the score by s (1 - s) times as much.
    """
    metric, value = measured.metric, measured.value
    if not is_corrected(metric):
        return error_of(metric, value, pictures)
    name = metric.beside[0]
    if not pictures or name not in SHARES or not 0 < value < 1:
        return None
    right = measured.beside[name] * pictures
    return value * (1 - value) * math.sqrt(1 / (right + 0.5) + 1 / (max(0.0, pictures - right) + 0.5))


def with_error(metric: Metric, value: float, error: float | None) -> str:
    """`88.43 ± 0.50 %`; without an error as ever."""
    if error is None:
        return metric.written(value)
    return f"{metric.number(value)} ± {metric.number(error)} {metric.unit}".rstrip()


class Draw(NamedTuple):
    """What cannot be told from the best of some candidates.

    Attributes:
        digests: of the best and of those that it is not better than by more than the standard error of the difference.
        smallest: of these, the digest of that with the fewest multiply-accumulates.
    """

    best: str
    digests: frozenset[str]
    smallest: str


def draw(candidates: Sequence[Candidate], pictures: int | None) -> Draw | None:
    """What the scores do not tell from the best; None where their errors are not known, or the best stands alone."""
    errors = {one.architecture.digest(): error_of_measured(one.measured, pictures) for one in candidates}
    if not candidates or None in errors.values():
        return None
    best = min(candidates, key=lambda one: one.merit)
    alike = [one for one in candidates if _is_draw(best, one, errors)]
    if len(alike) < 2:
        return None
    smallest = min(alike, key=lambda one: (one.cost.macs, one.cost.params))
    digests = frozenset(one.architecture.digest() for one in alike)
    return Draw(best.architecture.digest(), digests, smallest.architecture.digest())


def _is_draw(best: Candidate, one: Candidate, errors: Mapping[str, float | None]) -> bool:
    mine, other = (errors[each.architecture.digest()] or 0.0 for each in (best, one))
    return best.measured.merit - one.measured.merit <= math.hypot(mine, other)


def near_chance(share: float, pictures: int, classes: int) -> bool:
    """Whether an accuracy is not above that of guessing by more than two standard errors."""
    return share - 1 / classes <= 2 * of_share(share, pictures)
