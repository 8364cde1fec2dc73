"""How long everything took: the one part of a report that differs between two equal runs."""

from datetime import datetime

from foundation.progress import duration
from reports import analysis
from reports.html.charts import Series, line_chart
from reports.html.front_section import cost_axis
from reports.html.markup import element, text
from reports.html.page import Section, pair
from reports.notation import plural
from reports.record import Record


def times(record: Record, source: str = "") -> Section:
    """When the page was written, and how long the search and each training took.

    Args:
        source: the digest of what the page is made from, times among it.
    """
    said = [f"This page was written on {datetime.now():%Y-%m-%d %H:%M} from the files in the run's folder."]
    cost = cost_axis(record)
    steps = analysis.course(record.evaluated, cost, record.bounds.get(cost))
    charts = []
    if steps and steps[-1].seconds:
        took = duration(steps[-1].seconds)
        said.append(f"The candidates were evaluated in {took} from the first to the last, pauses included.")
        unit, factor = _unit(steps[-1].seconds)
        charts.append(
            line_chart(
                [Series("", [(step.seconds / factor, step.hypervolume) for step in steps], "")],
                x_label=unit,
                x_format=lambda value: f"{value:.3g}",
                y_label="share of the final area",
                y_format=lambda value: f"{100 * value:.4g} %",
                told="hypervolume over time",
            )
        )
    if record.curves:
        seconds = sum(entry.get("seconds", 0.0) for entries in record.curves.values() for entry in entries)
        count = len(record.curves)
        said.append(f"{count} {plural('training', count)} took {duration(seconds)} in all.")
    said.append("Everything above is the same, bit for bit, in every run that does the same; this part is not.")
    content = [element("p", text(" ".join(said)), class_="quiet", data_source=source or None)]
    return Section("times", "Times", "How long it took", [*content, *([pair(*charts)] if charts else [])])


def _unit(seconds: float) -> tuple[str, float]:
    return ("hours", 3600.0) if seconds >= 7200 else ("minutes", 60.0) if seconds >= 120 else ("seconds", 1.0)
