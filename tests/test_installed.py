"""What `pip install .` installs: one program with a subcommand a launcher, and every file that it needs."""

import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from commands import main as program
from foundation import started_as
from foundation.started_as import NAMES

ROOT = Path(__file__).parent.parent
LAUNCHERS = {"search", "retrain", "pretrain", "adapt", "evaluate", "predict", "track", "describe", "measure_latency"}
# Setuptools' own discovery, in a process of its own: it warns of what is its own concern.
BUILT = """
import json
import tempfile

from setuptools import Distribution
from setuptools.config.pyprojecttoml import apply_configuration

distribution = Distribution({"script_name": "setup.py"})
apply_configuration(distribution, "pyproject.toml")
distribution.set_defaults()
distribution.get_command_obj("egg_info").egg_base = tempfile.mkdtemp()  # nothing is written into the repository
command = distribution.get_command_obj("build_py")
command.ensure_finalized()
command.build_lib = "."
print(json.dumps({"files": command.get_outputs(include_bytecode=False), "modules": distribution.py_modules}))
"""


def _program(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from commands.main import main; main()", *words]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def installed() -> dict[str, list[str]]:
    result = subprocess.run([sys.executable, "-c", BUILT], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    return {"files": [os.path.normpath(path) for path in found["files"]], "modules": found["modules"] or []}


def test_no_launcher_is_installed(installed: dict[str, list[str]]) -> None:
    assert not LAUNCHERS & set(installed["modules"])
    at_the_root = {path.removesuffix(".py") for path in installed["files"] if "/" not in path}
    assert at_the_root == set(installed["modules"])
    assert {path.name.removesuffix(".py") for path in ROOT.glob("*.py")} - at_the_root >= LAUNCHERS


def test_every_file_of_the_packages_is_installed(installed: dict[str, list[str]]) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    rooms = {pattern.removesuffix("*") for pattern in settings["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert {"commands", "evaluators", "foundation", "reports", "search_space", "studies", "training"} <= rooms
    files = {
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert any(path.endswith(".json") for path in files)
    assert any(path.startswith("reports/html/assets/") for path in files)
    assert any(path.startswith("studies/nni/") and path.endswith(".js") for path in files)
    assert files - set(installed["files"]) == set()


def test_the_program_is_named_in_the_project() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["scripts"] == {"coordnas": "commands.main:main"}
    assert callable(program.main)


def test_the_help_lists_the_subcommands_at_once() -> None:
    start = time.monotonic()
    result = _program("--help")
    took = time.monotonic() - start
    listed = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("  ")]
    assert (result.returncode, tuple(listed)) == (0, NAMES)
    assert {name.replace("-", "_") for name in NAMES} == LAUNCHERS
    assert took < 5  # 0.1 s where nothing else works; torch alone would take longer than that


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["serach"], "error: serach: no command of coordnas; did you mean search?"),
        (["measure_latency"], "error: measure_latency: no command of coordnas; did you mean measure-latency?"),
        (["x"], f"error: x: no command of coordnas; known: {', '.join(NAMES)}"),
        ([], f"error: name what to do: {', '.join(NAMES)}; see coordnas --help"),
        (["search", "digits", "more"], "error: unrecognized arguments: more; see coordnas search --help"),
        (["predict", "x", "y", "--topp", "1"], "error: unrecognized arguments: --topp 1; did you mean --top?"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], told: str) -> None:
    result = _program(*words)
    assert (result.returncode, result.stderr.splitlines()) == (2, [told])


@pytest.mark.parametrize("words", [["search", "--help"], ["--help", "search"]])
def test_a_subcommand_has_the_help_of_its_launcher(words: list[str]) -> None:
    launcher = subprocess.run([sys.executable, "search.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    shown = _program(*words)
    assert shown.returncode == 0
    assert shown.stdout.startswith("example: coordnas search digits ")
    assert shown.stdout.replace("coordnas search", "python search.py") == launcher.stdout


def test_commands_are_named_as_they_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "next:   python measure_latency.py --out search.py; python other.py"
    assert started_as.as_typed(said) == said
    monkeypatch.setattr(started_as._Started, "command", "search")
    assert started_as.as_typed(said) == "next:   coordnas measure-latency --out search.py; python other.py"


def test_a_search_with_workers_starts_them_as_it_was_started(tmp_path: Path) -> None:
    """The script is what pip makes of the entry point; a worker is the same command line again."""
    script = tmp_path / "coordnas"
    script.write_text("import sys\nfrom commands.main import main\nif __name__ == '__main__':\n    sys.exit(main())\n")
    words = ["digits", "--evaluator", "tabular", "--trials", "6", "--startup", "2", "--sampler", "random"]
    result = subprocess.run(
        [sys.executable, str(script), "search", *words, "--workers", "2", "--out", "run"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "next:   coordnas retrain run --compare" in result.stdout
    assert "worker 2 ended" not in result.stdout
    assert (tmp_path / "run" / "front.json").exists()
