"""What Optuna's dashboard shows of a run beside its own plots: notes of the study and of each trial, and two plots.

A trial's note draws its network as a table, a column a stage: the dashboard renders Markdown, but neither a picture
inside a note nor SVG (only with `--allow-unsafe`). Notes are written once, after the search, in one transaction where
the storage is a database. Of many trials the promising alone get one: to serve a study, the dashboard looks through
all of its notes for each trial that has one, which for 1,000 takes seconds.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage
from optuna_dashboard._custom_plot_data import SYSTEM_ATTR_PLOT_DATA, split_plot_data
from optuna_dashboard._note import get_note_from_system_attrs, note_str_key_prefix, note_ver_key, split_body
from sqlalchemy.exc import SQLAlchemyError

from foundation.amounts import human, milliseconds
from foundation.errors import InputError, first_line
from foundation.metric import Metric
from foundation.progress import Reporter
from foundation.started_as import as_typed
from reports import analysis
from reports.html.answer import question
from reports.html.palette import look, short, strength
from reports.notation import COST_NAMES, attention_by_stage, number
from reports.record import Record
from search_space.architecture import Architecture, Attention
from search_space.parts import strided
from studies.front import promising
from studies.storage.annotations import annotate
from studies.storage.storages import close_storage, open_storage
from studies.trials import Candidate

OURS = "coordnas:note"
"""The study's attribute that holds the digest of its note as it was written here."""

ALL_NOTED, NOTED = 250, 100
"""Up to so many candidates, each gets a note; of more, so many of the most promising, each time the search ends. The
dashboard opens the slower the more notes there are."""

PLOTTED = 2000
FRONT_PLOT, ATTENTION_PLOT = "front", "attention-by-stage"
GREY, ACCENT = "#9aa1aa", "#0b63a5"


def write_notes(record: Record, storage: str, reporter: Reporter) -> bool:
    """Writes the study's note, each trial's, and the plots; says so in a line if the storage cannot take them.

    Returns whether they are there, or there is nothing to note.

    A trial's note that is there is left, and the study's if somebody has edited it.

    Args:
        storage: the study's address, with its password.
    """
    if record.study_id is None or not record.evaluated:
        return True
    try:
        opened = open_storage(storage)
        try:
            _write(record, opened, record.study_id)
        finally:
            close_storage(opened)
    except (InputError, OptunaError, SQLAlchemyError, OSError, KeyError) as error:
        reason = first_line(error)
        reporter.say(f"no notes for the dashboard: {reason}")
        return False
    return True


def _write(record: Record, storage: BaseStorage, study_id: int) -> None:
    there = storage.get_study_system_attrs(study_id)
    attributes: dict[str, object] = {}
    candidates = [one.candidate for one in record.evaluated]
    most = len(candidates) if len(candidates) <= ALL_NOTED else NOTED
    noted = {candidate.architecture.digest() for candidate in promising(candidates, most)[:most]}
    for one in record.evaluated:
        if one.candidate.architecture.digest() in noted and note_ver_key(one.trial_id) not in there:
            attributes |= {note_ver_key(one.trial_id): 1, **split_body(trial_note(record, one.candidate), one.trial_id)}
    body = study_note(record)
    digest = hashlib.sha256(body.encode()).hexdigest()
    before = get_note_from_system_attrs(there, None)
    untouched = hashlib.sha256(before["body"].encode()).hexdigest() == there.get(OURS)
    if digest != there.get(OURS) and (untouched or not before["body"]):
        attributes |= {note_ver_key(None): before["version"] + 1, OURS: digest}
        attributes |= _replaced(there, note_str_key_prefix(None), split_body(body, None))
    figures = {FRONT_PLOT: front_figure(record)}
    if analysis.have_attention(analysis.alike([one.candidate for one in record.evaluated])):
        figures[ATTENTION_PLOT] = attention_figure(record)
    for name, figure in figures.items():
        prefix = f"{SYSTEM_ATTR_PLOT_DATA}{name}:"
        attributes |= _replaced(there, prefix, split_plot_data(json.dumps(figure, allow_nan=False), prefix))
    annotate(storage, study_id, {key: value for key, value in attributes.items() if there.get(key) != value})


def _replaced(there: Mapping[str, Any], prefix: str, parts: Mapping[str, str]) -> dict[str, str]:
    """The parts, and emptiness for what an earlier, longer text has beyond them."""
    return {**{key: "" for key in there if key.startswith(prefix)}, **parts}


def trial_note(record: Record, candidate: Candidate) -> str:
    """The candidate's metrics and cost, and its network as a table."""
    cost = candidate.cost
    facts = [f"{record.metric.written(candidate.score)} {record.metric.name}", f"{human(cost.macs)} MACs"]
    facts.append(f"{human(cost.params)} parameters")
    if cost.latency_ns:
        facts.append(milliseconds(cost.latency_ns))
    rest = [
        f"{100 * getattr(cost, name) / bound:.0f} % of the budget of {COST_NAMES[name]}"
        for name, bound in record.bounds.items()
    ]
    rest += [f"{name} {value:.3f}" for name, value in candidate.measured.beside.items() if math.isfinite(value)]
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
    said = [*([meaning] if meaning != metric.name else []), _unit(metric), metric.direction]
    first = f"**{metric.name}**: {', '.join(said)}"
    evaluator = (record.identity.get("evaluator") or {}).get("name", "")
    sampler = (record.identity.get("sampler") or {}).get("name", "")
    lines = [
        f"## {question(record)}",
        f"{len(record.evaluated):,} networks of space `{(record.identity.get('space') or {}).get('name', '')}` were "
        f"proposed by sampler `{sampler}` and scored by evaluator `{evaluator}`, seed {record.identity.get('seed')}.",
    ]
    if record.best is not None:
        best = record.best
        digest = best.architecture.digest()
        numbers = [str(one.number) for one in record.evaluated if one.candidate.architecture.digest() == digest]
        named = f"Trial {numbers[0]}" if numbers else "The best network"
        lines.append(
            f"{named} is the best: {metric.written(best.score)}, {human(best.cost.macs)} MACs, "
            f"{human(best.cost.params)} parameters, attention {attention_by_stage(best.architecture)}."
        )
        lines.append(drawn_in_text(best.architecture))
    lines += [
        "\n".join(f"- {line}" for line in (first, *(units[cost] for cost in costs if cost in units))),
        "Each trial's note draws its network. Its attributes hold the architecture as JSON, its digest, its costs and "
        "metrics; `attention` is that of each stage, such as `ca/4` (kind and reduction ratio) or – for none, with + "
        "between a stage's blocks where they differ. The parameters `stage0.…` are the first stage's decisions.",
        f"The run's page is `{record.folder.name}/report.html`. Next:",
        f"```\n{as_typed('python retrain.py')} {record.retraining}\n```",
    ]
    return "\n\n".join(lines)


def _unit(metric: Metric) -> str:
    """What the study's values are counted in."""
    if metric.is_share:
        return "a share (0 to 1)"
    if not metric.unit:
        return "without a unit"
    return f"in {metric.unit}" if metric.scale == 1 else f"in {metric.unit} when multiplied by {metric.scale:g}"


def front_figure(record: Record) -> dict[str, Any]:
    """Plotly's figure of the front among all candidates."""
    front = {candidate.architecture.digest() for candidate in record.front}

    def trace(name: str, some: Sequence[Candidate], marker: Mapping[str, Any], mode: str) -> dict[str, Any]:
        return {
            "type": "scatter",
            "name": name,
            "mode": mode,
            "x": [candidate.cost.macs for candidate in some],
            "y": [round(record.metric.scale * candidate.score, 4) for candidate in some],
            "text": [attention_by_stage(candidate.architecture) for candidate in some],
            "hovertemplate": "%{y} · %{x:.4s} MACs<br>%{text}<extra></extra>",
            "marker": marker,
            "line": {"color": ACCENT},
        }

    rest = [one.candidate for one in record.evaluated if one.candidate.architecture.digest() not in front]
    members = sorted(record.front, key=lambda candidate: candidate.cost.macs)
    return {
        "data": [
            trace("evaluated", rest[-PLOTTED:], {"color": GREY, "opacity": 0.45, "size": 6}, "markers"),
            trace("front", members, {"color": ACCENT, "size": 9}, "lines+markers"),
        ],
        "layout": {
            "title": {"text": "Front"},
            "xaxis": {"title": {"text": "MACs"}, "tickformat": ".3s"},
            "yaxis": {"title": {"text": record.metric.axis}},
        },
    }


def attention_figure(record: Record) -> dict[str, Any]:
    """Plotly's figure of the attention at each stage: of the candidates that scored best, beside all."""
    candidates = analysis.alike([one.candidate for one in record.evaluated])
    good = analysis.top(candidates)
    stages = range(len(candidates[0].architecture.stage_rows()))
    groups = [(f"best {len(good)}", good), (f"all {len(candidates)}", candidates)]
    rows = [f"stage {index + 1}, {name}" for index in stages for name, _ in groups]
    shares = [analysis.attention_shares(some, index) for index in stages for _, some in groups]
    options: list[Attention] = sorted({option for row in shares for option in row}, key=analysis.order)
    traces = []
    for option in options:
        name = "none" if option.kind == "none" else short(option.kind)
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name if option.reduction is None else f"{name} /{option.reduction}",
                "x": [round(100 * row.get(option, 0.0), 2) for row in shares],
                "y": rows,
                "marker": {"color": look(option.kind).light, "opacity": strength(option.reduction) + 0.2},
            }
        )
    return {
        "data": traces,
        "layout": {
            "title": {"text": "Attention by stage"},
            "barmode": "stack",
            "legend": {"traceorder": "normal"},
            "xaxis": {"title": {"text": "share of the blocks, %"}, "range": [0, 100]},
            "yaxis": {"autorange": "reversed", "automargin": True},
        },
    }
