"""The commands on a folder of 96 pictures: end to end, killed, and misused; where it matters, as a user starts them."""

import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from commands import ending
from tests.forked import Forked

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "COLUMNS": "100"}
Launched = Callable[..., subprocess.CompletedProcess[str]]


def _command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error::DeprecationWarning:__main__", str(ROOT / script), *arguments]


# The prior learns from as few networks as it takes.
FEW = """
from evaluators.prior import FEWEST
from evaluators.supernet import room
from evaluators.zero_cost import Batch

room.PRIOR_BATCH = Batch(size=16, reference=FEWEST)
"""


def _fresh(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A search with such a prior in a process that has nothing from another one: no import, no order of a set."""
    argv = [str(ROOT / "search.py"), *arguments]
    code = f"{FEW}\nimport runpy, sys\nsys.argv = {argv}\nrunpy.run_path({argv[0]!r}, run_name='__main__')"
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code]
    its = {**ENVIRONMENT, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=folder, env=its, capture_output=True, text=True, timeout=300)


def _run(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(script, *arguments), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def small(picture_folder: Path) -> list[str]:
    return [
        *("--data", f"folder:{picture_folder}", "--max-macs", "1.2M", "--supernet-epochs", "2"),
        *("--batch-size", "8", "--trials", "12", "--startup", "6"),
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small: list[str], forked: Forked) -> tuple[Path, str]:
    """A run that was never killed, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    result = forked(folder, "search.py", *small, before=FEW)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_search_leaves_everything(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    run = folder / "runs" / "digits"
    names = {"best.json", "config.json", "front.json", "study.db", "supernet.safetensors"}
    assert names <= {entry.name for entry in run.iterdir()}
    assert "space mobile-32: 16,157,664 architectures" in printed
    assert "within 1.20M MACs: " in printed
    assert "front of 12 candidates within 1.20M MACs" in printed
    assert "next:   python retrain.py runs/digits --compare" in printed
    front = json.loads((run / "front.json").read_text())
    best = json.loads((run / "best.json").read_text())
    assert front["evaluated"] == 12
    assert all(entry["cost"]["macs"] <= 1_200_000 for entry in front["front"])
    assert best["metrics"]["score"] == max(entry["metrics"]["score"] for entry in front["front"])
    assert best["metrics"].keys() == {"score", "accuracy", "loss"}  # the score is corrected, the accuracy is not
    assert best["classes"] == ["digit0", "digit1", "digit2", "digit3"]
    assert best["num_classes"] == 4
    for text in ((run / "front.json").read_text(), (run / "best.json").read_text()):
        assert "runs/digits" not in text


def test_a_finished_run_prints_its_table_again(finished: tuple[Path, str], small: list[str]) -> None:
    folder, printed = finished
    kept = {name: (folder / "runs/digits" / name).read_bytes() for name in ("front.json", "best.json", "report.html")}
    result = _fresh(folder, *small, PYTHONPROFILEIMPORTTIME="1")
    assert result.returncode == 0, result.stderr
    for name, content in kept.items():
        assert (folder / "runs/digits" / name).read_bytes() == content, name
    assert _table(result.stdout) == _table(printed)
    imported = set(re.findall(r"\| +(\w+)$", result.stderr, re.MULTILINE))
    assert "torch" in imported
    # What takes seconds, and is for the report or for candidates.
    assert not imported & {"sklearn", "scipy", "pandas", "matplotlib", "optuna_dashboard", "torchvision"}


def _table(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if " % " in line]


# Kills its process after a number of calls of a function, whatever the machine is busy with.
DEADLY = """
import importlib, os, signal

place = importlib.import_module({module!r})
*path, name = {name!r}.split(".")
for part in path:
    place = getattr(place, part)
before, calls = getattr(place, name), 0

def dying(*arguments, **options):
    global calls
    result = before(*arguments, **options)
    calls += 1
    if calls == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(place, name, dying)
"""


@pytest.fixture
def kill_after(forked: Forked, small: list[str], tmp_path: Path) -> Callable[[str, str, int], None]:
    """Runs the search until so many calls of that function have returned."""

    def run(module: str, name: str, count: int) -> None:
        deadly = DEADLY.format(module=module, name=name, count=count)
        result = forked(tmp_path, "search.py", *small, before=FEW + deadly)
        assert result.returncode == -signal.SIGKILL, result.stderr

    return run


def test_a_search_killed_in_training_and_in_searching_ends_alike(
    finished: tuple[Path, str],
    small: list[str],
    tmp_path: Path,
    kill_after: Callable[[str, str, int], None],
) -> None:
    run = tmp_path / "runs" / "digits"
    kill_after("training.loop", "save_checkpoint", 1)
    assert not (run / "supernet.safetensors").exists()
    kill_after("studies.storage.optuna_study", "OptunaStudy.accept", 9)
    assert not (run / "front.json").exists()
    result = _fresh(tmp_path, *small)
    assert result.returncode == 0, result.stderr
    for name in ("front.json", "best.json", "supernet.safetensors", "config.json"):
        assert (run / name).read_bytes() == (finished[0] / "runs/digits" / name).read_bytes(), name
    assert _without_times(run / "report.html") == _without_times(finished[0] / "runs/digits/report.html")


def _without_times(report: Path) -> str:
    """A report without its last part, which says that it differs between runs."""
    whole = re.fullmatch(r'(.*)<section id="times">(.*?)</section>(.*)', report.read_text(), re.DOTALL)
    assert whole is not None
    assert "this part is not" in whole[2]
    return whole[1] + whole[3]


def test_ctrl_c_says_how_to_continue(small: list[str], tmp_path: Path) -> None:
    long = [*small, "--supernet-epochs", "10000"]  # whatever the machine is busy with, the signal meets it
    process = subprocess.Popen(
        _command("search.py", *long),
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What a shell starts in the background ignores the signal, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "runs/digits/supernet.checkpoint").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for _ in range(10):  # Python drops an interrupt that falls into a finaliser; a user presses again
        process.send_signal(signal.SIGINT)
        try:
            _, stderr = process.communicate(timeout=30)
            break
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 130
    assert stderr.decode() == "stopped; run the same command again to continue\n"


def test_retrain_compares(finished: tuple[Path, str], launched: Launched) -> None:
    folder, _ = finished
    arguments = ["runs/digits", "--compare", "--epochs", "1", "--batch-size", "8", "--seeds", "2"]
    result = launched(folder, "retrain.py", *arguments)
    assert result.returncode == 0, result.stderr
    full = ("uniform none full", r"uniform se/\d+ full", r"uniform ca/\d+ full")
    for name in ("found", *full, "uniform none", r"uniform se/\d+", r"uniform ca/\d+", "random"):
        assert re.search(rf"^ *{name} +\d", result.stdout, re.MULTILINE), name
    out = folder / "runs/digits/retrain"
    results = json.loads((out / "results.json").read_text())
    names = {entry["network"] for entry in results}
    assert len(results) == 2 * len(names)
    found = results[0]["cost"]["macs"]
    for entry in results:
        fills = entry["network"].endswith("full")
        assert entry["cost"]["macs"] <= (1_200_000 if fills or entry["network"] == "random" else 1.01 * found)
        assert entry["network"] == "random" or entry["cost"]["macs"] >= (0.98 * 1_200_000 if fills else 0.99 * found)
    compared = json.loads((out / "comparison.json").read_text())
    assert {entry["network"] for entry in compared} == names
    assert (out / "comparison.png").exists()
    assert "report.html" in {path.name for path in (folder / "runs/digits").iterdir()}
    assert len({json.dumps(entry["architecture"]) for entry in results}) >= 4
    again = launched(folder, "retrain.py", *arguments)
    assert _table(again.stdout) == _table(result.stdout)
    assert json.loads((out / "results.json").read_text()) == results
    planned = launched(folder, "retrain.py", *arguments, "--dry-run")
    assert f"; {len(results)} of all {len(results)} epochs are done already" in planned.stdout
    assert "before:" not in planned.stdout


def test_retrain_of_a_bare_architecture(
    finished: tuple[Path, str], picture_folder: Path, tmp_path: Path, launched: Launched
) -> None:
    best = json.loads((finished[0] / "runs/digits/best.json").read_text())
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(best["architecture"]))
    arguments = ["mine.json", "--epochs", "1", "--batch-size", "8"]
    assert "does not say which data to train on; give --data" in _refused(launched, tmp_path, "retrain.py", *arguments)
    result = launched(tmp_path, "retrain.py", *arguments, "--data", f"folder:{picture_folder}", "--quiet")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert (tmp_path / "mine/retrain/given-0/weights.safetensors").exists()


def _refused(launched: Launched, folder: Path, script: str, *arguments: str) -> str:
    """The one line that the command ends with."""
    before = sorted(folder.rglob("*"))
    result = launched(folder, script, *arguments)
    assert result.returncode == 2, (result.stdout, result.stderr)
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert sorted(folder.rglob("*")) == before
    return lines[0]


def test_bad_input_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Once before torch is imported, and once after; every other line below is told by this process."""
    assert "argument --max-macs: 'lots'" in _refused(_run, tmp_path, "search.py", "--max-macs", "lots")
    assert "the smallest network of space" in _refused(_run, tmp_path, "search.py", "--max-macs", "10k")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-macs", "10k"], "the smallest network of space mobile-32 (10 classes) has 293.5k MACs (293504)"),
        (["--max-macs", "lots"], "argument --max-macs: 'lots': expected a count such as 300M or 1200000"),
        (["--max-macs", "999999999999999G"], "argument --max-macs: '999999999999999G': expected at most 1000000G"),
        (["--out", "a?b"], "--out a?b: ?, # and % cannot stand in a study's address; choose another"),
        (["--max-params", "0"], "max_params: expected a positive integer, got 0"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["--space", "resnet"], "--space resnet: unknown; known: mobilenetv2, mobilenext, efficientnet_b0"),
        (["--space", "absent.toml"], "--space absent.toml: no such file"),
        (["--init", "magic"], "--init magic: unknown; known: scratch, torchvision"),
        (["--init", "torchvision"], "the network has 3 stages, the published one 7; use --init scratch"),
        (["--engine", "magic"], "--engine magic: unknown; known: processes, ray"),
        (["--evaluator", "proxy", "--workers", "2"], "--evaluator proxy: its candidates compete in one process"),
        (["--storage", "sqlite://"], "--storage sqlite://: is kept in memory alone"),
        (["--storage", "sqlite:///absent/x.db"], "there is no folder"),
        (["--storage", "mysql://x"], "--storage mysql://x: unknown kind; known: sqlite:///FILE"),
        (["--objectives", "accuracy,latency"], "--objectives latency: no latency is known; give --latency-table FILE"),
        (
            ["--evaluator", "tabular", "--table", "clutter"],
            "--table clutter: its networks were trained on digits:clutter, and this search is on digits; give --data",
        ),
        (["--sampler", "gp"], "--sampler gp: has one objective only; add --objectives score"),
        (
            ["--objectives", "macs"],
            "argument --objectives: 'macs': expected accuracy, then any of macs, params and latency",
        ),
        (["--sampler", "magic"], "--sampler magic: unknown; known: "),
        (["--evaluator", "oracle"], "--evaluator oracle: unknown; known: proxy, supernet, tabular, zero-cost"),
        (["--score", "oracle"], "--score oracle: unknown; known: az_nas, consensus, macs"),
        (["--proxy-epochs", "3,1"], "--proxy-epochs: expected more by the end of each rung, such as 1,3,9, got (3, 1)"),
        (["--data", "mnist"], "--data mnist: unknown; known: digits[:VARIANT], cifar10"),
        (["--data", "folder:/absent"], "no such folder: /absent"),
        (["--trials", "0"], "argument --trials: '0': expected an integer from 1"),
        (["--device", "tpu"], "--device tpu: unknown; known: cpu, cuda, auto"),
        (["cifar11"], "preset 'cifar11': unknown; known: digits"),
        (["--space", "mobilenetv2", "--data", "digits"], "pictures of 32 pixels, but the space wants 288"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_to_search(launched: Launched, tmp_path: Path, arguments: list[str], message: str) -> None:
    assert message in _refused(launched, tmp_path, "search.py", *arguments)


@pytest.mark.parametrize(
    ("flags", "objective", "evaluated"),
    [
        (["--evaluator", "zero-cost", "--score", "naswot"], "naswot", 6),
        (["--evaluator", "zero-cost", "--score", "params", "--workers", "2"], "params", 6),
        (["--evaluator", "proxy", "--proxy-epochs", "1,2", "--generation", "4"], "accuracy", 8),
    ],
)
def test_other_evaluators(
    launched: Launched, picture_folder: Path, tmp_path: Path, flags: list[str], objective: str, evaluated: int
) -> None:
    data = ["--data", f"folder:{picture_folder}", "--max-macs", "1M", "--trials", "6", "--startup", "4"]
    result = launched(tmp_path, "search.py", *data, *flags, "--out", "run")
    assert result.returncode == 0, result.stderr
    assert re.search(rf"^ +trial +{objective} +MACs +params", result.stdout, re.MULTILINE)
    front, best = (json.loads((tmp_path / "run" / name).read_text()) for name in ("front.json", "best.json"))
    assert front["evaluated"] == evaluated
    assert best["metrics"][objective] == max(entry["metrics"][objective] for entry in front["front"])
    study = optuna.load_study(study_name="run", storage=f"sqlite:///{tmp_path}/run/study.db")
    assert study.metric_names == [objective, "MACs"]
    assert all(objective in trial.user_attrs for trial in study.best_trials)


@pytest.mark.usefixtures("few_references")
def test_another_configuration_is_refused(finished: tuple[Path, str], small: list[str], launched: Launched) -> None:
    for more in ([], ["--dry-run"]):
        message = _refused(launched, finished[0], "search.py", *small, "--seed", "1", *more)
        assert "runs/digits: holds another run: --seed is 0 there and 1 here" in message
    message = _refused(launched, finished[0], "search.py", *small, "--evaluator", "zero-cost")
    assert "--evaluator is 'supernet' there and 'zero-cost' here" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "bad.json: JSON text"),
        ("{}", "bad.json: activation: missing"),
        ('{"architecture": {"resolution": 1e99}}', "bad.json: activation: missing"),
    ],
)
def test_bad_input_to_retrain(launched: Launched, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    assert message in _refused(launched, tmp_path, "retrain.py", "bad.json")


def test_a_run_without_a_result(launched: Launched, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert "run: holds no best.json; finish its search first" in _refused(launched, tmp_path, "retrain.py", "run")
    assert "absent: no such file" in _refused(launched, tmp_path, "retrain.py", "absent")
    assert "--recipe slow: unknown; known: quick" in _refused(
        launched, tmp_path, "retrain.py", "run", "--recipe", "slow"
    )


def _storage_is_full(arguments: Sequence[str]) -> None:
    try:
        raise sqlite3.OperationalError("database or disk is full")
    except sqlite3.OperationalError as error:
        raise StorageInternalError("An exception is raised during the commit.\nOn several lines.") from error


def _disk_is_full(arguments: Sequence[str]) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _access_is_denied(arguments: Sequence[str]) -> None:
    raise OSError(errno.EACCES, os.strerror(errno.EACCES), "runs/best.json")


@pytest.mark.parametrize(
    ("main", "message"),
    [
        (_storage_is_full, "error: no room left on the disk (An exception is raised during the commit.); free some"),
        (_disk_is_full, "error: no room left on the disk ([Errno 28] No space left on device); free some"),
        (_access_is_denied, "error: runs/best.json: Permission denied"),
    ],
)
def test_a_failing_disk_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], main: Callable[[Sequence[str]], None], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        ending.run(main, continues=True)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_a_mistake_of_the_program_keeps_its_traceback() -> None:
    def main(arguments: Sequence[str]) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        ending.run(main, continues=True)
