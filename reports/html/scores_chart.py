"""The candidates' scores by the numbers of their trials, and the best until then."""

import itertools

from reports.html.candidate_points import MAX_POINTS, member_dot, metric_unit, told_of
from reports.html.charts import Frame, Unit, as_csv
from reports.html.markup import Markup
from reports.record import Record


def scores_chart(record: Record) -> Markup:
    """A point a candidate; those of the front are buttons, as where they stand by their cost.

    Scores are those of the search: the front's may have been measured again since.
    """
    points = [(float(one.number), one.candidate.score) for one in record.evaluated]
    frame = Frame(
        [0.0, *(x for x, _ in points)],
        [y for _, y in points],
        x_label="trial",
        y_label=record.title.number,
        x_format=lambda value: f"{value:.0f}",
        y_format=record.metric.tick,
        counts=True,
        units=(Unit(), metric_unit(record)),
    )
    members = {one.architecture.digest(): number for number, one in enumerate(record.front, 1)}
    values = [one.candidate.score for one in record.evaluated]
    merits = itertools.accumulate(map(record.metric.merit, values), max)
    best = [record.metric.merit(merit) for merit in merits]  # of a merit the value, as of a value the merit
    reached = [(x, y) for (x, _), y in zip(points, best, strict=True)]
    dots, buttons = [], []
    for place, (one, at) in enumerate(zip(record.evaluated, points, strict=True), MAX_POINTS - len(points)):
        number = members.get(one.candidate.architecture.digest())
        if number is not None:
            buttons.append(member_dot(frame, at, record, one.candidate, number))
        elif place >= 0:
            told = f"trial {one.number}: {told_of(record, one.candidate)}"
            dots.append(frame.dot(at, 3, told, class_="faint"))
    rows = [(one.number, one.candidate.score, y) for one, (_, y) in zip(record.evaluated, reached, strict=True)]
    return frame.chart(
        *dots,
        frame.stairs(reached, reached[-1][0], class_="stairs"),
        *buttons,
        told=f"{record.metric.words} by trial",
        numbers=as_csv(("trial", record.metric.name, "best until then"), rows),
        group=bool(buttons),
    )
