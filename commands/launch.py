"""A command from its launcher at the root to its body: the command line is read before torch is imported."""

import importlib
from collections.abc import Sequence
from typing import Any, NoReturn

from commands.command_line import Command
from commands.ending import run


def launch(command: Command[Any], arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command, whose body is `main` of the module of its name in `commands`.

    Args:
        arguments: of its command line; None for all that this process was given.
    """

    def body(arguments: Sequence[str]) -> None:
        importlib.import_module(f"commands.{command.name}").main(arguments)

    run(body, continues=command.continues, first=command.check, arguments=arguments)
