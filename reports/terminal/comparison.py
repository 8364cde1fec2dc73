"""A found network beside others that were trained alike: the table and paired tests."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from foundation.amounts import human
from foundation.metric import ACCURACY, Metric
from reports.notation import attention_by_stage, mean
from reports.terminal.tables import plain_table
from reports.uncertainty import error_of, with_error
from search_space.architecture import Architecture
from search_space.cost.cost import Cost


@dataclass(frozen=True)
class ComparedNetwork:
    """A network trained with some seeds.

    Attributes:
        values: of the metric on the test pictures, one a seed.
        right: whether each test picture was classified rightly, one array a seed; empty where that is not known.
        originals: of each test picture, the number of the one it is made from; None where all are independent.
        seconds: of training, one a seed.
    """

    name: str
    architecture: Architecture
    cost: Cost
    values: tuple[float, ...]
    seconds: tuple[float, ...]
    right: tuple[NDArray[np.bool_], ...] = ()
    originals: NDArray[np.int64] | None = None
    metric: Metric = ACCURACY

    @property
    def merits(self) -> tuple[float, ...]:
        """The values so that higher is better."""
        return tuple(map(self.metric.merit, self.values))


class Lead(NamedTuple):
    """How much better one network is than another, and how sure that is.

    Attributes:
        difference: of mean values of the metric, above 0 where the one is better.
        half_width: of its 95% interval; None where there is none.
        p: two-sided; None where no test is possible.
        test: in words.
    """

    difference: float
    half_width: float | None
    p: float | None
    test: str


def lead(first: ComparedNetwork, other: ComparedNetwork) -> Lead:
    """By a paired t-test over the seeds, or of a single seed by McNemar's test over the test pictures.

    Of several seeds it speaks of trainings like these; of one, of these two sets of weights on pictures like these.
    Pictures made from one original count together: they are not independent.
    """
    from scipy import stats  # takes a second to import

    differences = [one - two for one, two in zip(first.merits, other.merits, strict=True)]
    mean, count = statistics.mean(differences), len(differences)
    if count > 1:
        test = f"paired t over {count} seeds"
        if max(differences) - min(differences) < 1e-9:  # equal but for rounding: of the spread nothing is known
            return Lead(mean, None, None, test)
        error = statistics.stdev(differences) / math.sqrt(count)
        half_width = float(stats.t.ppf(0.975, count - 1)) * error
        return Lead(mean, half_width, float(stats.ttest_rel(first.merits, other.merits).pvalue), test)
    if not first.right or not other.right or len(first.right[0]) != len(other.right[0]):
        return Lead(mean, None, None, "one seed")
    won = first.right[0].astype(np.int64) - other.right[0].astype(np.int64)
    pictures = len(won)
    originals = np.arange(pictures) if first.originals is None else first.originals
    by_original = np.bincount(originals, weights=won)
    by_original = by_original[np.bincount(originals) > 0]
    spread = float((by_original**2).sum())
    # McNemar's (b - c)² / (b + c), where the counts are sums over what is independent.
    p = float(stats.chi2.sf(by_original.sum() ** 2 / spread, 1)) if spread else None
    error = math.sqrt(((by_original - by_original.mean()) ** 2).sum()) / pictures
    of = f"{pictures} test pictures" + ("" if first.originals is None else f" of {len(by_original)} originals")
    return Lead(mean, 1.96 * error, p, f"McNemar over {of}, one seed")


def comparison_table(rows: Sequence[ComparedNetwork], title: str) -> Table:
    """Trained networks in the order given: mean test value (± standard deviation over seeds), costs, seconds.

    Of one seed ± is the standard error of the test pictures, where it is known which were classified rightly.

    Beside all but the first: how far the first is ahead of it (of shares, in points), with the 95% interval and p.
    Where the first is not the best, a line below says so.
    """
    leads = [None, *(lead(rows[0], other) for other in rows[1:])]
    compared = (f"{rows[0].name} is ahead by", "p") if len(rows) > 1 else ()
    metric = rows[0].metric
    table = plain_table(
        title, ("network", f"test {metric.column}", *compared, "MACs", "params", "seconds", "attention by stage")
    )
    for row, ahead in zip(rows, leads, strict=True):
        if len(row.values) > 1 or not row.right:
            told = mean(metric, row.values)
        else:
            told = with_error(metric, row.values[0], error_of(metric, row.values[0], len(row.right[0])))
        table.add_row(
            row.name,
            told,
            *(_lead_cells(ahead, metric) if compared else ()),
            human(row.cost.macs),
            human(row.cost.params),
            f"{statistics.mean(row.seconds):.0f}",
            attention_by_stage(row.architecture),
        )
    table.caption, table.caption_justify = _beaten(rows, leads), "left"
    return table


def _beaten(rows: Sequence[ComparedNetwork], leads: Sequence[Lead | None]) -> str | None:
    """Which network does better than the first, and whether they are told apart; None where none does."""
    ahead, name = max(
        ((-one.difference, row.name) for row, one in zip(rows, leads, strict=True) if one), default=(0, "")
    )
    if ahead <= 0:
        return None
    seeds = len(rows[0].values)
    lead = next(one for row, one in zip(rows, leads, strict=True) if one and row.name == name)
    said = f"{name} does better than {rows[0].name} by {rows[0].metric.difference(ahead)}"
    if seeds > 1 and lead.half_width is not None and ahead > lead.half_width:
        return said
    unsure = "which another seed can turn" if seeds == 1 else "which is not told apart"
    return f"{said}, {unsure}: {more_seeds(seeds)} trains more of each"


def more_seeds(seeds: int) -> str:
    """The flag that trains more of each network than so many."""
    return f"--seeds {max(3, 2 * seeds)}"


def _lead_cells(ahead: Lead | None, metric: Metric) -> tuple[str, str]:
    if ahead is None:
        return "", ""
    text = metric.signed(ahead.difference).replace("−", "-")
    if ahead.half_width is not None:
        text += f" ± {metric.number(ahead.half_width)}"
    return text, "" if ahead.p is None else f"{ahead.p:.3f}" if ahead.p >= 0.001 else "<0.001"


def comparison(rows: Sequence[ComparedNetwork]) -> list[dict[str, Any]]:
    """What the table says, as plain values: the metric by seed, and how far the first is ahead of each other."""
    described = []
    for row in rows:
        entry: dict[str, Any] = {
            "network": row.name,
            "digest": row.architecture.digest(),
            "macs": row.cost.macs,
            "params": row.cost.params,
            "accuracies" if row.metric == ACCURACY else "values": list(row.values),
        }
        if row is not rows[0]:
            entry["first_ahead"] = lead(rows[0], row)._asdict()
        described.append(entry)
    return described
