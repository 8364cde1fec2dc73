"""A study in SQLite: its log, its readers, and reading it at once."""

import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from evaluators.base import Metrics
from search_space import Budget
from search_space.cost.priced_space import PricedSpace
from studies.samplers import Goal, make_sampler
from studies.samplers.base import Proposal
from studies.storage import storages
from studies.storage.bulk_reading import read_trials
from studies.storage.optuna_study import OptunaStudy
from studies.storage.storages import close_storage, on_network, open_storage
from studies.trials import Candidate


def _filled(space: PricedSpace, folder: Path, shared: bool = False) -> OptunaStudy:
    """Some evaluated, one failed, one with rejected proposals before it; one running, if shared."""
    goal = Goal(space.within(Budget(max_params=2_000)), seed=0, startup=2)
    study = OptunaStudy(make_sampler("nsga2", goal), f"sqlite:///{folder}/study.db", shared=shared)
    rng = random.Random(0)
    for number in range(8):
        architecture = space.sample(rng)
        if study.known(architecture.digest()):
            continue
        proposal = Proposal(architecture, {"NSGAIISampler:generation": number})
        if number == 3:
            study.reject(proposal, "over budget")
            continue
        claim = study.claim(proposal, None)
        assert claim is not None
        if number == 5:
            study.fail(claim, "no luck")
        elif number < 7:
            study.accept(claim, Candidate(architecture, claim.cost, Metrics(number / 8, 1.0)))
    return study


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_read_at_once_is_what_optuna_reads(tiny_space: PricedSpace, tmp_path: Path, shared: bool) -> None:
    study = _filled(tiny_space, tmp_path, shared)
    found = read_trials(study._storage, study._study_id)
    expected = study._storage.get_all_trials(study._study_id, deepcopy=False)
    assert len(found) == len(expected) >= 6
    states = {trial.state.name for trial in found}
    assert states == {"COMPLETE", "FAIL", *(["RUNNING"] if shared else [])}
    for one, other in zip(found, expected, strict=True):
        assert one._trial_id == other._trial_id
        for what in ("number", "state", "values", "user_attrs", "system_attrs", "constraints"):
            assert getattr(one, what) == getattr(other, what)
    study.close()


def test_a_journal_is_read_by_optuna(tmp_path: Path) -> None:
    storage = open_storage(f"journal:{tmp_path}/study.log")
    study = optuna.create_study(storage=storage)
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"a": 1}))
    assert [trial.user_attrs for trial in read_trials(study._storage, study._study_id)] == [{"a": 1}]


def _mode(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        mode: str = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    return mode


def test_it_logs_ahead(tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = _filled(tiny_space, tmp_path)
    assert _mode(tmp_path / "study.db") == "wal"
    with study._storage._backend.engine.connect() as connection:  # type: ignore[attr-defined]
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
    # Who reads meanwhile, as the dashboard does, sees all, and keeps nobody from writing.
    reader = optuna.load_study(study_name="coordnas", storage=f"sqlite:///{tmp_path}/study.db")
    before = len(reader.get_trials())
    assert before == len(study._storage.get_all_trials(study._study_id))
    with sqlite3.connect(tmp_path / "study.db") as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM trials").fetchone()
        start = time.monotonic()
        claim = study.claim(Proposal(tiny_space.largest), None)
        assert claim is not None
        study.accept(claim, Candidate(tiny_space.largest, claim.cost, Metrics(0.5, 1.0)))
        assert time.monotonic() - start < 30
    reading.close()
    assert len(reader.get_trials()) == before + 1
    close_storage(reader._storage)
    study.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.db"]
    # On a network's file system it does not.
    (tmp_path / "far").mkdir()
    monkeypatch.setattr(storages, "on_network", lambda path: True)
    _filled(tiny_space, tmp_path / "far").close()
    assert _mode(tmp_path / "far" / "study.db") == "delete"


def test_network_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(storages, "MOUNTS", mounts)
    assert not on_network(Path("/shared/study.db"))  # another system than Linux
    mounts.write_text(
        "disk / ext4 rw 0 0\nhost:/a /shared nfs4 rw 0 0\n"
        "disk /shared/here xfs rw 0 0\nh: /two\\040words fuse.sshfs r 0 0\n"
    )
    assert on_network(Path("/shared/runs/study.db"))
    assert on_network(Path("/two words/study.db"))
    assert not on_network(Path("/shared/here/study.db"))
    assert not on_network(Path("/home/study.db"))


def test_what_is_told_outlives_a_kill(tmp_path: Path) -> None:
    program = (
        "import os, optuna; from studies.storage.storages import open_storage\n"
        f"study = optuna.create_study(storage=open_storage('sqlite:///{tmp_path}/study.db'), study_name='coordnas')\n"
        "for value in range(20): study.add_trial(optuna.trial.create_trial(value=float(value)))\n"
        "os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent.parent, check=False)
    assert ended.returncode == -9
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    study = optuna.load_study(study_name="coordnas", storage=storage)
    assert [trial.value for trial in study.get_trials()] == list(range(20))
    close_storage(storage)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_study_that_can_only_be_read(tiny_space: PricedSpace, tmp_path: Path) -> None:
    _filled(tiny_space, tmp_path).close()
    (tmp_path / "study.db").chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(Exception, match="readonly"):
            _filled(tiny_space, tmp_path)
    finally:
        tmp_path.chmod(0o700)
