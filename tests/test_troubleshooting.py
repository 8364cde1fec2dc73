"""What docs/troubleshooting.md quotes is what the program says."""

import ast
import re
from pathlib import Path

import pytest

from foundation.errors import InputError
from foundation.printed import with_flags
from search_space.attention import OPS
from search_space.families.mobile.blocks import BLOCKS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
PACKAGES = ("foundation", "search_space", "training", "tasks", "evaluators", "studies")
PACKAGES = (*PACKAGES, "deployment", "reports", "commands")
ANY = "…"


def _said() -> list[str]:
    """Every text that the program could put into a message, with `…` for what differs."""
    said = []
    for registry in (OPS, BLOCKS):  # whose messages begin with what they hold
        with pytest.raises(InputError) as refused:
            registry.get(ANY)
        said.append(str(refused.value))
    for path in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else ANY for part in node.values)
                said.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.append(node.value)
    return [with_flags(text).replace(f"`{ANY}`", f"--{ANY}") for text in said]


def _quoted() -> list[str]:
    rows = re.findall(r"^\| (.*?) \| .* \|$", PAGE, re.MULTILINE)
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


SAID = _said()


@pytest.mark.parametrize("message", _quoted())
def test_the_program_says_what_is_quoted(message: str) -> None:
    parts = [part for part in message.removeprefix("argument --…: ").split(ANY) if part.strip(" :;,()")]
    assert parts, f"{message}: says nothing"
    pattern = re.compile(".*".join(map(re.escape, parts)).replace("best\\.json", ".*"), re.DOTALL)
    assert any(pattern.search(text) for text in SAID), message


def test_many_are_quoted() -> None:
    assert len(_quoted()) > 70
