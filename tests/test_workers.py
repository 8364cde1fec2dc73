"""Several processes that share a study: claims, leases, storages that go away, workers that are killed."""

import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

from benchmarks import postgres
from benchmarks.workers import Written, faults, started
from evaluators.base import Metrics
from foundation.progress import Reporter
from search_space import InputError
from search_space.cost.priced_space import PricedSpace
from studies.engines import workers
from studies.loop import MAX_FAILURES, search
from studies.runs import run_folder
from studies.samplers import Goal, Proposal, make_sampler
from studies.storage.leases import ATTRIBUTE, Leases
from studies.storage.optuna_study import OptunaStudy
from studies.storage.storages import open_storage, patiently, without_password
from studies.trials import Candidate

QUIET = Reporter(quiet=True)
LEASE = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *list(folder.parents)[:3]):  # the server's own user has to get there
        parent.chmod(parent.stat().st_mode | 0o011)
    with postgres.server(folder) as running:
        yield running


def _study(space: PricedSpace, url: str, *, shared: bool = True, lease: float = LEASE, name: str = "s") -> OptunaStudy:
    goal = Goal(space, seed=0, startup=1000)
    return OptunaStudy(make_sampler("random", goal), url, name=name, shared=shared, lease=lease)


def _draw(space: PricedSpace, seed: int = 0) -> Proposal:
    return Proposal(space.sample(random.Random(seed)))


def _accepted(study: OptunaStudy, space: PricedSpace, proposal: Proposal) -> Candidate:
    claim = study.claim(proposal, None)
    assert claim is not None
    candidate = Candidate(claim.architecture, claim.cost, Metrics(0.5, 0.5))
    study.accept(claim, candidate)
    return candidate


URLS = ("sqlite:///{}/study.db", "journal:{}/study.log")


@pytest.mark.parametrize("url", URLS)
def test_an_architecture_is_claimed_once(tiny_space: PricedSpace, tmp_path: Path, url: str) -> None:
    one, other = (_study(tiny_space, url.format(tmp_path)) for _ in range(2))
    proposal = _draw(tiny_space)
    claim = one.claim(proposal, None)
    assert claim is not None
    assert other.claim(proposal, None) is None
    other.refresh()
    assert other.known(proposal.architecture.digest())
    assert other.running() == [proposal.architecture.digest()]
    candidate = Candidate(claim.architecture, claim.cost, Metrics(0.5, 0.5))
    one.accept(claim, candidate)
    other.refresh()
    assert other.candidates() == [candidate] == one.candidates()
    assert other.running() == []
    assert other.claim(proposal, None) is None
    states = [trial.state for trial in other._storage.get_all_trials(other._study_id)]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    one.close()
    other.close()


def test_no_more_than_enough_are_claimed(tiny_space: PricedSpace, tmp_path: Path) -> None:
    one, other = (_study(tiny_space, f"sqlite:///{tmp_path}/study.db") for _ in range(2))
    _accepted(one, tiny_space, _draw(tiny_space, 0))
    assert one.claim(_draw(tiny_space, 1), 2) is not None
    assert other.claim(_draw(tiny_space, 2), 2) is None
    assert other.claim(_draw(tiny_space, 3), 3) is not None
    one.close()
    other.close()


def test_what_a_lost_worker_claimed_is_claimed_again(tiny_space: PricedSpace, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    proposal = _draw(tiny_space)
    gone, left = _study(tiny_space, url, lease=0.4), _study(tiny_space, url, lease=0.4)
    claim = gone.claim(proposal, None)
    assert claim is not None
    gone.close()  # it renews no longer
    left.refresh()
    assert left.orphan() is None
    deadline = time.monotonic() + 20
    orphan = None
    while orphan is None and time.monotonic() < deadline:
        time.sleep(0.05)
        left.refresh()
        orphan = left.orphan()
    assert orphan is not None
    assert orphan.architecture == proposal.architecture
    candidate = _accepted(left, tiny_space, orphan)
    # The lost one was only asleep: what it tells is too late.
    gone.accept(claim, Candidate(claim.architecture, claim.cost, Metrics(0.9, 0.1)))
    assert gone.candidates() == []
    gone.refresh()
    assert gone.candidates() == [candidate]
    trials = left._storage.get_all_trials(left._study_id)
    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert trials[0].user_attrs["withdrawn"] == "its process was lost"
    assert trials[1].user_attrs["retries"] == 1
    left.close()


def test_an_architecture_that_kills_its_workers_is_given_up(tiny_space: PricedSpace, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    proposal = _draw(tiny_space)
    for turn in range(3):
        dying = _study(tiny_space, url, lease=0.5)
        _until_lost(dying, min(turn, 1))
        orphan = dying.orphan() or proposal
        assert dying.claim(orphan, None) is not None
        dying.close()
    last = _study(tiny_space, url, lease=0.5)
    _until_lost(last, 1)
    assert last.orphan() is None
    assert last.known(proposal.architecture.digest())
    assert last.running() == []
    last.close()


def _until_lost(study: OptunaStudy, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(study._lost) < count and time.monotonic() < deadline:
        time.sleep(0.05)
        study.refresh()
    assert len(study._lost) == count


def test_a_process_alone_takes_up_what_workers_left(tiny_space: PricedSpace, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    gone = _study(tiny_space, url)
    proposal = _draw(tiny_space)
    assert gone.claim(proposal, None) is not None
    gone.close()
    alone = _study(tiny_space, url, shared=False)
    orphan = alone.orphan()
    assert orphan is not None
    assert orphan.architecture == proposal.architecture
    _accepted(alone, tiny_space, orphan)
    states = [trial.state for trial in alone._storage.get_all_trials(alone._study_id)]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


class TestLeases:
    """By a clock that the test sets."""

    def test_lost_after_the_term_and_not_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [0.0]
        storage = InMemoryStorage()
        study = optuna.create_study(storage=storage)
        other = storage.create_new_trial(
            study._study_id, create_trial(state=TrialState.RUNNING, user_attrs={ATTRIBUTE: 0})
        )
        leases = Leases(storage, study._study_id, 4000.0, now=lambda: clock[0])
        lost = []
        for _ in range(8):
            leases.beat()
            lost.append(leases.is_lost(storage.get_trial(other)))
            clock[0] += 1000.0
        assert lost == [False] * 4 + [True] * 4
        storage.set_trial_user_attr(other, ATTRIBUTE, 1)
        leases.beat()
        assert not leases.is_lost(storage.get_trial(other))
        # Time in which nothing could be read does not count.
        with monkeypatch.context() as away:
            away.setattr(storage, "get_all_trials", None)
            leases.beat()
        clock[0] += 100_000.0
        leases.beat()
        assert not leases.is_lost(storage.get_trial(other))
        clock[0] += 4000.0
        leases.beat()
        assert leases.is_lost(storage.get_trial(other))
        leases.close()

    def test_own_trials_are_renewed_and_never_lost(self) -> None:
        storage = InMemoryStorage()
        study = optuna.create_study(storage=storage)
        own = storage.create_new_trial(
            study._study_id, create_trial(state=TrialState.RUNNING, user_attrs={ATTRIBUTE: 0})
        )
        leases = Leases(storage, study._study_id, 4000.0)
        leases.hold(own)
        for count in (1, 2, 3):
            leases.beat()
            assert storage.get_trial(own).user_attrs[ATTRIBUTE] == count
        assert not leases.is_lost(storage.get_trial(own))
        storage.set_trial_state_values(own, TrialState.COMPLETE, [1.0])
        leases.beat()
        assert storage.get_trial(own).user_attrs[ATTRIBUTE] == 3
        leases.close()


class TestFailures:
    """Evaluations that raise."""

    class Failing(Written):
        def __init__(self, path: Path, bad: int):
            super().__init__(path)
            self.bad = bad
            self.calls = 0

        def evaluate(self, architecture, *, thorough=False):  # type: ignore[no-untyped-def]
            self.calls += 1
            if self.calls % 3 < self.bad:
                raise RuntimeError(f"bad luck\n{self.calls}")
            return super().evaluate(architecture)

    @pytest.mark.parametrize("shared", [False, True])
    def test_the_search_goes_on(self, tiny_space: PricedSpace, tmp_path: Path, shared: bool) -> None:
        study = _study(tiny_space, f"sqlite:///{tmp_path}/study.db", shared=shared)
        candidates = search(study, self.Failing(tmp_path / "evaluated", 1), trials=9, reporter=QUIET)
        study.close()
        assert len(candidates) == 9
        trials = study._storage.get_all_trials(study._study_id)
        failed = [trial for trial in trials if trial.state == TrialState.FAIL]
        assert [trial.user_attrs["failed"] for trial in failed] == ["RuntimeError: bad luck"] * 4
        assert len({trial.user_attrs["digest"] for trial in trials}) == 13

    def test_several_in_a_row_end_it(self, tiny_space: PricedSpace, tmp_path: Path) -> None:
        study = _study(tiny_space, f"sqlite:///{tmp_path}/study.db", shared=False)
        evaluator = self.Failing(tmp_path / "evaluated", 3)
        with pytest.raises(InputError, match=f"the last {MAX_FAILURES} evaluations failed: RuntimeError: bad luck"):
            search(study, evaluator, trials=9, reporter=QUIET)
        assert evaluator.calls == MAX_FAILURES


class TestStorages:
    """Addresses, and storages that are not there."""

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("magic://x", "`storage` magic:.*: unknown kind; known: sqlite:///FILE, journal:FILE, postgresql:"),
            ("journal:", "expected journal:FILE"),
            ("grpc://nowhere", "expected grpc://HOST:PORT"),
            (
                "postgresql://me:secret@127.0.0.1:9/x",
                r"`storage` postgresql://me:\*\*\*@127.0.0.1:9/x: cannot be reached",
            ),
        ],
    )
    def test_refused_in_a_line(self, url: str, message: str) -> None:
        with pytest.raises(InputError, match=message) as refused:
            open_storage(url)
        assert "secret" not in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1

    def test_no_password_is_shown(self) -> None:
        assert without_password("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
        assert without_password("postgresql://me@host/db?password=secret") == "postgresql://me@host/db"
        assert "cret" not in without_password("postgresql://me:se@cret@host/db")
        assert without_password("sqlite:///runs/study.db") == "sqlite:///runs/study.db"

    def test_a_torn_line_of_a_journal_is_cut(self, tiny_space: PricedSpace, tmp_path: Path) -> None:
        path = tmp_path / "study.log"
        study = _study(tiny_space, f"journal:{path}")
        _accepted(study, tiny_space, _draw(tiny_space))
        study.close()
        whole = path.read_bytes()
        path.write_bytes(whole + whole.splitlines(keepends=True)[-1][:-9])
        study = _study(tiny_space, f"journal:{path}")
        mended = path.read_bytes()  # and what Optuna wrote when it opened it
        assert mended.startswith(whole)
        assert [json.loads(line) for line in mended.splitlines()]
        _accepted(study, tiny_space, _draw(tiny_space, 1))
        study.close()
        assert len(_study(tiny_space, f"journal:{path}", shared=False).candidates()) == 2

    @pytest.mark.parametrize("content", [b'{"a": 1}', b"a line\nand a half", b"SQLite format 3\0 and more"])
    def test_a_file_that_is_no_journal_is_left_alone(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "precious"
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a journal of Optuna"):
            open_storage(f"journal:{path}")
        assert path.read_bytes() == content

    def test_a_journals_path_is_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        storage = open_storage("journal:runs/study.log")
        assert storage._backend._file_path == str(tmp_path / "runs" / "study.log")  # type: ignore[attr-defined]

    def test_another_runs_study_is_refused(self, tiny_space: PricedSpace, tmp_path: Path) -> None:
        sampler = make_sampler("random", Goal(tiny_space, seed=0, startup=1))
        url = f"sqlite:///{tmp_path}/study.db"
        OptunaStudy(sampler, url, identity={"budget": {"max_macs": 5}})
        OptunaStudy(sampler, url, identity={"budget": {"max_macs": 5}})
        with pytest.raises(InputError, match=r"of another run: budget\.max_macs is 5 there and 6 here"):
            OptunaStudy(sampler, url, identity={"budget": {"max_macs": 6}})

    def test_waits_while_a_storage_is_away(self) -> None:
        left = iter(range(2))

        def away() -> str:
            if next(left, None) is not None:
                raise optuna.exceptions.StorageInternalError("away")
            return "there"

        assert patiently(away) == "there"
        with pytest.raises(InputError, match=r"has been away for 0 s .*run the same command again"):
            patiently(lambda: (_ for _ in ()).throw(optuna.exceptions.StorageInternalError("away")), patience=0.0)


def _wait_for(path: Path, lines: int, seconds: float = 120.0) -> list[str]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = path.read_text().splitlines() if path.exists() else []
        if len(found) >= lines:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{path}: fewer than {lines} lines after {seconds} s")


def test_workers_on_postgresql_that_is_restarted_and_one_that_is_killed(
    server: postgres.Server, tmp_path: Path
) -> None:
    """Nothing is lost and nothing is over the budget; only what the killed one had begun is evaluated again."""
    path = tmp_path / "evaluated"
    processes = started(3, server.url, path, 60, "random", 0.1, LEASE)
    lines = _wait_for(path, 12)
    victim = int(lines[-1].split()[0])
    os.kill(victim, signal.SIGKILL)
    _wait_for(path, 24)
    server.stop()
    time.sleep(0.5)
    server.start()
    for process in processes:
        process.join(120)
    assert sorted(process.exitcode for process in processes) == [-signal.SIGKILL, 0, 0]
    found = faults(server.url, path, 60)
    again = found.pop("evaluated twice")
    assert found == dict.fromkeys(found, 0)
    assert again <= 1


def test_a_worker_that_was_not_lost_and_tells_first(
    tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another took it for lost, but it tells between that one's look and its claim: there is one trial, for all."""
    url = f"sqlite:///{tmp_path}/study.db"
    slow, other = (_study(tiny_space, url) for _ in range(2))
    proposal = _draw(tiny_space)
    claim = slow.claim(proposal, None)
    assert claim is not None
    monkeypatch.setattr(other, "_is_lost", lambda trial: trial.state == TrialState.RUNNING and trial.number == 0)
    end = other._end_lost

    def told_meanwhile(trial: optuna.trial.FrozenTrial, **attributes: str) -> bool:
        slow.accept(claim, Candidate(claim.architecture, claim.cost, Metrics(0.5, 0.5)))
        return end(trial, **attributes)

    monkeypatch.setattr(other, "_end_lost", told_meanwhile)
    assert other.claim(proposal, None) is None
    other.refresh()
    assert len(other.candidates()) == 1
    slow.close()
    other.close()


@pytest.mark.parametrize("url", URLS)
def test_workers_that_begin_together(tmp_path: Path, url: str) -> None:
    """On a study that is not there yet; each ends with all candidates, though another makes the last."""
    path = tmp_path / "evaluated"
    processes = started(3, url.format(tmp_path), path, 12, "random")
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert faults(url.format(tmp_path), path, 12) == dict.fromkeys(faults(url.format(tmp_path), path, 12), 0)


def test_workers_behind_a_grpc_proxy(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = f"run_grpc_proxy_server(RDBStorage('sqlite:///{tmp_path}/study.db'), host='127.0.0.1', port={port})"
    program = f"from optuna.storages import RDBStorage, run_grpc_proxy_server; {served}"
    proxy = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], stderr=subprocess.DEVNULL)
    try:
        url, path = f"grpc://127.0.0.1:{port}", tmp_path / "evaluated"
        processes = started(2, url, path, 12, "random")
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0, 0]
    finally:
        proxy.kill()
        proxy.wait()
    found = faults(f"sqlite:///{tmp_path}/study.db", path, 12)
    assert found == dict.fromkeys(found, 0)


def test_processes_of_one_folder(tmp_path: Path) -> None:
    with (
        run_folder.locked(tmp_path, shared=True),
        run_folder.locked(tmp_path, shared=True),
        pytest.raises(InputError, match="in use by process"),
        run_folder.locked(tmp_path),
    ):
        pass
    with (
        run_folder.locked(tmp_path),
        pytest.raises(InputError, match="in use by process"),
        run_folder.locked(tmp_path, shared=True),
    ):
        pass


def test_hours_count_from_where_the_search_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from the import: a program may search again hours later."""
    before = time.time()
    assert before <= workers.started() <= time.time()
    monkeypatch.setenv(workers.STARTED, "12.5")
    assert workers.started() == 12.5


@pytest.mark.parametrize("over", [False, True])
def test_where_the_hours_are_over_helpers_end_what_they_are_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: bool
) -> None:
    said: list[str] = []
    reporter = Reporter(quiet=True)
    monkeypatch.setattr(reporter, "say", said.append)
    monkeypatch.setattr(workers, "PATIENCE", 0.2)
    slow = tmp_path / "slow.py"
    slow.write_text("import os, sys, time; time.sleep(1); print(os.environ['COORDNAS_STARTED']); sys.exit(3)")
    monkeypatch.setattr(sys, "argv", [str(slow)])
    with workers.helpers(1, tmp_path, reporter, 12.5, lambda: over):
        pass
    assert said == [f"worker 2 ended with exit code {'3: 12.5' if over else f'-9: see {tmp_path}/worker-2.log'}"]


def test_a_trial_that_was_ended_while_it_was_taken_for_lost_is_taken(tiny_space: PricedSpace, tmp_path: Path) -> None:
    """It was marked as withdrawn in that moment; nobody but its own process had its candidate."""
    url = f"sqlite:///{tmp_path}/study.db"
    slow, other = (_study(tiny_space, url) for _ in range(2))
    claim = slow.claim(_draw(tiny_space), None)
    assert claim is not None
    assert claim.trial_id is not None
    other._storage.set_trial_user_attr(claim.trial_id, "withdrawn", "its process was lost")
    slow.accept(claim, Candidate(claim.architecture, claim.cost, Metrics(0.5, 0.5)))
    other.refresh()
    assert [one.architecture for one in other.candidates()] == [claim.architecture]
    slow.close()
    other.close()


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: object, how: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(InputError, match="cannot be locked there"), run_folder.locked(tmp_path):
        pass
