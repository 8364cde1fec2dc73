"""What the documents tell a user to type exists and is accepted."""

import re
import shlex
from pathlib import Path

import pytest

import command_line
from presets import RetrainSettings, SearchSettings, preset

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]


def _commands() -> list[str]:
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```(?:sh|bash)?\n(.*?)```", (ROOT / document).read_text(), re.DOTALL):
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
    elif arguments[0] == "search.py":
        command_line.parse_settings(
            SearchSettings, arguments[1:], example="", defaults=lambda name: preset(name).settings
        )
    else:
        assert arguments[0] == "retrain.py"
        command_line.parse_settings(RetrainSettings, arguments[1:], example="")
