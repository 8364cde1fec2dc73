"""Command lines from dataclasses, and the one way in which a command ends badly.

A field of a settings dataclass is a flag; its metadata, made by `flag` or `positional`, holds the help text, the parser
of its value, and the group that `--help GROUP` shows it in. `--help` alone shows the group `main` and names the others;
a command none of whose flags is in `main` shows them all.
"""

import argparse
import dataclasses
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from search_space.cost import human
from search_space.errors import InputError, first_line
from search_space.plugins import load_plugin
from training import distributed
from training.files import no_room_left
from training.loop import DivergedError
from training.memory import keep_freed_memory, out_of_memory
from training.printed import escape_output, name_flags
from training.progress import complain
from training.signals import EndedError, raise_on_signals

_Settings = TypeVar("_Settings")


MAIN, OTHER, ALL = "main", "other", "all"
PLUGIN = (
    "run a Python file first, which registers attention ops and the like of your own (default: none); may be repeated"
)


def flag(
    default: Any,
    text: str,
    parse: Callable[[str], Any] = str,
    *,
    group: str = OTHER,
    shown: Callable[[str, Any], str] | None = None,
) -> Any:
    """A field that is a flag; a boolean default makes a switch.

    Args:
        text: for the help; the default is added, unless it says `(default: …)` itself.
        group: what `--help GROUP` shows it in, any name.
        shown: makes what the help says of the default, when it is asked for, from the field's name and the settings
            that the flags override (None where these are the fields' own defaults).
    """
    return dataclasses.field(default=default, metadata={"help": text, "parse": parse, "group": group, "shown": shown})


def positional(text: str, default: Any = dataclasses.MISSING, *, several: bool = False) -> Any:
    """A field given without a flag's name; required if it has no default. With `several` it is one value or more."""
    metadata = {"help": text, "parse": str, "positional": True, "several": several}
    return dataclasses.field(default=default, metadata=metadata)


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


def bound(text: str) -> int | None:
    """A count, or `none`."""
    return None if text == "none" else count(text)


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

    def integer(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected an integer from {low} to {high}")
        return int(text)

    return integer


def wholes(low: int, high: int = 10**9) -> Callable[[str], tuple[int, ...]]:
    """Parser of integers within bounds, with commas between."""
    one = whole(low, high)

    def integers(text: str) -> tuple[int, ...]:
        return tuple(one(part) for part in text.split(","))

    return integers


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


def real(text: str) -> float:
    """A number from 0, such as 0.05, 4e-5 or 12."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,9})?(e-?\d{1,2})?", text):
        raise ValueError("expected a number from 0, such as 0.05 or 4e-5")
    return float(text)


def yes_or_no(text: str) -> bool:
    """`yes` or `no`."""
    if text not in ("yes", "no"):
        raise ValueError("expected yes or no")
    return text == "yes"


def micro_batch(text: str) -> str:
    """A number of pictures from 2, or `auto`."""
    if text != "auto":
        whole(2, 65_536)(text)
    return text


def at_home(arguments: Sequence[str]) -> list[str]:
    """The arguments with `~` as a shell means it, wherever a path begins: a shell leaves it in `--out=~/x`.

    That is at the beginning, after `=`, after the `:` of a spec such as `folder:~/pictures`, and in `sqlite:///~/x`.
    """
    begins = r"(^|=|:|:///)(~[^/=:]*)(?=/|$)"
    return [re.sub(begins, lambda found: found[1] + os.path.expanduser(found[2]), text) for text in arguments]


def parse_settings(
    settings: type[_Settings],
    arguments: Sequence[str],
    *,
    example: str,
    defaults: Callable[[Mapping[str, Any]], _Settings] | None = None,
    complete: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> _Settings:
    """The settings that the arguments say. Runs the files of `--plugin`, a flag of every command, first.

    Args:
        example: shown first in the help text.
        defaults: makes the settings that flags override, for presets, from what was given of them.
        complete: adds to what was given what follows from it; not asked for help.
    """
    name_flags()
    fields = dataclasses.fields(settings)  # type: ignore[arg-type]
    parser = _Parser(usage=argparse.SUPPRESS, add_help=False, allow_abbrev=False)

    def made(given: dict[str, Any]) -> _Settings | None:
        """The settings that the flags override; None where these are the fields' own."""
        return defaults(given) if defaults else None

    def show(group: str, given: dict[str, Any]) -> str:
        about = " ".join((settings.__doc__ or "").split())
        return _help_text(fields, group, f"{example}\n\n{about}", made(given))

    parser.add_argument("-h", "--help", nargs="?", const=MAIN, default=argparse.SUPPRESS, action=_Help, text=show)
    _add(parser, fields)
    _add_plugin(parser)
    given = vars(parser.parse_args(at_home(arguments)))
    _check_texts(fields, given)
    for path in given.pop("plugin", []):
        load_plugin(Path(path))
    given = complete(given) if complete else given
    overridden = made(given)
    return settings(**given) if overridden is None else dataclasses.replace(overridden, **given)  # type: ignore[type-var]


def _check_texts(fields: "Sequence[dataclasses.Field[Any]]", given: Mapping[str, Any]) -> None:
    """Raises InputError for what is given as nothing."""
    positionals = {field.name: field.name.upper() for field in fields if field.metadata.get("positional")}
    for name, value in given.items():
        flag = positionals.get(name, "--" + name.replace("_", "-"))
        for text in value if isinstance(value, list) else [value]:
            if text == "":
                raise InputError(f"{flag}: expected a value, got nothing")


def run(main: Callable[[Sequence[str]], None], *, continues: bool) -> NoReturn:
    """Runs a command: bad input ends it with one line and exit code 2, Ctrl-C with 130, a signal with 128 + its number.

    Args:
        continues: whether the same command again goes on where it stopped; said after Ctrl-C and signals.
    """
    raise_on_signals()
    keep_freed_memory()
    escape_output()
    again = "; run the same command again to continue" if continues else ""
    try:
        with distributed.joined():
            main(sys.argv[1:])
    except InputError as error:
        _complain(f"error: {error}")
        sys.exit(2)
    except _SaidError:
        raise
    except SystemExit as error:  # the commands end here alone
        _complain(f"error: a Python file that this command was given ended it, by sys.exit({error.code!r:.60})")
        sys.exit(2)
    except DivergedError as error:
        _complain(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _complain(f"stopped{again}")
        sys.exit(130)
    except EndedError as ended:
        with suppress(OSError):  # the terminal may be gone
            _complain(f"stopped by {ended.signal.name}{again}")
        sys.exit(ended.exit_code)
    except (OSError, SQLAlchemyError, OptunaError, RuntimeError) as error:
        if no_room_left(error):
            _complain(
                f"error: no room left on the disk ({first_line(error)}); free some and run the same command again"
            )
        elif isinstance(error, BrokenPipeError):  # who read the output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif out_of_memory(error):
            _complain(f"error: out of memory ({first_line(error)}); give a smaller batch, or use a smaller network")
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


def _add(
    parser: argparse._ActionsContainer, fields: "Iterable[dataclasses.Field[Any]]", overridden: object = None
) -> None:
    """Adds the fields as arguments; what is not given is left out of the result."""
    for field in fields:
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help(field, overridden)}
        if field.metadata.get("positional"):
            optional = field.default is not dataclasses.MISSING
            nargs = "+" if field.metadata["several"] else "?" if optional else None
            parser.add_argument(field.name, metavar=field.name.upper(), nargs=nargs, **options)
            continue
        name = "--" + field.name.replace("_", "-")
        if field.default is False:
            parser.add_argument(name, dest=field.name, action="store_true", **options)
        else:
            parse = field.metadata["parse"]
            metavar = _METAVARS.get(parse.__name__, "VALUE")
            parser.add_argument(name, dest=field.name, type=_parser(parse), metavar=metavar, **options)


def _add_plugin(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--plugin", action="append", metavar="FILE.py", default=argparse.SUPPRESS, help=PLUGIN)


def _help_text(fields: "Sequence[dataclasses.Field[Any]]", group: str, description: str, overridden: object) -> str:
    """The help of one group, or of all; of the main group with a line on each other one.

    Args:
        description: its first line is an example.
        overridden: the settings whose values are the defaults; None for the fields' own.

    Raises InputError for a group that is not there.
    """
    groups = _groups(fields)
    if group not in groups and group not in (MAIN, ALL):
        raise InputError(f"--help {group}: unknown; known: {', '.join([*groups, ALL])}")
    if group == MAIN and MAIN not in groups:
        group = ALL
    parser = _Parser(
        usage=argparse.SUPPRESS,
        add_help=False,
        description=description if group in (MAIN, ALL) else description.splitlines()[0],
        formatter_class=_Formatter,
    )
    positionals = [field for field in fields if field.metadata.get("positional")]
    if group in (MAIN, ALL):
        _add(parser.add_argument_group("given first"), positionals, overridden)
    for name, members in groups.items():
        if group in (name, ALL):
            section = parser.add_argument_group("flags" if name == MAIN or len(groups) == 1 else f"{name} flags")
            _add(section, members, overridden)
            if name == OTHER or (OTHER not in groups and name == [*groups][-1]):
                _add_plugin(section)
    if group == MAIN:
        more = parser.add_argument_group("more flags")
        for name, members in groups.items():
            if name != MAIN:
                flags = ["--" + field.name.replace("_", "-") for field in members] + ["--plugin"] * (name == OTHER)
                more.add_argument(f"--help {name}", action="store_true", help=" ".join(flags))
        more.add_argument(f"--help {ALL}", action="store_true", help="every flag")
    return parser.format_help()


def _groups(fields: "Sequence[dataclasses.Field[Any]]") -> "dict[str, list[dataclasses.Field[Any]]]":
    """The flags by group: the main one first, then as they come, what is in none last."""
    found: dict[str, list[dataclasses.Field[Any]]] = {MAIN: []}
    for field in fields:
        if not field.metadata.get("positional"):
            found.setdefault(field.metadata["group"], []).append(field)
    rest = found.pop(OTHER, [])
    return {name: members for name, members in {**found, OTHER: rest}.items() if members}


def _help(field: "dataclasses.Field[Any]", overridden: object = None) -> str:
    """The field's text with its default."""
    text = str(field.metadata["help"])
    shown = field.metadata.get("shown")
    default = field.default if overridden is None else getattr(overridden, field.name)
    if shown is not None:
        text = f"{text} (default: {shown(field.name, overridden)})"
    elif "(default" not in text and default is not dataclasses.MISSING:
        text = f"{text} (default: {human(default) if field.metadata['parse'] is bound and default else typed(default)})"
    return text.replace("%", "%%")


def typed(value: object) -> str:
    """A value as a user would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _parser(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return checked


# What stands for a value in the help, by the name of its parser.
_METAVARS = {
    "str": "NAME",
    "bound": "COUNT",
    "milliseconds": "MS",
    "hours": "HOURS",
    "integer": "N",
    "integers": "N,N,…",
    "share": "SHARE",
    "real": "NUMBER",
    "nonnegative": "NUMBER",
    "objectives": "NAME,…",
    "yes_or_no": "YES|NO",
    "micro_batch": "N|auto",
}


class _SaidError(SystemExit):
    """The parser has said all that there is to say."""


class _Help(argparse.Action):
    """Prints the help of a group, and ends."""

    def __init__(self, *, text: Callable[[str, dict[str, Any]], str], **options: Any):
        super().__init__(**options)
        self.text = text

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        print(self.text(values, vars(namespace)), end="")
        parser.exit()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves the description's first line, the example, as it stands, and no flag is broken at its hyphens."""

    def __init__(self, prog: str):
        width = min(100, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=26, width=width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        first, *rest = text.splitlines()
        return "\n".join([first, *(textwrap.fill(line, width) for line in rest)])

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        _complain(f"error: {message}; see {self.prog} --help")
        self.exit(2)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _SaidError(status)
