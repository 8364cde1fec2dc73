"""What the documents tell a user to type exists and is accepted; the README's tour runs, at small size."""

import re
import runpy
import shlex
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest

import command_line
from presets import LatencySettings, RetrainSettings, SearchSettings, preset

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/many-workers.md", "docs/nni.md"]
# Appended to the tour's commands: of a flag given twice, the last counts.
SMALL = {
    "search.py": ["--supernet-epochs", "1", "--trials", "4", "--startup", "2", "--batch-size", "128"],
    "retrain.py": ["--epochs", "1"],
    "measure_latency.py": ["--rounds", "1"],
}


def _commands(documents: Sequence[str] = DOCUMENTS) -> list[str]:
    found = []
    for document in documents:
        text = (ROOT / document).read_text().replace("\\\n", " ")
        for block in re.findall(r"```(?:sh|bash)?\n(.*?)```", text, re.DOTALL):
            lines = [line.strip().removeprefix("$ ").split("  #")[0].strip() for line in block.splitlines()]
            found += [line for line in lines if line.split(" ")[0] in ("make", "python", "optuna-dashboard")]
    return found


def test_the_documents_hold_the_commands_that_the_tests_run() -> None:
    commands = _commands()
    for command in ("make search", "make test", "python search.py", "python retrain.py runs/digits --compare"):
        assert command in commands


@pytest.mark.parametrize("command", _commands())
def test_every_command_is_accepted(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
    elif program == "optuna-dashboard":
        assert arguments[0].startswith("sqlite:///runs/")
    elif arguments[0] == "-m":
        assert (ROOT / f"{arguments[1].replace('.', '/')}.py").exists()
    else:
        _settings(*arguments)


def _settings(script: str, *arguments: str) -> SearchSettings | RetrainSettings | LatencySettings:
    if script == "search.py":
        return command_line.parse_settings(
            SearchSettings, arguments, example="", defaults=lambda name: preset(name).settings
        )
    if script == "measure_latency.py":
        return command_line.parse_settings(LatencySettings, arguments, example="")
    assert script == "retrain.py"
    return command_line.parse_settings(RetrainSettings, arguments, example="")


def test_the_tour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("training.digits.SIZES", {"train": 1000, "validation": 400, "test": 400})
    ran: list[str] = []
    absent: set[str] = set()  # runs on pictures that are not here
    for command in _commands(["README.md"]):
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
            monkeypatch.setattr("sys.argv", [*arguments, *SMALL[arguments[0]]])
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
            assert ended.value.code == 0, command
            ran.append(command)
    assert {"python search.py", "python retrain.py runs/digits --compare"} <= set(ran)
    assert "optuna-dashboard sqlite:///runs/digits/study.db" in ran
