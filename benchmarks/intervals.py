"""Means and differences of scores, with their spread or their interval of 95%, as benchmarks print them."""

import statistics
from collections.abc import Sequence

from scipy import stats


def told(values: Sequence[float]) -> str:
    """Mean and standard deviation, in per cent."""
    spread = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f}{spread}"


def ahead(differences: Sequence[float]) -> str:
    """Mean of paired differences in points, with its 95% interval."""
    mean = 100 * statistics.mean(differences)
    if len(differences) < 2:
        return f"{mean:+.2f}"
    error = 100 * statistics.stdev(differences) / len(differences) ** 0.5
    return f"{mean:+.2f} ± {stats.t.ppf(0.975, len(differences) - 1) * error:.2f}"


def welch(one: Sequence[float], other: Sequence[float]) -> str:
    """Difference of means in points, with Welch's 95% interval."""
    mean = 100 * (statistics.mean(one) - statistics.mean(other))
    if min(len(one), len(other)) < 2:
        return f"{mean:+.2f}"
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    return f"{mean:+.2f} ± {50 * (interval.high - interval.low):.2f}"
