"""Command lines from dataclasses.

A field of a settings dataclass is a flag; its metadata, made by `flag` or `positional`, holds the help text, the parser
of its value, and the group that `--help GROUP` shows it in. `--help` alone shows the group `main` and names the others;
a command none of whose flags is in `main` shows them all.
"""

import argparse
import dataclasses
import difflib
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from commands.ending import SaidError, complain_once
from commands.values import real, share, typed, whole, wholes, word, yes_or_no
from foundation.errors import InputError
from foundation.plugins import load_plugin
from foundation.printed import name_flags
from foundation.started_as import as_typed, started_as
from training.setting import Setting, field_of

_Settings = TypeVar("_Settings")


MAIN, OTHER, ALL = "main", "other", "all"
PLUGIN = (
    "run a Python file first, which registers attention ops and the like of your own (default: none); may be repeated"
)


def flag(
    default: Any,
    text: str,
    parse: Callable[[str], Any] = word,
    *,
    group: str = OTHER,
    choices: Collection[str] = (),
    only_for: tuple[str, str] | None = None,
    place: str | None = None,
    overrides: Setting | None = None,
    reproduced: bool = True,
    shown: Callable[[str, Any], str] | None = None,
) -> Any:
    """A field that is a flag; a boolean default makes a switch.

    Args:
        text: for the help; the default is added, unless it says `(default: …)` itself.
        group: what `--help GROUP` shows it in, any name.
        choices: the values that it may have, where no plugin can add to them.
        only_for: another field and the value of it that this one is for, see `for_one_alone`.
        place: where what it overrides is in another value, such as `proxy.pictures`.
        overrides: what is overridden there.
        reproduced: whether the command that makes the same results again has it.
        shown: makes what the help says of the default, when it is asked for, from the field's name and the settings
            that the flags override (None where these are the fields' own defaults).
    """
    metadata = {
        "help": text,
        "parse": parse,
        "group": group,
        "choices": choices,
        "only_for": only_for,
        "place": place,
        "overrides": overrides,
        "reproduced": reproduced,
        "shown": shown,
    }
    return dataclasses.field(default=default, metadata=metadata)


def overriding(
    settings: type,
    place: str,
    *,
    group: str,
    only_for: tuple[str, str] | None = None,
    shown: Callable[[str, Any], str],
) -> Any:
    """A flag that overrides a setting of another dataclass, whose text and range are that field's; None overrides none.

    Args:
        place: its name, after a dot if it is within another value.
    """
    field = field_of(settings, place.rpartition(".")[2])
    told: Setting = field.metadata["setting"]
    text = f"yes or no: {told.text}" if field.type is bool else told.text
    parse = _parser_of(field.type, told)
    return flag(
        None,
        text,
        parse,
        group=group,
        choices=told.choices,
        only_for=only_for,
        place=place,
        overrides=told,
        shown=shown,
    )


def _parser_of(kind: Any, told: Setting) -> Callable[[str], Any]:
    """Reads a value of the setting. Integers are held to the range here, other numbers by the setting's dataclass."""
    if kind in (int, tuple[int, ...]):
        assert told.low is not None
        assert told.high is not None
        return (whole if kind is int else wholes)(int(told.low), int(told.high))
    if kind is bool:
        return yes_or_no
    if kind is float:
        return share if told.share else real
    return word


def for_one_alone(settings: type, other: str) -> dict[str, str]:
    """Of the fields that are for one value of another field alone, such as `evaluator`: that value, by their names."""
    told = {field.name: field.metadata.get("only_for") for field in dataclasses.fields(settings)}
    return {name: pair[1] for name, pair in told.items() if pair is not None and pair[0] == other}


def flag_name(name: str) -> str:
    """A field's name as it is typed."""
    return f"--{name.replace('_', '-')}"


def positional(text: str, default: Any = dataclasses.MISSING, *, several: bool = False) -> Any:
    """A field given without a flag's name; required if it has no default. With `several` it is one value or more."""
    metadata = {"help": text, "parse": word, "positional": True, "several": several}
    return dataclasses.field(default=default, metadata=metadata)


def at_home(arguments: Sequence[str]) -> list[str]:
    """The arguments with `~` as a shell means it, wherever a path begins: a shell leaves it in `--out=~/x`.

    That is at the beginning, after `=`, after the `:` of a spec such as `folder:~/pictures`, and in `sqlite:///~/x`.
    """
    begins = r"(^|=|:|:///)(~[^/=:]*)(?=/|$)"
    return [re.sub(begins, lambda found: found[1] + os.path.expanduser(found[2]), text) for text in arguments]


@dataclasses.dataclass(frozen=True)
class Command(Generic[_Settings]):
    """A command, as far as it is known without what it does.

    Attributes:
        name: of the file that starts it and of the module of its body, without the `.py`.
        settings: a dataclass of flags; its docstring is the help's first line.
        example: shown before it.
        continues: whether the same command again goes on where it stopped.
        continues_with: a flag with which it does, where it does not else.
        defaults: makes the settings that flags override, for presets, from what was given of them.
    """

    name: str
    settings: type[_Settings]
    example: str
    continues: bool
    defaults: Callable[[Mapping[str, Any]], _Settings] | None = None
    continues_with: str | None = None

    def check(self, arguments: Sequence[str]) -> None:
        """Ends where the arguments ask for help or cannot be read. Runs no plugin."""
        given = _given(self.settings, arguments, self.example, self.defaults)
        if self.defaults and "plugin" not in given:  # one may add to what there is to choose from
            self.defaults(given)

    def parse(
        self, arguments: Sequence[str], complete: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    ) -> _Settings:
        """The settings that the arguments say, see `parse_settings`."""
        return parse_settings(self.settings, arguments, example=self.example, defaults=self.defaults, complete=complete)


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
    given = _given(settings, arguments, example, defaults)
    for path in given.pop("plugin", []):
        load_plugin(Path(path))
    given = complete(given) if complete else given
    overridden = defaults(given) if defaults else None
    return settings(**given) if overridden is None else dataclasses.replace(overridden, **given)  # type: ignore[type-var]


def _given(
    settings: type[_Settings],
    arguments: Sequence[str],
    example: str,
    defaults: Callable[[Mapping[str, Any]], _Settings] | None,
) -> dict[str, Any]:
    """What the arguments give, by the fields' names, and the files of `--plugin`."""
    fields = dataclasses.fields(settings)  # type: ignore[arg-type]
    parser = _Parser(usage=argparse.SUPPRESS, add_help=False, allow_abbrev=False)

    def show(group: str, given: dict[str, Any]) -> str:
        about = " ".join((settings.__doc__ or "").split())
        overridden = defaults(given) if defaults else None  # None where the fields' own are the defaults
        return _help_text(fields, group, f"{as_typed(example)}\n\n{about}", overridden)

    parser.add_argument("-h", "--help", nargs="?", const=MAIN, default=argparse.SUPPRESS, action=_Help, text=show)
    _add(parser, fields)
    _add_plugin(parser)
    given = vars(parser.parse_args(at_home(arguments)))
    _check(fields, given)
    return given


def _check(fields: "Sequence[dataclasses.Field[Any]]", given: Mapping[str, Any]) -> None:
    """Raises InputError for what is given as nothing, and for what is none of a flag's choices."""
    positionals = {field.name: field.name.upper() for field in fields if field.metadata.get("positional")}
    for name, value in given.items():
        flag = positionals.get(name, flag_name(name))
        for text in value if isinstance(value, list) else [value]:
            if text == "":
                raise InputError(f"{flag}: expected a value, got nothing")
    for field in fields:
        choices = field.metadata.get("choices")
        if choices and field.name in given and given[field.name] not in choices:
            raise InputError(f"{flag_name(field.name)} {given[field.name]}: unknown; known: {', '.join(choices)}")


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
        name = flag_name(field.name)
        if field.default is False:
            parser.add_argument(name, dest=field.name, action="store_true", **options)
        else:
            parse = field.metadata["parse"]
            metavar = getattr(parse, "metavar", "VALUE")
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
                flags = [flag_name(field.name) for field in members] + ["--plugin"] * (name == OTHER)
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
        text = f"{text} (default: {getattr(field.metadata['parse'], 'shown', typed)(default)})"
    return text.replace("%", "%%")


def _parser(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return checked


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

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What argparse's own does, and the flags that misspelt ones are near to are named."""
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            words = " ".join(unknown)
            near = dict.fromkeys(found for found in map(self._near, unknown) if found)
            if near:
                complain_once(f"error: unrecognized arguments: {words}; did you mean {', '.join(near)}?")
                self.exit(2)
            self.error(f"unrecognized arguments: {words}")
        return given

    def _near(self, text: str) -> str | None:
        """The flag whose name is most like that of a misspelt one; None if none is like it."""
        if not text.startswith("--"):
            return None
        names = [name.removeprefix("--") for name in self._option_string_actions if name.startswith("--")]
        found = difflib.get_close_matches(text[2:].partition("=")[0].replace("_", "-"), names, n=1)
        return f"--{found[0]}" if found else None

    def error(self, message: str) -> NoReturn:
        complain_once(f"error: {message}; see {started_as(self.prog)} --help")
        self.exit(2)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise SaidError(status)
