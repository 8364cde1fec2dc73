"""Command lines from dataclasses, and the one way in which a command ends badly.

A field of a settings dataclass is a flag; its metadata, made by `flag` or `positional`, holds the help text and the
parser of its value.
"""

import argparse
import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from search_space.cost import human
from search_space.errors import InputError
from training import distributed
from training.files import no_room_left
from training.loop import DivergedError
from training.progress import complain

_Settings = TypeVar("_Settings")


def flag(default: Any, text: str, parse: Callable[[str], Any] = str) -> Any:
    """A field that is a flag; a boolean default makes a switch."""
    return dataclasses.field(default=default, metadata={"help": text, "parse": parse})


def positional(text: str, default: Any = dataclasses.MISSING) -> Any:
    """A field given without a flag's name; required if it has no default."""
    return dataclasses.field(default=default, metadata={"help": text, "parse": str, "positional": True})


def count(text: str) -> int:
    """A count as people write it: 300M, 1.2G, 850k, 1000000."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)([kMG]?)", text)
    if not match:
        raise ValueError("expected a count such as 300M or 1200000")
    factor = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]]
    value = round(float(match[1]) * factor)
    if value > 10**15:
        raise ValueError("expected at most 1000000G")
    return value


def milliseconds(text: str) -> float:
    """A time such as 20 or 1.5, in milliseconds."""
    if not re.fullmatch(r"\d{1,6}(?:\.\d{1,6})?", text) or float(text) == 0:
        raise ValueError("expected milliseconds such as 20 or 1.5")
    return float(text)


def hours(text: str) -> float:
    """A time such as 12 or 0.5, in hours."""
    if not re.fullmatch(r"\d{1,5}(?:\.\d{1,6})?", text) or float(text) == 0:
        raise ValueError("expected hours such as 12 or 0.5")
    return float(text)


def whole(low: int, high: int = 10**9) -> Callable[[str], int]:
    """Parser of an integer within bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected an integer from {low} to {high}")
        return int(text)

    return parse


def wholes(low: int, high: int = 10**9) -> Callable[[str], tuple[int, ...]]:
    """Parser of integers within bounds, with commas between."""
    one = whole(low, high)
    return lambda text: tuple(one(part) for part in text.split(","))


def share(text: str) -> float:
    """A share above 0 and up to 1, e.g. 0.5."""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,9})?", text) or not 0 < float(text) <= 1:
        raise ValueError("expected a share above 0 and up to 1, such as 0.5")
    return float(text)


def objectives(text: str) -> tuple[str, ...]:
    """Objectives such as `accuracy,macs`: accuracy, and any costs, as names of Cost's fields."""
    names = {"macs": "macs", "params": "params", "latency": "latency_ns"}
    first, *costs = text.split(",")
    if first != "accuracy" or len(set(costs)) < len(costs) or not set(costs) <= names.keys():
        raise ValueError("expected accuracy, then any of macs, params and latency, such as accuracy,macs")
    return (first, *(names[cost] for cost in costs))


def nonnegative(text: str) -> float:
    """A number from 0, such as 1 or 0.25."""
    if not re.fullmatch(r"\d{1,4}(\.\d{1,6})?", text):
        raise ValueError("expected a number such as 1 or 0.25")
    return float(text)


def parse_settings(
    settings: type[_Settings],
    arguments: Sequence[str],
    *,
    example: str,
    defaults: Callable[[str], _Settings] | None = None,
) -> _Settings:
    """The settings that the arguments say.

    Args:
        example: shown first in the help text.
        defaults: makes the settings that flags override from the positional argument, for presets.
    """
    parser = _Parser(
        description=(settings.__doc__ or "").strip(),
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    fields = dataclasses.fields(settings)  # type: ignore[arg-type]
    for field in fields:
        text = _help(field)
        if field.metadata.get("positional"):
            optional = field.default is not dataclasses.MISSING
            parser.add_argument(field.name, help=text, nargs="?" if optional else None, default=argparse.SUPPRESS)
            continue
        name = "--" + field.name.replace("_", "-")
        options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": text}
        if field.default is False:
            parser.add_argument(name, action="store_true", **options)
        else:
            parser.add_argument(name, type=_parser(field.metadata["parse"]), metavar="VALUE", **options)
    given = vars(parser.parse_args(arguments))
    if defaults is None:
        return settings(**given)
    first = next(field for field in fields if field.metadata.get("positional"))
    return dataclasses.replace(defaults(given.get(first.name, first.default)), **given)  # type: ignore[type-var]


def run(main: Callable[[Sequence[str]], None], *, continues: bool) -> NoReturn:
    """Runs a command: bad input ends it with one line and exit code 2, Ctrl-C with 130.

    Args:
        continues: whether the same command again goes on where it stopped; said after Ctrl-C.
    """
    try:
        with distributed.joined():
            main(sys.argv[1:])
    except InputError as error:
        _complain(f"error: {error}")
        sys.exit(2)
    except DivergedError as error:
        _complain(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _complain("stopped; run the same command again to continue" if continues else "stopped")
        sys.exit(130)
    except (OSError, SQLAlchemyError, OptunaError, RuntimeError) as error:
        if no_room_left(error):
            _complain(
                f"error: no room left on the disk ({_first_line(error)}); free some and run the same command again"
            )
        elif isinstance(error, OSError) and error.filename is not None:
            _complain(f"error: {error.filename}: {error.strerror}")
        elif distributed.is_first_to_complain():
            raise
        sys.exit(2)
    sys.exit(0)


def _complain(message: str) -> None:
    """One line for all processes that work together."""
    if distributed.is_first_to_complain():
        complain(message)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _help(field: "dataclasses.Field[Any]") -> str:
    """The field's text with its default."""
    text = str(field.metadata["help"])
    default: Any = field.default
    if not any(default is absent for absent in (None, False, dataclasses.MISSING)):
        shown = human(default) if field.metadata["parse"] is count else default
        text = f"{text} (default: {shown})"
    return text.replace("%", "%%")


def _parser(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return checked


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        _complain(f"error: {message}; see {self.prog} --help")
        sys.exit(2)
