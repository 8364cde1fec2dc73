"""How the user starts a command, for the next command that a message names.

Messages are written for the repository, where a command is `python search.py`. Where the installed program was started,
it is `coordnas search`.
"""

import re

PROGRAM = "coordnas"
NAMES = ("search", "retrain", "pretrain", "adapt", "evaluate", "predict", "track", "describe", "measure-latency")
"""The commands, as the installed program calls them; the launcher of each has `_` for `-`."""

_LAUNCHER = re.compile(rf"\bpython ({'|'.join(name.replace('-', '_') for name in NAMES)})\.py\b")


class _Started:
    """The command that the installed program was started with; None for a launcher of the repository."""

    command: str | None = None


def by_program(command: str) -> None:
    """Notes that the installed program was started with this command."""
    _Started.command = command


def started_as(launcher: str) -> str:
    """What the user typed to start this process, without its arguments: `coordnas search`, or the launcher."""
    return launcher if _Started.command is None else f"{PROGRAM} {_Started.command}"


def as_typed(text: str) -> str:
    """The text with its commands as this user types them: `python search.py`, or `coordnas search`."""
    if _Started.command is None:
        return text
    return _LAUNCHER.sub(lambda found: f"{PROGRAM} {found[1].replace('_', '-')}", text)
