"""All that was measured of networks, where their metric alone says too little."""

import statistics
from collections.abc import Mapping, Sequence

from rich.table import Table

from foundation.metric import Metric, spelled
from reports.terminal.tables import plain_table


def numbers_table(measured: Mapping[str, Sequence[Mapping[str, float]]], metric: Metric, title: str) -> Table:
    """A row a network, a column a number: the metric, and what is measured beside it.

    Args:
        measured: of each network its trainings' numbers by name, of which means are shown.
    """
    names = (metric.name, *metric.beside)
    table = plain_table(title, ("network", *(spelled(name) for name in names)), words=("network",))
    for network, trainings in measured.items():
        means = (statistics.mean(one[name] for one in trainings) for name in names)
        table.add_row(network, *map(metric.written, means))
    return table
