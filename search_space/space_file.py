"""A search space of the user's own, read from a TOML file: a `[[stage]]` a row, its options in lists.

name = "narrow"
resolution = [96, 128]
activation = "relu6"
stem = { width = 16, stride = 2 }
head = { width = 640 }                 # leave it out for a network without a head convolution
attention_per = "block"                # each block has its own; leave it out for one a stage

[[stage]]
block = "inverted_residual"
stride = 2
width = [16, 24]
depth = [1, 2]
expansion = [3, 6]
kernel_size = [3, 5]
attention = ["none", "se/8", "ca/8", "ca/16"]
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.json_files import check_values, read_text, shown
from search_space.architecture import Attention
from search_space.space import SearchSpace
from search_space.stage_program import ATTENTION_PER, StageOptions

_KEYS = {"name", "resolution", "activation", "stem", "head", "attention_per", "stage"}
_FREE_KEYS = {"head", "attention_per"}
_STAGE_KEYS = {"block", "stride", "width", "depth", "expansion", "kernel_size", "attention"}
_TABLE_FIELDS = {
    "stem_width": "stem.width",
    "stem_stride": "stem.stride",
    "head_width": "head.width",
    "stages": "stage",
}
_LISTS = ("width", "depth", "expansion", "kernel_size")


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
    return _Reader(path, text).space(content)


class _Reader:
    """Checks a parsed file; knows on which line each key stands."""

    def __init__(self, path: str, text: str):
        self.path = path
        self.lines = _key_lines(text)

    def space(self, content: dict[str, Any]) -> SearchSpace:
        self._keys(content, _KEYS, _KEYS - _FREE_KEYS, "")
        stages = content["stage"]
        if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
            raise self._error("stage", "expected [[stage]] tables")
        stem = self._table(content, "stem", {"width", "stride"})
        head = self._table(content, "head", {"width"}) if "head" in content else {}
        options = tuple(self._stage(stage, f"stage[{index}]") for index, stage in enumerate(stages))
        name = content["name"]
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            raise self._error("name", f"expected a name of letters, digits, _, . and -, got {shown(name)}")
        resolution = self._list(content, "resolution", "")
        return self._made(
            "",
            lambda: SearchSpace(
                name=name,
                resolution=resolution,
                stem_width=stem["width"],
                stem_stride=stem["stride"],
                stages=options,
                head_width=head.get("width"),
                activation=content["activation"],
                attention_per=content.get("attention_per", ATTENTION_PER[0]),
            ),
        )

    def _stage(self, stage: dict[str, Any], place: str) -> StageOptions:
        self._keys(stage, _STAGE_KEYS, _STAGE_KEYS, place)
        lists = {key: self._list(stage, key, place) for key in _LISTS}
        labels = stage["attention"]
        if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
            raise self._error(f"{place}.attention", 'expected a list such as ["none", "se/8", "ca/16"]')
        attention = tuple(self._attention(label, place) for label in labels)
        return self._made(
            place,
            lambda: StageOptions(block=stage["block"], stride=stage["stride"], attention=attention, **lists),
        )

    def _attention(self, label: str, place: str) -> Attention:
        match = re.fullmatch(r"([a-z][a-z0-9_]*)(?:/(\d{1,4}))?", label)
        if not match:
            raise self._error(f"{place}.attention", f"expected an op and a ratio such as ca/16, got {shown(label)}")
        return self._made(
            f"{place}.attention", lambda: Attention(match[1], int(match[2]) if match[2] is not None else None)
        )

    def _list(self, table: dict[str, Any], key: str, place: str) -> tuple[Any, ...]:
        value = table[key]
        if not isinstance(value, list) or not value:
            raise self._error(_joined(place, key), f"expected a list of integers, got {shown(value)}")
        return tuple(value)

    def _table(self, content: dict[str, Any], key: str, keys: set[str]) -> dict[str, Any]:
        value = content[key]
        if not isinstance(value, dict):
            raise self._error(key, f"expected a table with {', '.join(sorted(keys))}, got {shown(value)}")
        self._keys(value, keys, keys, key)
        return value

    def _keys(self, table: dict[str, Any], known: set[str], needed: set[str], place: str) -> None:
        for key in sorted(table.keys() - known):
            raise self._error(_joined(place, key), f"unknown key; known: {', '.join(sorted(known))}")
        for key in sorted(needed - table.keys()):
            raise self._error(_joined(place, key), "missing")

    def _made(self, place: str, make: Any) -> Any:
        """What `make` returns; an InputError `field: problem` gets the field's place and line."""
        try:
            return make()
        except InputError as error:
            field, _, problem = str(error).partition(": ")
            field = _TABLE_FIELDS.get(field, field)
            raise self._error(_joined(place, field), problem) from None

    def _error(self, key: str, problem: str) -> InputError:
        """The error for a key such as `stage[2].width`, with the line of the key or of the table it belongs to."""
        place = key
        while place and place not in self.lines:
            place = place.rpartition(".")[0]
        line = f"line {self.lines[place]}: " if place else ""
        return InputError(f"`space` {self.path}: {line}{key}: {problem}")


def _repeated(text: str) -> str | None:
    """The first key that stands twice in a table, with its line; tomllib does not name it."""
    found: dict[str, int] = {}
    for number, key in _keys_by_line(text):
        if found.setdefault(key, number) != number:
            return f"line {number}: {key}: given twice, first in line {found[key]}"
    return None


def _joined(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _key_lines(text: str) -> dict[str, int]:
    """On which line each key of a TOML text stands first, as `name`, `stem`, `stage[0]`, `stage[0].width`."""
    lines: dict[str, int] = {}
    for number, key in _keys_by_line(text):
        lines.setdefault(key, number)
    return lines


def _keys_by_line(text: str) -> Iterator[tuple[int, str]]:
    table = ""
    stages = 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?\s*([A-Za-z0-9_-]+)\s*\]\]?", line)
        key = re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line)
        if header and line.lstrip().startswith("[["):
            table = f"{header[1]}[{stages}]"
            stages += 1
            yield number, table
        elif header:
            table = header[1]
            yield number, table
        elif key:
            yield number, _joined(table, key[1])
