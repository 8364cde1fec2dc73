"""The notes and attributes by which Optuna's dashboard says what a run came to.

A trial keeps the value that it was told in the search, and Optuna's own plots show that one. The most promising are
scored again at the end, more thoroughly, and the run's page has these values: a note says both, and which is which.
"""

import math

from foundation.amounts import human, milliseconds
from foundation.metric import Metric, spelled
from foundation.started_as import as_typed
from reports.html.answer import question
from reports.notation import COST_NAMES, attention_by_stage, number
from reports.record import Record
from reports.remarks import remarks
from reports.uncertainty import error_of_measured, with_error
from reports.verdict import rival, told
from search_space.architecture import Architecture
from search_space.parts import strided
from studies.trials import Candidate

FRONT_PLOT, ATTENTION_PLOT = "front", "attention-by-stage"


def study_attributes(record: Record) -> dict[str, object]:
    """The study's attributes for those who look at it."""
    shown: dict[str, object] = {"run": record.name}
    again = record.scored_again
    if again:
        shown["scored again"] = {f"trial {number}": record.metric.written(one.score) for number, one in again.items()}
    if record.best is not None:
        shown["best"] = _best(record)
    return shown


def _best(record: Record) -> str:
    """The best by the number of its trial, with its value, and which of the two it is where there are two."""
    assert record.best is not None
    number = record.trials.get(record.best.architecture.digest())
    named = "the best network" if number is None else f"trial {number}"
    value = _known(record, record.best)
    if number not in record.scored_again:
        return f"{named}: {value}"
    quick = next(one.candidate for one in record.evaluated if one.number == number)
    return f"{named}: {value}, scored again; {record.metric.written(quick.score)} in the search"


def trial_note(record: Record, candidate: Candidate) -> str:
    """The candidate's metrics and cost, and its network as a table.

    Where it was scored again at the end, both values stand there, and which is which.
    """
    cost, metric = candidate.cost, record.metric
    later = record.scored_again.get(record.trials.get(candidate.architecture.digest(), -1))
    first = f"{metric.written(candidate.score)} {metric.words}"
    if later is not None:
        before = metric.written(candidate.score)
        first = f"{_known(record, later)} {metric.words}, scored again ({before} in the search)"
    facts = [first, f"{human(cost.macs)} MACs"]
    facts.append(f"{human(cost.params)} parameters")
    if cost.latency_ns:
        facts.append(milliseconds(cost.latency_ns))
    rest = [
        f"{100 * getattr(cost, name) / bound:.0f} % of the budget of {COST_NAMES[name]}"
        for name, bound in record.bounds.items()
    ]
    beside = candidate.measured.beside
    rest += [f"{spelled(name)} {value:.3f}" for name, value in beside.items() if math.isfinite(value)]
    if candidate.rungs:
        rest.append(f"rungs {', '.join(record.metric.written(rung) for rung in candidate.rungs)}")
    rest.append(f"digest `{candidate.architecture.digest()[:12]}`")
    return f"#### {' · '.join(facts)}\n\n{drawn_in_text(candidate.architecture)}\n\n{' · '.join(rest)}"


def drawn_in_text(architecture: Architecture) -> str:
    """The network as a Markdown table, a column a stage."""
    rows = architecture.rows()
    names = list(dict.fromkeys(name for row in rows for name, _ in row.numbers))
    columns: list[tuple[str, ...]] = [("", "attention", "blocks × width", *names, "stride", "map")]
    size = architecture.resolution
    for row in rows:
        size = strided(size, row.stride or 1)
        numbers = {name: number(name, value) for name, value in row.numbers}
        title, shape = (row.name, f"{row.width}") if row.end else (f"stage {row.name}", f"{row.depth} × {row.width}")
        stride = "" if row.stride is None else f"{row.stride}"
        attention = row.attention_label.replace("+", " + ") if row.attention else ""
        columns.append((title, attention, shape, *(numbers.get(name, "") for name in names), stride, f"{size}²"))
    # The dashboard sets columns close together: the headings keep them apart.
    columns = [(f"{heading}\N{EN SPACE}\N{EN SPACE}", *cells) for heading, *cells in columns]
    lines = [f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True)]
    lines.insert(1, f"|{'---|' * len(columns)}")
    return "\n".join(lines)


def study_note(record: Record) -> str:
    """What the run is, what its objectives and attributes mean, and the commands that go on from here."""
    costs = (record.identity.get("sampler") or {}).get("objectives", ["", "macs"])[1:]
    units = {
        "macs": "**MACs**: multiply-accumulates for one picture, lower is better",
        "params": "**parameters**: trainable, lower is better",
        "latency_ns": "**latency (ns)**: nanoseconds for one picture by the run's table, lower is better",
    }
    metric = record.metric
    meaning = record.title.meaning or record.title.number.removesuffix(f" ({metric.direction})")
    said = [*([meaning] if meaning != metric.words else []), _unit(metric), metric.direction]
    first = f"**{metric.words}**: {', '.join(said)}"
    evaluator = (record.identity.get("evaluator") or {}).get("name", "")
    sampler = (record.identity.get("sampler") or {}).get("name", "")
    lines = [
        f"## {question(record)}",
        f"{len(record.evaluated):,} networks of space `{(record.identity.get('space') or {}).get('name', '')}` were "
        f"proposed by sampler `{sampler}` and scored by evaluator `{evaluator}`, seed {record.identity.get('seed')}.",
    ]
    if record.best is not None:
        best = record.best
        number, again = record.trials.get(best.architecture.digest()), record.scored_again
        named = "The best network" if number is None else f"Trial {number}"
        later = ", scored again" if number in again else ""
        lines.append(
            f"{named} is the best: {_known(record, best)}{later}, {human(best.cost.macs)} MACs, "
            f"{human(best.cost.params)} parameters, attention {attention_by_stage(best.architecture)}."
        )
        if (against := rival(record)) is not None:
            lines.append(told(record, against))
        if again:
            lines.append(_two_values(record))
        lines += [f"{said[0].upper()}{said[1:]}." for said in remarks(record)]
        lines.append(drawn_in_text(best.architecture))
    lines += [
        "\n".join(f"- {line}" for line in (first, *(units[cost] for cost in costs if cost in units))),
        "Each trial's note draws its network. Its attributes hold the architecture as JSON, its digest, its costs and "
        "metrics; `attention` is that of each stage, such as `ca/4` (kind and reduction ratio) or – for none, with + "
        "between a stage's blocks where they differ. The parameters are what was decided, by stage, from 1; in a study "
        "that began when they were counted from 0, `stage0.…` are the first stage's.",
        f"The run's page is `{record.name}/report.html`. Next:",
        f"```\n{as_typed('python retrain.py')} {record.retraining}\n```",
    ]
    return "\n\n".join(lines)


def _known(record: Record, candidate: Candidate) -> str:
    """What was scored again, with its standard error."""
    return with_error(record.metric, candidate.score, error_of_measured(candidate.measured, record.scored_pictures))


def _two_values(record: Record) -> str:
    """Why Optuna's own plots show other values and another front than the run's page, and which trials the page has."""
    members = [record.trials.get(one.architecture.digest()) for one in record.front]
    numbers = ", ".join(str(number) for number in members if number is not None)
    return (
        "Trials have the values that they came to in the search, and Optuna's own plots show these, with the front "
        "that they make. The most promising were scored again at the end, more thoroughly: their notes have both "
        f"values, and the plot `{FRONT_PLOT}` and the run's page the second. The run's front has {len(record.front)} "
        f"networks, the cheapest first: trials {numbers}."
    )


def _unit(metric: Metric) -> str:
    """What the study's values are counted in."""
    if metric.is_share:
        return "a share (0 to 1)"
    if not metric.unit:
        return "without a unit"
    return f"in {metric.unit}" if metric.scale == 1 else f"in {metric.unit} when multiplied by {metric.scale:g}"
