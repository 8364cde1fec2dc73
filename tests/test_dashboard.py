"""Notes and plots for Optuna's dashboard, read back as the dashboard reads them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna_dashboard import get_note, save_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects, split_plot_data
from optuna_dashboard._note import get_note_from_system_attrs, note_str_key_prefix, note_ver_key, split_body

from evaluators.base import Metrics
from foundation.progress import Reporter
from reports import dashboard
from reports.dashboard import write_notes
from reports.dashboard_notes import ATTENTION_PLOT, FRONT_PLOT, drawn_in_text, study_note, trial_note
from reports.dashboard_texts import in_pieces, joined, note_pieces, note_version, plot_pieces
from reports.record import Evaluated, Record
from search_space.architecture import Attention
from search_space.cost.priced_space import PricedSpace
from studies.front import pareto_front
from studies.storage.storages import close_storage, open_storage
from studies.trials import Candidate

QUIET = Reporter(quiet=True)
COUNT = 12


@pytest.fixture(params=["sqlite", "journal"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"sqlite": f"sqlite:///{tmp_path}/study.db", "journal": f"journal:{tmp_path}/study.log"}[request.param]


@pytest.fixture
def study(url: str) -> Iterator[optuna.Study]:
    """A study with as many trials as the record has candidates."""
    storage = open_storage(url)
    study = optuna.create_study(study_name="coordnas", storage=storage, directions=["maximize", "minimize"])
    for number in range(COUNT):
        study.add_trial(optuna.trial.create_trial(values=[0.01 * number, 1.0]))
    yield study
    close_storage(storage)


@pytest.fixture
def record(tiny_space: PricedSpace, study: optuna.Study) -> Record:
    found = [tiny_space.table.at(ticket) for ticket in range(0, 7 * COUNT, 7)]
    candidates = [Candidate(one, tiny_space.cost(one), Metrics(0.5 + 0.01 * i, 0.1)) for i, one in enumerate(found)]
    trials = study.get_trials()
    return Record(
        folder=Path("runs/mine"),
        identity={
            "space": tiny_space.to_dict(),
            "budget": {"max_macs": 500_000},
            "evaluator": {"name": "supernet"},
            "sampler": {"name": "tpe", "objectives": ["accuracy", "macs"]},
            "seed": 3,
        },
        best=candidates[-1],
        data="digits",
        front=tuple(pareto_front(candidates)),
        evaluated=tuple(
            Evaluated(trial.number, trial._trial_id, one, 0.0) for trial, one in zip(trials, candidates, strict=True)
        ),
        study_id=study._study_id,
    )


def _trial_note(study: optuna.Study, number: int) -> str:
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return get_note_from_system_attrs(attributes, study.trials[number]._trial_id)["body"]


def test_every_trial_gets_its_note_and_the_study_too(study: optuna.Study, record: Record, url: str) -> None:
    write_notes(record, url, QUIET)
    for number, one in enumerate(record.evaluated):
        assert _trial_note(study, number) == trial_note(record, one.candidate)
    assert get_note(study) == study_note(record)
    assert f"Trial {COUNT - 1} is the best: 61.00 %" in get_note(study)
    assert "**accuracy**: validation accuracy, a share (0 to 1), higher is better" in get_note(study)
    assert "**MACs**: multiply-accumulates for one picture, lower is better" in get_note(study)


def test_what_was_scored_again_is_told_apart(study: optuna.Study, record: Record, url: str) -> None:
    """The best trial had one accuracy in the study's note, another in its own, and a third in Optuna's plots."""
    write_notes(record, url, QUIET)
    assert not record.scored_again
    assert "scored again" not in get_note(study) + _trial_note(study, COUNT - 1)
    save_note(optuna.Trial(study, study.trials[2]._trial_id), "mine")
    later = {one.architecture.digest(): replace(one, measured=Metrics(one.score - 0.02, 0.1)) for one in record.front}
    assert record.best is not None
    best = later[record.best.architecture.digest()]
    again = replace(record, best=best, front=tuple(later.values()))
    write_notes(again, url, QUIET)
    assert f"Trial {COUNT - 1} is the best: 59.00 %, scored again" in get_note(study)
    numbers = [again.trials[digest] for digest in later]
    front = f"front has {len(numbers)} networks, the cheapest first: trials {', '.join(map(str, numbers))}."
    assert front in get_note(study)
    note = _trial_note(study, COUNT - 1)
    assert note.startswith("#### 59.00 % accuracy, scored again (61.00 % in the search) · ")
    assert note.count("####") == 1
    assert _trial_note(study, 2) == "mine"
    shown = study._storage.get_study_user_attrs(study._study_id)
    assert shown["best"] == f"trial {COUNT - 1}: 59.00 %, scored again; 61.00 % in the search"
    assert shown["scored again"][f"trial {COUNT - 1}"] == "59.00 %"
    assert shown["run"] == "mine"


def test_a_note_draws_its_network(record: Record) -> None:
    candidate = record.evaluated[5].candidate
    note = trial_note(record, candidate)
    assert note.startswith("#### 55.00 % accuracy · ")
    rows = [line.strip("|").split("|") for line in drawn_in_text(candidate.architecture).splitlines()]
    assert len({len(row) for row in rows}) == 1
    named = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    stages = candidate.architecture.stages
    assert named["attention"] == ["", *(stage.attention_label for stage in stages), ""]
    assert named["blocks × width"] == ["8", *(f"{stage.depth} × {stage.width}" for stage in stages), "16"]
    assert named["stride"] == ["2", "2", "2", ""]
    mixed = replace(stages[0], attention=(Attention("ca", 8), Attention("none")))
    architecture = replace(candidate.architecture, stages=(mixed, *stages[1:]))
    assert "| ca/8 + – |" in drawn_in_text(architecture)


def test_the_plots(study: optuna.Study, record: Record, url: str) -> None:
    write_notes(record, url, QUIET)
    stored = get_plotly_graph_objects(study._storage.get_study_system_attrs(study._study_id))
    figures = {name: json.loads(text) for name, text in stored.items()}
    assert figures.keys() == {FRONT_PLOT, ATTENTION_PLOT}
    points = [len(trace["x"]) for trace in figures[FRONT_PLOT]["data"]]
    assert points == [COUNT - len(record.front), len(record.front)]
    rows = len(figures[ATTENTION_PLOT]["data"][0]["x"])
    assert rows == 2 * len(record.best.architecture.stages)  # type: ignore[union-attr]
    for row in range(rows):
        assert sum(trace["x"][row] for trace in figures[ATTENTION_PLOT]["data"]) == pytest.approx(100, abs=0.1)


def test_written_again_nothing_changes_but_what_is_new(study: optuna.Study, record: Record, url: str) -> None:
    write_notes(replace(record, evaluated=record.evaluated[:-3], front=record.front[:-1]), url, QUIET)
    assert _trial_note(study, COUNT - 1) == ""
    write_notes(record, url, QUIET)
    before = study._storage.get_study_system_attrs(study._study_id)
    assert get_note(study) == study_note(record)
    assert _trial_note(study, COUNT - 1) != ""
    write_notes(record, url, QUIET)
    assert study._storage.get_study_system_attrs(study._study_id) == before


def test_what_a_person_wrote_stays(study: optuna.Study, record: Record, url: str) -> None:
    write_notes(record, url, QUIET)
    save_note(study, "mine")
    note = trial_note(record, record.evaluated[0].candidate)
    changed = replace(record, identity={**record.identity, "seed": 4})
    write_notes(changed, url, QUIET)
    assert get_note(study) == "mine"
    assert _trial_note(study, 0) == note


def test_of_many_the_promising_get_notes(
    study: optuna.Study, record: Record, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "NOTED", 4)
    monkeypatch.setattr(dashboard, "ALL_NOTED", COUNT - 1)
    write_notes(record, url, QUIET)
    noted = [number for number in range(COUNT) if _trial_note(study, number)]
    assert len(noted) == 4
    assert {COUNT - 1, COUNT - 2} <= set(noted)


def test_a_storage_that_is_away_is_said(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_notes(record, f"sqlite:///{tmp_path}/absent/study.db", Reporter())
    assert capsys.readouterr().out.startswith("no notes for the dashboard: ")
    write_notes(replace(record, study_id=99), f"sqlite:///{tmp_path}/other.db", Reporter())
    assert capsys.readouterr().out.startswith("no notes for the dashboard: ")


@pytest.mark.parametrize("trial_id", [None, 7])
@pytest.mark.parametrize("length", [0, 1, 2045, 2046, 5000])
def test_texts_lie_where_the_dashboard_looks(trial_id: int | None, length: int) -> None:
    text = ("añ🦒" * length)[:length]
    assert in_pieces(text, note_pieces(trial_id)) == split_body(text, trial_id)
    assert (note_version(trial_id), note_pieces(trial_id)) == (note_ver_key(trial_id), note_str_key_prefix(trial_id))
    attributes = {note_version(trial_id): 1, **in_pieces(text, note_pieces(trial_id)), "another": "piece"}
    assert joined(attributes, note_pieces(trial_id)) == text
    assert get_note_from_system_attrs(attributes, trial_id)["body"] == text
    plot = in_pieces(text, plot_pieces("of mine"))
    assert plot == split_plot_data(text, plot_pieces("of mine"))
    assert get_plotly_graph_objects(plot) == ({"of mine": text} if text else {})
