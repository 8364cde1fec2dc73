"""Checks of the fields of values that are read from files: one line names the field that is wrong.

Only the standard library is used here, so an architecture can be read, compared and printed without torch.
"""

import dataclasses
import re
from typing import Any

from foundation.errors import InputError
from foundation.json_files import shown

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def check_fields(place: str, data: object, cls: type, free: tuple[str, ...] = ()) -> dict[str, Any]:
    """`data` as a dictionary with exactly the fields of the dataclass `cls`; those in `free` may be missing."""
    where = place or "architecture"
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected an object, got {shown(data)}")
    known = {field.name for field in dataclasses.fields(cls)}
    prefix = f"{place}." if place else ""
    for name in sorted(known - data.keys() - set(free)):
        raise InputError(f"{prefix}{name}: missing")
    for name in sorted(data.keys() - known):
        raise InputError(f"{prefix}{shown(name)}: unknown field; {where} has {', '.join(sorted(known))}")
    return dict(data)


def check_list(place: str, value: object, longest: int) -> list[Any]:
    """`value` as a list of 1 to `longest` entries."""
    if not isinstance(value, list) or not 1 <= len(value) <= longest:
        got = f"{len(value)} entries" if isinstance(value, list) else shown(value)
        raise InputError(f"{place}: expected a list of 1 to {longest} entries, got {got}")
    return value


def check_tuple(place: str, value: object, kind: type, longest: int) -> None:
    """Raises InputError if it is no tuple of 1 to `longest` of a kind."""
    if not isinstance(value, tuple) or not all(isinstance(entry, kind) for entry in value):
        raise InputError(f"{place}: expected a tuple of {kind.__name__}, got {shown(value)}")
    if not 1 <= len(value) <= longest:
        raise InputError(f"{place}: expected 1 to {longest} entries, got {len(value)}")


def check_integer(place: str, value: object, low: int, high: int) -> None:
    """Raises InputError if it is no integer from `low` to `high`."""
    # bool is an int in Python; `true` for a width is a mistake all the same.
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{place}: expected an integer from {low} to {high}, got {shown(value)}")


def check_name(place: str, value: object) -> None:
    """Raises InputError if it is no name in lower case."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InputError(f"{place}: expected a name in lower case, got {shown(value)}")
