"""Tables for the terminal."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from search_space.architecture import Architecture
from search_space.cost import Budget, Cost, human, milliseconds
from studies.trials import Candidate


def front_title(candidates: int, budget: Budget, objective: str, pictures: int) -> str:
    """What a front is of: the number of candidates, the budget, and what they were ranked by."""
    by = f"{pictures} validation pictures" if objective == "accuracy" else f"ranked untrained by {objective}"
    return f"front of {candidates} candidates within {budget}, {by}"


def front_table(front: Sequence[Candidate], title: str, objective: str = "accuracy") -> Table:
    """The front, best first: validation accuracy or score, costs (latency if known), and each stage's attention."""
    timed = any(candidate.cost.latency_ns for candidate in front)
    table = _table(title, (objective, "MACs", "params", *(("latency",) if timed else ()), "attention by stage"))
    for candidate in sorted(front, key=lambda c: c.merit):
        table.add_row(
            _percent(candidate.score) if objective == "accuracy" else f"{candidate.score:.5g}",
            human(candidate.cost.macs),
            human(candidate.cost.params),
            *((milliseconds(candidate.cost.latency_ns),) if timed else ()),
            _attention(candidate.architecture),
        )
    return table


class Row(NamedTuple):
    """A trained network: its test accuracies and training seconds, one a seed."""

    name: str
    architecture: Architecture
    cost: Cost
    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]


def comparison_table(rows: Sequence[Row], title: str) -> Table:
    """Trained networks in the order given: mean test accuracy (± standard deviation over seeds), costs, seconds."""
    table = _table(title, ("network", "test accuracy", "MACs", "params", "seconds", "attention by stage"))
    for row in rows:
        accuracy = _percent(statistics.mean(row.accuracies))
        if len(row.accuracies) > 1:
            accuracy += f" ± {100 * statistics.stdev(row.accuracies):.2f}"
        table.add_row(
            row.name,
            accuracy,
            human(row.cost.macs),
            human(row.cost.params),
            f"{statistics.mean(row.seconds):.0f}",
            _attention(row.architecture),
        )
    return table


def plain_table(title: str, columns: Sequence[str], words: Sequence[str]) -> Table:
    """An empty table; columns named in `words` hold words, the others numbers."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right", no_wrap=True)
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    return plain_table(title, columns, words=("network", "attention by stage"))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _attention(architecture: Architecture) -> str:
    return " ".join(stage.attention_label for stage in architecture.stages)
