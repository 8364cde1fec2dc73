"""Candidates as points of a chart: what a point says, and their numbers for who saves them."""

from foundation.amounts import milliseconds, with_unit
from reports.html.charts import Frame, Point, Unit, as_csv
from reports.html.markup import Markup
from reports.notation import attention_by_stage
from reports.record import Record
from studies.trials import Candidate

MAX_POINTS = 5000
"""Candidates that a chart draws: the latest, and all of the front."""

COST_AXES = {"macs": "MACs for one picture", "params": "parameters", "latency_ns": "latency for one picture"}


def cost_unit(cost: str) -> Unit:
    """How a cost is written beside an axis."""
    return Unit(1e-6, "ms") if cost == "latency_ns" else Unit(short=True)


def metric_unit(record: Record) -> Unit:
    """How the run's metric is written beside an axis."""
    return Unit(record.metric.scale, record.metric.unit)


def told_of(record: Record, candidate: Candidate) -> str:
    """What a point says: its numbers, and the attention of each stage."""
    costs = [with_unit("macs", candidate.cost.macs), with_unit("params", candidate.cost.params)]
    if candidate.cost.latency_ns:
        costs.append(milliseconds(candidate.cost.latency_ns))
    numbers = f"{record.metric.written(candidate.score)} · {' · '.join(costs)}"
    return f"{numbers}\n{attention_by_stage(candidate.architecture)}"


def member_dot(
    frame: Frame, at: Point, record: Record, candidate: Candidate, number: int, *, alike: bool = False
) -> Markup:
    """A network of the front as a button; the page's script lets the tabulator key reach the chosen one alone.

    Args:
        alike: whether it is the best score or cannot be told from it.
    """
    told = f"network {number}: {told_of(record, candidate)}"
    return frame.dot(
        at,
        6,
        told,
        class_="member alike" if alike else "member",
        data_show=f"network-{number}",
        tabindex=0,
        role="button",
        aria_label=told,
    )


def candidates_csv(record: Record) -> str:
    """Every candidate with its numbers; of a network of the front its number there, and its score there."""
    members = {one.architecture.digest(): (number, one) for number, one in enumerate(record.front, 1)}
    trials = {one.candidate.architecture.digest(): (one.number, one.candidate) for one in record.evaluated}
    rows = []
    for digest in dict.fromkeys((*members, *trials)):
        trial, candidate = trials.get(digest, ("", None))
        network, member = members.get(digest, ("", None))
        one = member or candidate
        assert one is not None
        costs = (one.cost.macs, one.cost.params, one.cost.latency_ns or "")
        rows.append((trial, network, one.score, *costs, attention_by_stage(one.architecture), digest))
    columns = ("trial", "network", record.metric.name, "macs", "params", "latency_ns", "attention by stage", "digest")
    return as_csv(columns, rows)
