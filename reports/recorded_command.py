"""The command that a run's configuration records, for a reader to type again."""

import shlex
from collections.abc import Mapping
from typing import Any

SEARCH, RETRAINING = ["python", "search.py"], ["python", "retrain.py"]


def recorded_command(free: Mapping[str, Any], program: list[str]) -> str | None:
    """The command of that program which the configuration's `free` has; None if it has none.

    It is text from a file: nothing is shown that a shell would take for more than one command of the program.
    """
    said = free.get("command")
    if not isinstance(said, str) or not said.isprintable():
        return None
    try:
        words = shlex.split(said)
    except ValueError:
        return None
    return said if words[:2] == program and shlex.join(words) == said else None
