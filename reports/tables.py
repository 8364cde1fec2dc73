"""Tables for the terminal."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from deployment.compared_latency import Spread
from deployment.confusion import Evaluation
from deployment.precisions import Precision
from search_space.architecture import Architecture
from search_space.cost import Budget, Cost, human, measure, milliseconds
from studies.trials import Candidate

CLASSES_SHOWN = 30
_ATTENTION = "attention by stage"


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


class EvaluationRow(NamedTuple):
    """A trained network on labelled pictures."""

    name: str
    architecture: Architecture
    evaluation: Evaluation


def evaluation_table(rows: Sequence[EvaluationRow], title: str) -> Table:
    """Networks in the order given: top-1 and (with more than five classes) top-5 accuracy, loss, costs."""
    five = any(row.evaluation.top5 is not None for row in rows)
    table = _table(title, ("network", "top-1", *(("top-5",) if five else ()), "loss", "MACs", "params", _ATTENTION))
    for row in rows:
        found = row.evaluation
        cost = measure(row.architecture, len(found.classes))
        table.add_row(
            Text(row.name),
            _percent(found.accuracy),
            *((_share(found.top5),) if five else ()),
            f"{found.loss:.4f}",
            human(cost.macs),
            human(cost.params),
            _attention(row.architecture),
        )
    return table


def class_table(evaluation: Evaluation) -> Table:
    """Each class: its pictures, recall, precision, and what its pictures are taken for most often if not for it.

    Of many classes those with the lowest recall.
    """
    numbers = sorted(range(len(evaluation.classes)), key=lambda index: evaluation.recall[index] or 0.0)
    many = len(numbers) > CLASSES_SHOWN
    title = f"the {CLASSES_SHOWN} of {len(numbers)} classes with the lowest recall" if many else None
    table = _table(title, ("class", "pictures", "recall", "precision", "also taken for"))
    for index in numbers[:CLASSES_SHOWN] if many else sorted(numbers):
        mistaken = evaluation.mistaken(index)
        table.add_row(
            Text(evaluation.classes[index]),  # a name may have what is markup in a plain string
            str(evaluation.counts[index]),
            _share(evaluation.recall[index]),
            _share(evaluation.precision[index]),
            Text(f"{mistaken[0]} ({mistaken[1]})" if mistaken else ""),
        )
    return table


def latency_table(
    networks: Sequence[tuple[str, Architecture]], times: Mapping[tuple[str, str], Spread], title: str
) -> Table:
    """For each runtime the networks in the order given: median time of one picture, quartiles, ratio to the first."""
    table = _table(title, ("runtime", "network", "pixels", "median", "quartiles", "ratio"))
    for runtime in dict.fromkeys(runtime for _, runtime in times):
        first = times[networks[0][0], runtime].median
        for name, architecture in networks:
            found = times[name, runtime]
            table.add_row(
                runtime if name == networks[0][0] else "",
                Text(name),
                str(architecture.resolution),
                milliseconds(found.median),
                _quartiles(found),
                f"{found.median / first:.2f}",
            )
        table.add_section()
    return table


def precision_table(rows: Sequence[Precision], title: str) -> Table:
    """A network's files by how it is represented: accuracy, time of one picture with quartiles, size."""
    table = _table(title, ("network", "top-1", "loss", "median", "quartiles", "file"))
    for row in rows:
        table.add_row(
            row.name,
            _percent(row.evaluation.accuracy),
            f"{row.evaluation.loss:.4f}",
            milliseconds(row.time.median),
            _quartiles(row.time),
            f"{row.size / 1000:.0f} kB",
        )
    return table


def _quartiles(found: Spread) -> str:
    return f"{milliseconds(found.low).removesuffix(' ms')} – {milliseconds(found.high)}"


def _share(share: float | None) -> str:
    return "" if share is None else _percent(share)


def _table(title: str | None, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        words = name in ("network", "runtime", "class", "also taken for", _ATTENTION)
        table.add_column(name, justify="left" if words else "right", no_wrap=True)
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _attention(architecture: Architecture) -> str:
    return " ".join(stage.attention_label for stage in architecture.stages)
