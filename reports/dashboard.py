"""What Optuna's dashboard shows of a run beside its own plots: notes of the study and of each trial, and two plots.

A trial's note draws its network as a table, a column a stage: the dashboard renders Markdown, but neither a picture
inside a note nor SVG (only with `--allow-unsafe`). Notes are written once, after the search, in one transaction where
the storage is a database. Of many trials the promising alone get one: to serve a study, the dashboard looks through
all of its notes for each trial that has one, which for 1,000 takes seconds.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage
from sqlalchemy.exc import SQLAlchemyError

from foundation.errors import InputError, first_line
from foundation.progress import Reporter
from reports import analysis
from reports.dashboard_notes import ATTENTION_PLOT, FRONT_PLOT, study_attributes, study_note, trial_note
from reports.dashboard_texts import in_pieces, joined, note_pieces, note_version, plot_pieces
from reports.notation import attention_by_stage
from reports.palette import ACCENT, INK, look, shade, short
from reports.record import Record
from search_space.architecture import Attention
from studies.front import promising
from studies.storage.annotations import annotate
from studies.storage.storages import close_storage, open_storage
from studies.trials import Candidate

OURS = "coordnas:note"
"""The study's attribute that holds the digest of its note as it was written here."""

NOTES = "coordnas:notes"
"""The study's attribute that holds the digests of the trials' notes as they were written here."""

ALL_NOTED, NOTED = 250, 100
"""Up to so many candidates, each gets a note; of more, so many of the most promising, each time the search ends. The
dashboard opens the slower the more notes there are."""

PLOTTED = 2000
MUTED, ACCENTED = INK["muted"][0], ACCENT[0]


def write_notes(record: Record, storage: str, reporter: Reporter) -> bool:
    """Writes the study's note, each trial's, and the plots; says so in a line if the storage cannot take them.

    Returns whether they are there, or there is nothing to note.

    A note that somebody has written or edited is left.

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
    written: dict[str, str] = dict(there.get(NOTES) or {})
    for one in record.evaluated:
        if one.candidate.architecture.digest() in noted or one.number in record.scored_again:
            attributes |= _noted(there, written, one.trial_id, trial_note(record, one.candidate))
    attributes[NOTES] = written
    body = study_note(record)
    digest = hashlib.sha256(body.encode()).hexdigest()
    before = joined(there, note_pieces(None))
    untouched = hashlib.sha256(before.encode()).hexdigest() == there.get(OURS)
    if digest != there.get(OURS) and (untouched or not before):
        attributes |= {OURS: digest, **_note(there, None, body)}
    figures = {FRONT_PLOT: front_figure(record)}
    if analysis.have_attention(analysis.alike([one.candidate for one in record.evaluated])):
        figures[ATTENTION_PLOT] = attention_figure(record)
    for name, figure in figures.items():
        attributes |= _replaced(there, plot_pieces(name), json.dumps(figure, allow_nan=False))
    annotate(storage, study_id, {key: value for key, value in attributes.items() if there.get(key) != value})
    shown = storage.get_study_user_attrs(study_id)
    for label, value in study_attributes(record).items():
        if shown.get(label) != value:
            storage.set_study_user_attr(study_id, label, value)


def _noted(there: Mapping[str, Any], written: dict[str, str], trial_id: int, body: str) -> dict[str, Any]:
    """The attributes of a trial's note, where there is none, or one that was written here and says something else now.

    Args:
        written: the digests of such notes by the trial's number in the storage; is brought up to date.
    """
    before = joined(there, note_pieces(trial_id))
    if before and written.get(str(trial_id)) != _digest(before):
        return {}  # somebody's own
    written[str(trial_id)] = _digest(body)
    return {} if before == body else _note(there, trial_id, body)


def _note(there: Mapping[str, Any], trial_id: int | None, body: str) -> dict[str, Any]:
    """The attributes of a note, of the study without a trial."""
    version = note_version(trial_id)
    return {version: int(there.get(version, 0)) + 1, **_replaced(there, note_pieces(trial_id), body)}


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:12]


def _replaced(there: Mapping[str, Any], prefix: str, text: str) -> dict[str, str]:
    """The pieces of a text, and emptiness for what an earlier, longer one has beyond them."""
    return {**{key: "" for key in there if key.startswith(prefix)}, **in_pieces(text, prefix)}


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
            "line": {"color": ACCENTED},
        }

    rest = [one.candidate for one in record.evaluated if one.candidate.architecture.digest() not in front]
    members = sorted(record.front, key=lambda candidate: candidate.cost.macs)
    return {
        "data": [
            trace("evaluated", rest[-PLOTTED:], {"color": MUTED, "opacity": 0.35, "size": 6}, "markers"),
            trace("front", members, {"color": ACCENTED, "size": 9}, "lines+markers"),
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
                "marker": {
                    "color": shade(option.kind, option.reduction),
                    "line": {"color": look(option.kind).light, "width": 1},
                },
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
