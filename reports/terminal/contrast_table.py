"""The table of what a part of a network's input adds."""

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from deployment.evaluation import Evaluation
from foundation.metric import Metric
from reports.terminal.tables import plain_table


def contrast_table(name: str, usual: Evaluation, others: Mapping[str, Evaluation]) -> Table:
    """What a network's test comes to on other pictures, by what differs in them, and how far that is from `usual`."""
    metric = usual.measured.metric
    entry = next(entry for entry in usual.examination.entries if entry.name == metric.name)
    title = f"{name}: what the test comes to otherwise"
    table = plain_table(title, ("pictures", entry.heading, "difference"), words=("pictures",))
    table.add_row("as they are", metric.written(usual.measured.value), "")
    for what, other in others.items():
        now = other.measured.value
        table.add_row(Text(what), metric.written(now), _apart(metric, now - usual.measured.value))
    return table


def _apart(metric: Metric, difference: float) -> str:
    decimals = 2 if metric.decimals is None else metric.decimals
    return f"{metric.scale * difference:+.{decimals}f} {metric.step or metric.unit}".rstrip()
