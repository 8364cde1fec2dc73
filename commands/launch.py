"""A command from its launcher at the root to its body: the command line is read before torch is imported."""

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

from commands.command_line import Command
from commands.ending import run


def launch(command: Command[Any], arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command, whose body is `main` of the module of its name in `commands`.

    Args:
        arguments: of its command line; None for all that this process was given.
    """

    def body(arguments: Sequence[str]) -> None:
        with _sign_of_life("starting", arguments):
            _keep_freed_memory()
            main = importlib.import_module(f"commands.{command.name}").main
        with _sign_of_life("working", arguments):
            main(arguments)

    given = sys.argv[1:] if arguments is None else arguments
    continues = command.continues or command.continues_with in given
    run(body, continues=continues, first=command.check, arguments=arguments)


def _sign_of_life(what: str, arguments: Sequence[str]) -> AbstractContextManager[None]:
    """At the foot of a terminal, wherever nothing else says what is being done: of several processes the first's."""
    from foundation.progress import Reporter

    reporter = Reporter("--quiet" in arguments or os.environ.get("RANK", "0") != "0")
    return reporter.doing(what) if reporter.console.is_terminal else nullcontext()


def _keep_freed_memory() -> None:
    from foundation.memory import keep_freed_memory  # imports torch, which takes seconds

    keep_freed_memory()
