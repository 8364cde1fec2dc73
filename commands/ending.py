"""How a command ends: the one way in which it ends badly.

Nothing here imports torch before the command line was read: a mistake in it is told at once.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NoReturn

from foundation.errors import InputError, first_line
from foundation.files import no_room_left
from foundation.printed import complain, escape_output
from foundation.signals import EndedError, raise_on_signals


class SaidError(SystemExit):
    """The parser has said all that there is to say."""


def run(
    main: Callable[[Sequence[str]], None],
    *,
    continues: bool,
    first: Callable[[Sequence[str]], None] | None = None,
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Runs a command: bad input ends it with one line and exit code 2, Ctrl-C with 130, a signal with 128 + its number.

    Args:
        continues: whether the same command again goes on where it stopped; said after Ctrl-C and signals.
        first: is called with the arguments before `main`, and before torch is imported.
        arguments: of the command line; None for all that this process was given.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    raise_on_signals()
    escape_output()
    again = "; run the same command again to continue" if continues else ""
    try:
        with _together():
            if first is not None:
                first(arguments)
            main(arguments)
    except InputError as error:
        complain_once(f"error: {error}")
        sys.exit(2)
    except SaidError:
        raise
    except SystemExit as error:  # the commands end here alone
        complain_once(f"error: a Python file that this command was given ended it, by sys.exit({error.code!r:.60})")
        sys.exit(2)
    except KeyboardInterrupt:
        complain_once(f"stopped{again}")
        sys.exit(130)
    except EndedError as ended:
        with suppress(OSError):  # the terminal may be gone
            complain_once(f"stopped by {ended.signal.name}{again}")
        sys.exit(ended.exit_code)
    except Exception as error:
        if not _is_told(error):
            raise
        if no_room_left(error):
            complain_once(
                f"error: no room left on the disk ({first_line(error)}); free some and run the same command again"
            )
        elif isinstance(error, BrokenPipeError):  # who read the output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif _diverged(error):
            complain_once(f"error: {error}")
            sys.exit(1)
        elif _out_of_memory(error):
            complain_once(f"error: out of memory ({first_line(error)}); give a smaller batch, or use a smaller network")
        elif isinstance(error, OSError) and error.filename is not None:
            complain_once(f"error: {error.filename}: {error.strerror}")
        elif _is_first_to_complain():
            raise
        sys.exit(2)
    sys.exit(0)


def complain_once(message: str) -> None:
    """One line for all processes that work together."""
    if _is_first_to_complain():
        complain(message)


def _together() -> AbstractContextManager[None]:
    """This process as one of torchrun's, if there are several: then they read the command line together."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return nullcontext()
    from foundation import distributed

    return distributed.joined()


def _is_first_to_complain() -> bool:
    distributed = sys.modules.get("foundation.distributed")
    return distributed is None or distributed.is_first_to_complain()


def _is_told(error: Exception) -> bool:
    """Whether an error is of a kind that a machine may bring about."""
    if isinstance(error, OSError | RuntimeError):
        return True
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, SQLAlchemyError | OptunaError)


def _diverged(error: Exception) -> bool:
    from training.diverged import DivergedError

    return isinstance(error, DivergedError)


def _out_of_memory(error: Exception) -> bool:
    from foundation.memory import out_of_memory

    return out_of_memory(error)
