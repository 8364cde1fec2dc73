"""The front: every evaluated candidate as a point, and the networks that none is both better and cheaper than."""

import json
from collections.abc import Sequence

from foundation.amounts import human, milliseconds
from foundation.metric import ACCURACY, is_corrected, spelled
from reports.html.candidate_points import (
    COST_AXES,
    MAX_POINTS,
    candidates_csv,
    cost_unit,
    member_dot,
    metric_unit,
    told_of,
)
from reports.html.charts import WIDE, Frame
from reports.html.drawing import kinds_of, legend, scrolled
from reports.html.markup import Markup, element, text
from reports.html.page import Cell, Section, TableRow, paragraph, table, titled
from reports.notation import COST_NAMES, amount, attention_by_stage
from reports.record import Record
from reports.uncertainty import Draw, draw, error_of, error_of_measured, with_error
from search_space.cost.cost import Cost
from studies.trials import Candidate

WORDS = ("beside the best", "attention by stage", "digest")


def front(record: Record) -> Section | None:
    """Every evaluated candidate as a point, and each network of the front with its numbers and its drawing."""
    if not record.front:
        return None
    cost = cost_axis(record)
    members = record.front  # in its file's order, which `describe.py --network` counts by
    digests = {candidate.architecture.digest() for candidate in members}
    rest = [one.candidate for one in record.evaluated if one.candidate.architecture.digest() not in digests]
    best = record.best.architecture.digest() if record.best else None
    everything = [*members, *rest]
    spans = [_span(record, candidate) for candidate in members]
    frame = Frame(
        [getattr(candidate.cost, cost) for candidate in everything],
        [*(candidate.score for candidate in everything), *(end for span in spans for end in span)],
        x_label=COST_AXES[cost],
        y_label=record.title.number,
        x_format=lambda value: amount(cost, value),
        y_format=record.metric.tick,
        width=WIDE,
        height=400,
        units=(cost_unit(cost), metric_unit(record)),
    )
    drawn = [frame.upright(record.bounds[cost], "budget")] if cost in record.bounds else []
    for candidate in rest[-MAX_POINTS:]:
        at = (getattr(candidate.cost, cost), candidate.score)
        drawn.append(frame.dot(at, 3.4, told_of(record, candidate), class_="faint"))
    drawn.append(frame.path(sorted((getattr(c.cost, cost), c.score) for c in members), class_="stairs"))
    for candidate, (low, high) in zip(members, spans, strict=True):
        x = getattr(candidate.cost, cost)
        drawn += [frame.path([(x, low), (x, high)], class_="error")] if high > low else []
    timed = any(candidate.cost.latency_ns for candidate in members)
    drawn_out = draw(members, record.scored_pictures)
    panels = []
    rows = []
    chosen = "network-1"
    for number, candidate in enumerate(members, 1):
        name = f"network-{number}"
        won = candidate.architecture.digest() == best
        chosen = name if won else chosen
        at = (getattr(candidate.cost, cost), candidate.score)
        drawn.append(member_dot(frame, at, record, candidate, number, alike=_is_alike(drawn_out, candidate)))
        panels.append(_panel(record, candidate, number, won))
        rows.append(
            TableRow(
                (
                    Cell(str(number), number),
                    *trial_cells(record, candidate),
                    score_cell(record, candidate),
                    *draw_cells(drawn_out, candidate),
                    *_cost_cells(candidate.cost, timed),
                    Cell(str(candidate.architecture.resolution), candidate.architecture.resolution),
                    attention_by_stage(candidate.architecture),
                    candidate.architecture.digest()[:12],
                ),
                shows=name,
            )
        )
    columns = (
        "network",
        *trial_columns(record),
        record.metric.column,
        *(("beside the best",) if drawn_out else ()),
        "MACs",
        "params",
        *(("latency",) if timed else ()),
        "pixels",
        "attention by stage",
        "digest",
    )
    said = (
        f"{len(members)} of {len(everything):,} networks are such that no other is both better and cheaper. "
        "Choose a point or a row to see its network; the faint points are all others that were evaluated."
    )
    if any(high > low for low, high in spans):
        said += " Upright lines are standard errors."
    if record.title.front:
        said += f" {record.title.front}"
    if drawn_out:
        said += f" {_said_of(drawn_out, members)}"
    told = f"{record.metric.words} against {COST_NAMES[cost]} of all candidates"
    kinds = kinds_of([candidate.architecture for candidate in members])
    content = [
        paragraph(text(said)),
        element(
            "div",
            frame.chart(*drawn, told=told, numbers=candidates_csv(record), group=True),
            element("div", *panels, data_chosen=chosen, class_="panels"),
            element("div", legend(kinds), class_="scroll"),
            titled("Networks of the front", _best_first(record, columns, rows)),
            class_="front",
        ),
    ]
    better = "a better " if is_corrected(record.metric) else ""
    return Section("front", "Front", f"What {better}{record.metric.words} costs", content)


def _best_first(record: Record, columns: Sequence[str], rows: Sequence[TableRow]) -> Markup:
    """The front's table: the best on top, though networks keep the numbers of their file."""
    best_first = [row for _, row in sorted(zip(record.front, rows, strict=True), key=lambda pair: pair[0].merit)]
    score = record.metric.column
    falling, rising = (score, None) if record.metric.higher_is_better else (None, score)
    return table(columns, best_first, words=WORDS, falling=falling, rising=rising)


def cost_axis(record: Record) -> str:
    """The cost that the front is drawn against: the first that the search lowered."""
    costs = (record.identity.get("sampler") or {}).get("objectives", ())[1:]
    return next((cost for cost in costs if cost in COST_NAMES), "macs")


def trial_columns(record: Record) -> tuple[str, ...]:
    """The heading of the trials' numbers, where the study says them."""
    return ("trial",) if record.trials else ()


def trial_cells(record: Record, candidate: Candidate) -> list[Cell]:
    """The number of its trial, by which the dashboard finds it."""
    number = record.trials.get(candidate.architecture.digest())
    return [Cell("" if number is None else str(number), number)] if record.trials else []


def score_cell(record: Record, candidate: Candidate) -> Cell:
    """What a member of the front or a finalist scored, on all validation pictures, with its standard error."""
    error = error_of_measured(candidate.measured, record.scored_pictures)
    return Cell(with_error(record.metric, candidate.score, error), candidate.score)


def draw_cells(drawn_out: Draw | None, candidate: Candidate) -> list[Cell]:
    """How a member of the front stands beside the best, where the scores do not tell all from it."""
    digest = candidate.architecture.digest()
    if drawn_out is None:
        return []
    if digest == drawn_out.best:
        return [Cell("the best score", 0.0)]
    if digest not in drawn_out.digests:
        return [Cell("", 3.0)]
    smallest = digest == drawn_out.smallest
    return [Cell("a draw, the smallest" if smallest else "a draw", 1.0 if smallest else 2.0)]


def _span(record: Record, candidate: Candidate) -> tuple[float, float]:
    """From a standard error below the score to one above it; the score alone where none is known."""
    error = error_of_measured(candidate.measured, record.scored_pictures) or 0.0
    return candidate.score - error, candidate.score + error


def _is_alike(drawn_out: Draw | None, candidate: Candidate) -> bool:
    return drawn_out is not None and candidate.architecture.digest() in drawn_out.digests


def _said_of(drawn_out: Draw, members: Sequence[Candidate]) -> str:
    number = next(n for n, one in enumerate(members, 1) if one.architecture.digest() == drawn_out.smallest)
    return (
        f"{len(drawn_out.digests) - 1} of them cannot be told from the best score (their points are filled): they lie "
        "within the standard error of the difference, reckoned as if each had pictures of its own, which is cautious "
        f"as all had the same. The smallest of these is network {number}."
    )


def _cost_cells(cost: Cost, timed: bool) -> list[Cell]:
    cells = [Cell(human(cost.macs), cost.macs), Cell(human(cost.params), cost.params)]
    return [*cells, Cell(milliseconds(cost.latency_ns), cost.latency_ns)] if timed else cells


def _beside(record: Record, name: str, value: float) -> str:
    """What was measured beside the score: an accuracy as such, with its standard error."""
    if name != ACCURACY.name:
        return f"{value:.3f}"
    return with_error(ACCURACY, value, error_of(ACCURACY, value, record.scored_pictures))


def _panel(record: Record, candidate: Candidate, number: int, won: bool) -> Markup:
    trial = record.trials.get(candidate.architecture.digest())
    of_study = "" if trial is None else f" · trial {trial}"
    title = f"Network {number}{', the best' if won else ''}{of_study}"
    metric, cost = record.metric, candidate.cost
    decimals = 3 if metric.decimals is None else metric.decimals
    steps = {"data_scale": metric.scale, "data_decimals": decimals, "data_step": metric.step or metric.unit}
    numbers = [_fact(metric.words, score_cell(record, candidate).shown, candidate.score, **steps)]
    numbers += [_fact(spelled(name), _beside(record, name, value)) for name, value in candidate.measured.beside.items()]
    numbers += [_fact("MACs", f"{cost.macs:,}", cost.macs), _fact("params", f"{cost.params:,}", cost.params)]
    if cost.latency_ns:
        numbers.append(_fact("latency", milliseconds(cost.latency_ns), cost.latency_ns))
    return element(
        "article",
        element("h3", text(title)),
        element("dl", *numbers),
        scrolled(candidate.architecture, title, record.head),
        _buttons(candidate),
        class_="network",
        id=f"network-{number}",
    )


def _fact(name: str, shown: str, value: float | None = None, **attributes: object) -> Markup:
    """A number of a network; with a value the page says how that of another one differs."""
    own = {} if value is None else {"data_name": name, "data_value": f"{value!r}", **attributes}
    return element("div", element("dt", text(name)), element("dd", text(shown), **own))


def _buttons(candidate: Candidate) -> Markup:
    """Of a network: keep it beside the next, and copy what names it and what it is."""
    architecture = candidate.architecture
    digest = architecture.digest()
    return element(
        "div",
        element("button", "keep beside the next", type="button", data_keep=True),
        element("button", text(f"copy digest {digest[:12]}"), type="button", data_copy=digest),
        element("button", "copy JSON", type="button", data_copy=json.dumps(architecture.to_dict(), indent=2)),
        class_="tools",
    )
