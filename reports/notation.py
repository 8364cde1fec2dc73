"""How numbers and networks are written in a report."""

from collections.abc import Callable, Sequence

from foundation.amounts import human, milliseconds
from search_space.architecture import Architecture

COST_NAMES = {"macs": "MACs", "params": "parameters", "latency_ns": "latency"}


def percent(share: float) -> str:
    """A share as people read it: 92.47 %."""
    return f"{100 * share:.2f} %"


def score(objective: str, value: float) -> str:
    """A score with its unit, by what candidates are ranked by."""
    return percent(value) if objective == "accuracy" else f"{value:.5g}"


def points(difference: float) -> str:
    """A difference of accuracies."""
    return f"{signed(100 * difference, '.2f')} points"


def signed(value: float, style: str = ".3g") -> str:
    """A number with its sign, and a minus as long as the plus."""
    return f"{value:+{style}}".replace("-", "−")


def attention_by_stage(architecture: Architecture) -> str:
    """The attention of each stage, e.g. `ca/4 – se/8`."""
    return " ".join(row.attention_label for row in architecture.stage_rows())


def number(name: str, value: int) -> str:
    """What a row of a network has by that name: a kernel as `3×3`."""
    return f"{value}×{value}" if name == "kernel" else f"{value}"


def short_number(name: str, value: int) -> str:
    """The same where there is little room: `3×3`, and `e4` for an expansion of 4."""
    return number(name, value) if name == "kernel" else f"{name[0]}{value}"


def amount(cost: str, value: float) -> str:
    """A cost without its name."""
    return milliseconds(round(value)) if cost == "latency_ns" else human(round(value))


def tick_format(objective: str) -> Callable[[float], str]:
    """How a score is written beside an axis."""
    if objective == "accuracy":
        return lambda value: f"{100 * value:.4g} %"
    return lambda value: f"{value:.4g}"


def plural(word: str, count: int) -> str:
    """The word for so many."""
    return word if count == 1 else f"{word}s"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
