"""A table of trained networks: architectures and the accuracies that each came to, a seed a number.

A file is JSON, a network a line:

    {"format": 1, "space": "mobilenetv2-32", "data": "digits", "recipe": {"epochs": 12, ...}, "networks": [
    {"architecture": {...}, "digest": "...", "macs": 1161488, "params": 22890, "group": "equal",
     "validation": [0.774, 0.771], "test": [0.768, 0.772]},
    ...]}

`group` says how a network was chosen: `equal` for one of many of about the same MACs, `range` for one of any. Both
lists have one accuracy in 0 to 1 for each seed, in the same order.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.files import write_atomically
from foundation.json_files import read_json, shown
from search_space.architecture import Architecture

TABLES = Path(__file__).parent.parent / "tables"
"""The folder of the tables that come with the project."""

FORMAT = 1
GROUPS = ("equal", "range")
MAX_CHARACTERS = 64_000_000

_HEAD = ("space", "data", "recipe")


@dataclass(frozen=True)
class Entry:
    """One architecture, trained with as many seeds as there are accuracies."""

    architecture: Architecture
    macs: int
    params: int
    group: str
    validation: tuple[float, ...]
    test: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, count in (("macs", self.macs), ("params", self.params)):
            if type(count) is not int or count < 1:
                raise InputError(f"{name}: expected a positive integer, got {shown(count)}")
        if self.group not in GROUPS:
            raise InputError(f"group: expected {' or '.join(GROUPS)}, got {shown(self.group)}")
        for name, accuracies in (("validation", self.validation), ("test", self.test)):
            for accuracy in accuracies:
                if type(accuracy) not in (int, float) or not 0 <= accuracy <= 1:
                    raise InputError(f"{name}: expected accuracies from 0 to 1, got {shown(accuracy)}")
        if not self.validation or len(self.validation) != len(self.test):
            raise InputError(
                f"test: expected one accuracy a seed, as many as in validation, got {len(self.test)} and "
                f"{len(self.validation)}"
            )

    @property
    def score(self) -> float:
        """Mean validation accuracy over the seeds: what a search may see."""
        return math.fsum(self.validation) / len(self.validation)

    @property
    def truth(self) -> float:
        """Mean test accuracy over the seeds: what a search is judged by."""
        return math.fsum(self.test) / len(self.test)

    def to_dict(self) -> dict[str, Any]:
        """The entry as the file has it."""
        return {
            "architecture": self.architecture.to_dict(),
            "digest": self.architecture.digest(),
            "macs": self.macs,
            "params": self.params,
            "group": self.group,
            "validation": list(self.validation),
            "test": list(self.test),
        }


@dataclass(frozen=True)
class Table:
    """Networks of one space, all trained on the same data with the same recipe."""

    space: str
    data: str
    recipe: dict[str, Any]
    networks: tuple[Entry, ...]

    def __post_init__(self) -> None:
        for name, text in (("space", self.space), ("data", self.data)):
            if not isinstance(text, str) or not text:
                raise InputError(f"{name}: expected a name, got {shown(text)}")
        if not isinstance(self.recipe, dict):
            raise InputError(f"recipe: expected an object, got {shown(self.recipe)}")
        if not self.networks:
            raise InputError("networks: expected at least one")
        first: dict[Architecture, int] = {}
        for index, entry in enumerate(self.networks):
            if first.setdefault(entry.architecture, index) != index:
                raise InputError(
                    f"networks[{index}]: the same architecture as networks[{first[entry.architecture]}]; put all seeds "
                    "of a network into one entry"
                )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        plain = {name: getattr(self, name) for name in _HEAD} | {"networks": [e.to_dict() for e in self.networks]}
        return hashlib.sha256(_json(plain).encode()).hexdigest()


def read_table(path: Path) -> Table:
    """The table in a file. Raises InputError naming the file, the entry and the field that is wrong."""
    content = read_json(path, MAX_CHARACTERS)
    try:
        fields = _fields(content, ("format", *_HEAD, "networks"))
        if fields["format"] != FORMAT:
            raise InputError(f"format: expected {FORMAT}, got {shown(fields['format'])}; this version reads no other")
        networks = fields["networks"]
        if not isinstance(networks, list):
            raise InputError(f"networks: expected a list, got {type(networks).__name__}")
        entries = tuple(_entry(f"networks[{index}]", network) for index, network in enumerate(networks))
        return Table(fields["space"], fields["data"], fields["recipe"], entries)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_table(path: Path, table: Table) -> None:
    """Writes the table, a network a line, atomically."""
    head = {"format": FORMAT, **{name: getattr(table, name) for name in _HEAD}}
    lines = ",\n".join(_json(entry.to_dict()) for entry in table.networks)
    text = f'{_json(head)[:-1]},"networks":[\n{lines}\n]}}\n'

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomically(path, write)


def _entry(place: str, data: object) -> Entry:
    names = ("architecture", "digest", "macs", "params", "group", "validation", "test")
    try:
        fields = _fields(data, names)
        architecture = Architecture.from_dict(fields["architecture"])
        if fields["digest"] != architecture.digest():
            raise InputError(f"digest: the architecture's is {architecture.digest()}, got {fields['digest']!r:.80}")
        accuracies = {}
        for name in ("validation", "test"):
            if not isinstance(fields[name], list):
                raise InputError(f"{name}: expected a list of accuracies, got {fields[name]!r:.60}")
            accuracies[name] = tuple(fields[name])
        return Entry(architecture, fields["macs"], fields["params"], fields["group"], **accuracies)
    except InputError as error:
        raise InputError(f"{place}.{error}") from None


def _fields(data: object, names: Sequence[str]) -> dict[str, Any]:
    """`data` as an object with exactly these fields."""
    if not isinstance(data, dict):
        raise InputError(f"expected an object with {', '.join(names)}, got {data!r:.60}")
    for name in names:
        if name not in data:
            raise InputError(f"{name}: missing")
    for name in data:
        if name not in names:
            raise InputError(f"{name!r:.60}: unknown field; known: {', '.join(names)}")
    return data


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
