"""The installed program `coordnas`: a subcommand for each launcher of the repository, with the same flags.

Of `coordnas --help` and of a misspelt subcommand nothing heavy is imported.
"""

import difflib
import importlib
import sys
from typing import Any, NoReturn

from commands.command_line import Command
from commands.ending import complain_once
from commands.launch import launch
from foundation.started_as import NAMES, PROGRAM, by_program

_MODULES = {"search": "search_settings", "retrain": "recipes", "pretrain": "pretraining", "adapt": "adaptations"}
"""Where a command is defined; the others are in `settings`."""

_LONGEST = 60  # characters of a misspelt word that are repeated


def main() -> NoReturn:
    """Runs the subcommand that the first word names."""
    words = sys.argv[1:]
    if not words:
        complain_once(f"error: name what to do: {', '.join(NAMES)}; see {PROGRAM} --help")
        sys.exit(2)
    name, *arguments = words
    if name in ("-h", "--help"):
        if not arguments:
            print(_help())
            sys.exit(0)
        name, arguments = arguments[0], ["--help", *arguments[1:]]  # as `coordnas search --help` is
    if name not in NAMES:
        complain_once(_unknown(name))
        sys.exit(2)
    by_program(name)
    launch(_command(name), arguments)


def _command(name: str) -> Command[Any]:
    attribute = name.replace("-", "_").upper()
    command: Command[Any] = getattr(importlib.import_module(f"commands.{_MODULES.get(name, 'settings')}"), attribute)
    return command


def _help() -> str:
    """A line a subcommand: the first sentence of its own help."""
    lines = [f"example: {PROGRAM} search digits --out runs/digits", ""]
    for name in NAMES:
        about = " ".join((_command(name).settings.__doc__ or "").split())
        lines.append(f"  {name:<16} {about.partition('. ')[0].removesuffix('.')}")
    return "\n".join([*lines, "", f"{PROGRAM} NAME --help shows the flags of one."])


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.replace("_", "-").removesuffix(".py"), NAMES, n=1)
    told = f"did you mean {near[0]}?" if near else f"known: {', '.join(NAMES)}"
    return f"error: {name[:_LONGEST]}: no command of {PROGRAM}; {told}"


if __name__ == "__main__":
    main()
