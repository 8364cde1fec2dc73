"""Tables of what trained networks come to: accuracy, classes, latency, precision."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from deployment.compared_latency import Spread
from deployment.confusion import Evaluation
from deployment.precisions import Precision
from foundation.amounts import human, milliseconds
from foundation.metric import ACCURACY
from reports.notation import attention_by_stage
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.cost.cost import measure

CLASSES_SHOWN = 30
_ATTENTION = "attention by stage"


class EvaluationRow(NamedTuple):
    """A trained network on labelled pictures."""

    name: str
    architecture: Architecture
    evaluation: Evaluation


def evaluation_table(rows: Sequence[EvaluationRow], title: str) -> Table:
    """Networks in the order given: top-1 and (with more than five classes) top-5 accuracy, loss, costs."""
    five = any(row.evaluation.top5 is not None for row in rows)
    table = plain_table(
        title, ("network", "top-1", *(("top-5",) if five else ()), "loss", "MACs", "params", _ATTENTION)
    )
    for row in rows:
        found = row.evaluation
        cost = measure(row.architecture, len(found.classes))
        table.add_row(
            Text(row.name),
            ACCURACY.written(found.accuracy),
            *((_share(found.top5),) if five else ()),
            f"{found.loss:.4f}",
            human(cost.macs),
            human(cost.params),
            attention_by_stage(row.architecture),
        )
    return table


def class_table(evaluation: Evaluation) -> Table:
    """Each class: its pictures, recall, precision, and what its pictures are taken for most often if not for it.

    Of many classes those with the lowest recall.
    """
    numbers = sorted(range(len(evaluation.classes)), key=lambda index: evaluation.recall[index] or 0.0)
    many = len(numbers) > CLASSES_SHOWN
    title = f"the {CLASSES_SHOWN} of {len(numbers)} classes with the lowest recall" if many else None
    table = plain_table(title, ("class", "pictures", "recall", "precision", "also taken for"))
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
    table = plain_table(title, ("runtime", "network", "pixels", "median", "quartiles", "ratio"))
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
    table = plain_table(title, ("network", "top-1", "loss", "median", "quartiles", "file"))
    for row in rows:
        table.add_row(
            row.name,
            ACCURACY.written(row.evaluation.accuracy),
            f"{row.evaluation.loss:.4f}",
            milliseconds(row.time.median),
            _quartiles(row.time),
            f"{row.size / 1000:.0f} kB",
        )
    return table


def _quartiles(found: Spread) -> str:
    return f"{milliseconds(found.low).removesuffix(' ms')} – {milliseconds(found.high)}"


def _share(share: float | None) -> str:
    return "" if share is None else ACCURACY.written(share)
