"""The front: every evaluated candidate as a point, and the networks that none is both better and cheaper than."""

from foundation.amounts import human, milliseconds, with_unit
from reports.html.charts import Frame
from reports.html.drawing import kinds_of, legend, scrolled
from reports.html.markup import Markup, element, text
from reports.html.page import Cell, Section, TableRow, paragraph, table, titled
from reports.notation import COST_NAMES, amount, attention_by_stage
from reports.record import Record
from search_space.cost.cost import Cost
from studies.trials import Candidate

MAX_POINTS = 5000


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
    frame = Frame(
        [getattr(candidate.cost, cost) for candidate in everything],
        [candidate.score for candidate in everything],
        x_label=COST_NAMES[cost],
        y_label=record.title.number,
        x_format=lambda value: amount(cost, value),
        y_format=record.metric.tick,
        width=640,
        height=380,
    )
    drawn = [frame.upright(record.bounds[cost], "budget")] if cost in record.bounds else []
    for candidate in rest[-MAX_POINTS:]:
        at = (getattr(candidate.cost, cost), candidate.score)
        drawn.append(frame.dot(at, 3.4, _told(record, candidate), class_="faint"))
    drawn.append(frame.path(sorted((getattr(c.cost, cost), c.score) for c in members), class_="stairs"))
    timed = any(candidate.cost.latency_ns for candidate in members)
    panels = []
    rows = []
    chosen = "network-1"
    for number, candidate in enumerate(members, 1):
        name = f"network-{number}"
        won = candidate.architecture.digest() == best
        chosen = name if won else chosen
        at = (getattr(candidate.cost, cost), candidate.score)
        mark = frame.dot(
            at,
            6.5,
            _told(record, candidate),
            class_="member",
            data_show=name,
            tabindex=0,
            role="button",
            aria_label=f"network {number}: {_told(record, candidate)}",
        )
        drawn.append(mark)
        panels.append(_panel(record, candidate, number, won))
        rows.append(
            TableRow(
                (
                    Cell(str(number), number),
                    *trial_cells(record, candidate),
                    Cell(record.metric.written(candidate.score), candidate.score),
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
    if record.title.front:
        said += f" {record.title.front}"
    chart = frame.chart(*drawn, told=f"{record.metric.name} against {COST_NAMES[cost]} of all candidates")
    content = [
        paragraph(text(said)),
        element("div", chart, element("div", *panels, data_chosen=chosen), class_="front"),
        element("div", legend(kinds_of([candidate.architecture for candidate in members])), class_="scroll"),
        titled("Networks of the front", table(columns, rows, words=("attention by stage", "digest"))),
    ]
    return Section("front", "Front", f"What {record.metric.name} costs", content)


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


def _told(record: Record, candidate: Candidate) -> str:
    costs = [with_unit("macs", candidate.cost.macs), with_unit("params", candidate.cost.params)]
    if candidate.cost.latency_ns:
        costs.append(milliseconds(candidate.cost.latency_ns))
    numbers = f"{record.metric.written(candidate.score)} · {' · '.join(costs)}"
    return f"{numbers}\n{attention_by_stage(candidate.architecture)}"


def _cost_cells(cost: Cost, timed: bool) -> list[Cell]:
    cells = [Cell(human(cost.macs), cost.macs), Cell(human(cost.params), cost.params)]
    return [*cells, Cell(milliseconds(cost.latency_ns), cost.latency_ns)] if timed else cells


def _panel(record: Record, candidate: Candidate, number: int, won: bool) -> Markup:
    trial = record.trials.get(candidate.architecture.digest())
    of_study = "" if trial is None else f" · trial {trial}"
    title = f"Network {number}{', the best' if won else ''}{of_study}"
    numbers = [(record.metric.name, record.metric.written(candidate.score))]
    numbers += [(name, f"{value:.3f}") for name, value in candidate.measured.beside.items()]
    numbers += [("MACs", f"{candidate.cost.macs:,}"), ("params", f"{candidate.cost.params:,}")]
    if candidate.cost.latency_ns:
        numbers.append(("latency", milliseconds(candidate.cost.latency_ns)))
    pairs = [element("div", element("dt", text(name)), element("dd", text(value))) for name, value in numbers]
    return element(
        "article",
        element("h3", text(title)),
        element("dl", *pairs),
        scrolled(candidate.architecture, title, record.head),
        class_="network",
        id=f"network-{number}",
    )
