"""A search space of the user's own, read from a TOML file; its family says what stands in it."""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.json_files import check_values, read_text, shown
from foundation.registry import Registry
from search_space.architecture import FIRST_FAMILY, Attention
from search_space.family import OR_A_PLUGIN, found_in
from search_space.space import SearchSpace


class SpaceFile:
    """A parsed file, which is checked key by key; knows on which line each key stands.

    Attributes:
        content: what stands in it, without the family.
        fields: the file's key for a field of a space, where they differ.
    """

    def __init__(self, path: str, text: str, content: dict[str, Any]):
        self.path = path
        self.content = content
        self.fields: dict[str, str] = {}
        self._lines = _key_lines(text)

    def integers(self, table: dict[str, Any], key: str, place: str) -> tuple[Any, ...]:
        """The list at a key, as a tuple."""
        value = table[key]
        if not isinstance(value, list) or not value:
            raise self.error(joined(place, key), f"expected a list of integers, got {shown(value)}")
        if len({float if isinstance(entry, int) else type(entry) for entry in value}) > 1:
            raise self.error(joined(place, key), f"expected entries of one kind, got {shown(value)}")
        return tuple(value)

    def attentions(self, table: dict[str, Any], key: str, place: str) -> tuple[Attention, ...]:
        """The attentions at a key, such as `["none", "se/8", "ca/16"]`."""
        labels, where = table[key], joined(place, key)
        if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
            raise self.error(where, 'expected a list such as ["none", "se/8", "ca/16"]')
        return tuple(self._attention(label, where) for label in labels)

    def _attention(self, label: str, where: str) -> Attention:
        match = re.fullmatch(r"([a-z][a-z0-9_]*)(?:/(\d{1,4}))?", label)
        if not match:
            raise self.error(where, f"expected an op and a ratio such as ca/16, got {shown(label)}")
        made: Attention = self.made(where, lambda: Attention(match[1], int(match[2]) if match[2] is not None else None))
        return made

    def table(self, content: dict[str, Any], key: str, keys: set[str]) -> dict[str, Any]:
        """The table at a key, which has exactly these keys."""
        value = content[key]
        if not isinstance(value, dict):
            raise self.error(key, f"expected a table with {', '.join(sorted(keys))}, got {shown(value)}")
        self.check_keys(value, keys, keys, key)
        return value

    def check_keys(self, table: dict[str, Any], known: set[str], needed: set[str], place: str) -> None:
        """Raises InputError for a key that is unknown or missing."""
        for key in sorted(table.keys() - known):
            raise self.error(joined(place, key), f"unknown key; known: {', '.join(sorted(known))}")
        for key in sorted(needed - table.keys()):
            raise self.error(joined(place, key), "missing")

    def made(self, place: str, make: Any) -> Any:
        """What `make` returns; an InputError `field: problem` gets the field's place and line."""
        try:
            return make()
        except InputError as error:
            field, _, problem = str(error).partition(": ")
            field = self.fields.get(field, field)
            raise self.error(joined(place, field), problem) from None

    def error(self, key: str, problem: str) -> InputError:
        """The error for a key such as `stage[2].width`, with the line of the key or of the table it belongs to."""
        place = key
        while place and place not in self._lines:
            place = place.rpartition(".")[0]
        line = f"line {self._lines[place]}: " if place else ""
        return InputError(f"`space` {self.path}: {line}{key}: {problem}")

    def name(self) -> str:
        """The space's name."""
        name = self.content["name"]
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            raise self.error("name", f"expected a name of letters, digits, _, . and -, got {shown(name)}")
        return name


READERS: Registry[Callable[[SpaceFile], SearchSpace]] = Registry("family", OR_A_PLUGIN)
"""What makes a space of a family from a file, registered in the file `space_file.py` of the family's room."""


def read_space(path: str) -> SearchSpace:
    """The space that a file describes. Raises InputError naming the file, the line and the key that is wrong."""
    text = read_text(Path(path), named_by=f"`space` {path}").replace("\r\n", "\n")
    try:
        content = tomllib.loads(text)
        check_values(content)
    except RecursionError:
        raise InputError(f"`space` {path}: nested too deeply") from None
    except InputError as error:
        raise InputError(f"`space` {path}: {error}") from None
    except ValueError as error:  # TOMLDecodeError, and integers of thousands of digits
        raise InputError(f"`space` {path}: {_repeated(text) or error}") from None
    family = content.pop("family", FIRST_FAMILY)
    file = SpaceFile(path, text, content)
    if not isinstance(family, str):
        raise file.error("family", f"expected a name, got {shown(family)}")
    try:
        reader = found_in(READERS, family, "space_file")
    except InputError as error:
        raise file.error("family", str(error)) from None
    return reader(file)


def _repeated(text: str) -> str | None:
    """The first key that stands twice in a table, with its line; tomllib does not name it."""
    found: dict[str, int] = {}
    for number, key in _keys_by_line(text):
        if found.setdefault(key, number) != number:
            return f"line {number}: {key}: given twice, first in line {found[key]}"
    return None


def joined(place: str, key: str) -> str:
    """A key within a place."""
    return f"{place}.{key}" if place else key


def _key_lines(text: str) -> dict[str, int]:
    """On which line each key of a TOML text stands first, as `name`, `stem`, `stage[0]`, `stage[0].width`."""
    lines: dict[str, int] = {}
    for number, key in _keys_by_line(text):
        lines.setdefault(key, number)
    return lines


def _keys_by_line(text: str) -> Iterator[tuple[int, str]]:
    table = ""
    counts: Counter[str] = Counter()  # of each kind of table that there are several of
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?\s*([A-Za-z0-9_-]+)\s*\]\]?", line)
        key = re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line)
        if header and line.lstrip().startswith("[["):
            table = f"{header[1]}[{counts[header[1]]}]"
            counts[header[1]] += 1
            yield number, table
        elif header:
            table = header[1]
            yield number, table
        elif key:
            yield number, joined(table, key[1])
