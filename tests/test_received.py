"""A run that somebody else made: what it holds is read, and nothing is opened, written or run elsewhere for it."""

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import retrain, search
from foundation.errors import InputError
from foundation.files import write_json
from foundation.progress import Reporter
from reports.record import read_record
from reports.report import REPORT, write_report
from studies.runs.run_folder import locked
from studies.storage.own_study import own_study

QUIET = Reporter(quiet=True)
SIZES = {"train": 200, "validation": 100, "test": 100}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tabular"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.data.digits.SIZES", SIZES)
        flags = ["--evaluator", "tabular", "--sampler", "random", "--trials", "6", "--startup", "6", "--quiet"]
        search.main([*flags, "--out", str(folder)])
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """Of a run a copy, which a test may spoil."""
    return shutil.copytree(made, tmp_path / "received")


def _altered(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    write_json(path, content)


def _files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All that lies below a folder, but for the report."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != REPORT:
            found[str(path.relative_to(folder))] = (path.read_bytes(), path.stat().st_mtime_ns)
    return found


def _recorded(run: Path, storage: str) -> None:
    _altered(run / "config.json", lambda config: config["free"].update(storage=storage))


def test_another_programs_database_is_left_alone(run: Path, tmp_path: Path) -> None:
    victim = tmp_path / "elsewhere" / "victim.db"
    victim.parent.mkdir()
    with sqlite3.connect(victim) as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()
    before = _files(tmp_path)
    for name in ("victim.db", "absent.db"):
        for study in (True, False):
            if not study:
                (run / "study.db").unlink(missing_ok=True)
            _recorded(run, f"sqlite:///{victim.parent / name}")
            write_report(run, QUIET)
    after = _files(tmp_path)
    for files in (before, after):
        for name in ("config.json", "study.db"):
            files.pop(f"received/{name}", None)
    assert after == before


@pytest.mark.parametrize("kind", ["journal", "grpc", "postgresql"])
def test_nothing_is_connected_to_and_no_folder_made(
    run: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "study.db").unlink()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        place = {
            "journal": f"journal:{tmp_path}/far/away.log",
            "grpc": f"grpc://127.0.0.1:{port}",
            "postgresql": f"postgresql://me:secret@127.0.0.1:{port}/theirs",
        }[kind]
        _recorded(run, place)
        write_report(run, Reporter())
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not (tmp_path / "far").exists()
    said = " ".join(capsys.readouterr().out.split())
    assert f"the study is at {place.replace('secret', '***')}, and is read from there with --storage ADDRESS" in said


def test_an_address_that_is_given_is_read(run: Path, tmp_path: Path) -> None:
    far = shutil.move(run / "study.db", tmp_path / "far.db")
    assert read_record(run).without_study == "the folder holds no study"
    assert len(read_record(run, f"sqlite:///{far}").evaluated) == 6


def test_the_own_study_is_read_and_stays_as_it_is(run: Path) -> None:
    before = _files(run)
    assert write_report(run, QUIET) == run / REPORT
    assert "6 candidates were evaluated" in (run / REPORT).read_text()
    assert _files(run) == before


def test_what_a_search_has_written_ahead_is_read_too(run: Path) -> None:
    """Of a search that runs, or was killed, the last trials are in SQLite's log."""
    database = sqlite3.connect(run / "study.db")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("UPDATE studies SET study_name = 'coordnas-later'")
    database.commit()
    assert (run / "study.db-wal").stat().st_size
    before = _files(run)
    with own_study(run / "study.db") as storage:
        assert [study.study_name for study in storage.get_all_studies()] == ["coordnas-later"]
    assert _files(run) == before
    database.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE alembic_version SET version_num = 'v9.0.0.a'", "optuna"),
        ("DELETE FROM alembic_version", "readonly"),
        ("DELETE FROM version_info", "readonly"),
        ("DROP TABLE trials", "no such table"),
        ("CREATE VIEW more AS SELECT 1", "holds 'more', which no search makes"),
        ("CREATE TRIGGER more AFTER UPDATE ON trials BEGIN DELETE FROM studies; END", "holds 'more'"),
    ],
)
def test_a_database_that_is_no_study(run: Path, statement: str, words: str) -> None:
    with sqlite3.connect(run / "study.db") as database:
        database.execute(statement)
    database.close()
    before = _files(run)
    assert words in str(read_record(run).without_study)
    assert _files(run) == before


def test_a_half_written_study(run: Path) -> None:
    (run / "study.db-journal").write_bytes(b"x")
    assert "is half written" in str(read_record(run).without_study)


@pytest.mark.parametrize("name", ["study.db", REPORT])
def test_a_link_out_of_the_run_is_not_followed(run: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (run / name).unlink()
    (run / name).symlink_to(other)
    said = write_report(run, QUIET) is None if name == REPORT else str(read_record(run).without_study)
    assert said is True or "leads out of" in str(said)
    assert other.read_text() == "mine"


def _link(run: Path, other: Path) -> None:
    (run / ".lock").unlink()
    (run / ".lock").symlink_to(other / "file")


def _folder_link(run: Path, other: Path) -> None:
    (run / "retrain").symlink_to(other)


def _pipe(run: Path, other: Path) -> None:
    os.mkfifo(run / ".study.lock.1")


@pytest.mark.parametrize("change", [_link, _folder_link, _pipe])
def test_a_folder_that_would_be_written_elsewhere(
    run: Path, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("mine")
    change(run, other)
    with pytest.raises(InputError, match=r"leads out of|neither a file nor a folder"), locked(run):
        pass
    assert [path.name for path in other.iterdir()] == ["file"]
    assert (other / "file").read_text() == "mine"


def test_links_inside_the_folder_are_fine(run: Path) -> None:
    (run / "link.json").symlink_to(run / "best.json")
    (run / "absent").symlink_to("not-there-yet")
    with locked(run):
        pass


def test_results_do_not_go_where_a_received_link_leads(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.digits.SIZES", SIZES)
    other = tmp_path / "other"
    other.mkdir()
    (run / "retrain").symlink_to(other)
    with pytest.raises(InputError, match="leads out of"):
        retrain.main([str(run), "--dry-run", "--quiet"])
    assert not list(other.iterdir())


def test_recorded_data_are_never_downloaded(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    _altered(run / "config.json", lambda config: config["free"].update(data=f"cifar10:{place}"))
    with pytest.raises(InputError, match=f"nothing is downloaded because a file says so; give `data` cifar10:{place}"):
        retrain.main([str(run), "--dry-run", "--quiet"])
    network = tmp_path / "network.json"
    network.write_text(json.dumps({**json.loads((run / "best.json").read_text()), "data": f"fashion-mnist:{place}"}))
    with pytest.raises(InputError, match="nothing is downloaded"):
        retrain.main([str(network), "--dry-run", "--quiet"])
    assert not place.exists()


def test_where_recorded_data_lie_is_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _altered(run / "config.json", lambda config: config["free"].update(data="folder:/far/away"))
    with pytest.raises(InputError, match="/far/away"):
        retrain.main([str(run), "--dry-run"])
    assert f"data folder:/far/away, as {run} says; --data names others" in capsys.readouterr().out


@pytest.mark.parametrize(
    "said", ["python search.py; rm -rf ~", "rm -rf ~", "python search.py $(rm)", "python \n search.py"]
)
def test_a_recorded_command_is_shown_only_if_it_is_a_search(run: Path, said: str) -> None:
    _altered(run / "config.json", lambda config: config["free"].update(command=said))
    write_report(run, QUIET)
    assert "rm" not in (run / REPORT).read_text().partition('id="reproduce"')[2].partition("Configuration")[0].split()
    assert "--trials 6" not in (run / REPORT).read_text()


def test_a_recorded_plugin_is_not_run(run: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    said = f"python search.py digits --plugin {plugin}"
    _altered(run / "config.json", lambda config: config["free"].update(command=said))
    write_report(run, QUIET)
    assert not (tmp_path / "ran").exists()
    assert "It runs the Python files that it names" in (run / REPORT).read_text()


def test_storage_is_for_a_run(run: Path) -> None:
    with pytest.raises(InputError, match="is not a run's folder"):
        retrain.main(["mobilenetv2-ca", "--data", "digits", "--storage", f"sqlite:///{run}/study.db", "--dry-run"])
