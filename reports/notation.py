"""How numbers and networks are written in a report."""

import statistics
from collections.abc import Sequence

from foundation.amounts import human, milliseconds
from foundation.metric import Metric
from search_space.architecture import Architecture

SIMULATED = "simulated neurons"
"""What all results of such are labelled."""
CHANGED = "Share of pictures that a decoder of the hidden network's responses takes for the target category."

COST_NAMES = {"macs": "MACs", "params": "parameters", "latency_ns": "latency"}


def signed(value: float) -> str:
    """A number with its sign, and a minus as long as the plus."""
    return f"{value:+.3g}".replace("-", "−")


def attention_by_stage(architecture: Architecture) -> str:
    """The attention of each stage, e.g. `ca/4 – se/8`."""
    return " ".join(row.attention_label for row in architecture.stage_rows())


def number(name: str, value: int | float) -> str:
    """What a row of a network has by that name: a kernel as `3×3`, and one that is not there as –."""
    if not name.endswith("kernel"):
        return f"{value}"
    return f"{value}×{value}" if value else "–"


def short_number(name: str, value: int | float) -> str:
    """The same where there is little room: `3×3`, and `e4` for an expansion of 4."""
    return number(name, value) if name.endswith("kernel") else f"{name[0]}{value}"


def amount(cost: str, value: float) -> str:
    """A cost without its name."""
    return milliseconds(round(value)) if cost == "latency_ns" else human(round(value))


def mean(metric: Metric, values: Sequence[float]) -> str:
    """The mean with its unit, and of several the standard deviation: `92.47 ± 0.71 %`."""
    spread = f" ± {metric.number(statistics.stdev(values))}" if len(values) > 1 else ""
    return f"{metric.number(statistics.mean(values))}{spread} {metric.unit}".rstrip()


def plural(word: str, count: int) -> str:
    """The word for so many."""
    if count == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("cy") else f"{word}s"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
