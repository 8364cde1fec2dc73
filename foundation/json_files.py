"""Text and JSON of files that somebody else may have written: read within bounds, or refused in a line.

Only the standard library is used here, as in `search_space.architecture`.
"""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from foundation.errors import InputError, first_line

MAX_CHARACTERS = 1_000_000
MAX_OF_A_RUN = 64_000_000  # characters of what grows with a run: a front of thousands of networks
MAX_NESTING = 64
MAX_INTEGER = 1 << 63


def read_text(path: Path, longest: int = MAX_CHARACTERS, named_by: str | None = None) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Args:
        named_by: what the user typed, for the message; by default the path.

    Raises InputError for a missing file, what is no file, no UTF-8 text, or too long.
    """
    named_by = named_by or str(path)
    try:
        # A pipe that lies in a folder would be waited for; one that a shell made is under /dev.
        if not stat.S_ISREG(os.stat(path).st_mode) and path.absolute().parts[1:2] != ("dev",):
            raise InputError(f"{named_by}: cannot be read (it is a folder, a pipe or a device)")
        with open(path, "rb") as file:
            raw = file.read(4 * longest + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{named_by}: no such file") from None
    except OSError as error:
        raise InputError(f"{named_by}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{named_by}: not UTF-8 text; save it as UTF-8, or give the right file") from None
    if len(text) > longest:
        raise InputError(f"{named_by}: a text of {len(text)} characters; at most {longest} are read")
    return text


def read_json(path: Path, longest: int = MAX_CHARACTERS, *, finite: bool = True) -> Any:
    """The parsed content of a JSON file, see `parse_json`. Raises InputError naming the file."""
    text = read_text(path, longest)
    try:
        return parse_json(text, longest, finite=finite)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def parse_json(text: str, longest: int = MAX_CHARACTERS, *, finite: bool = True) -> Any:
    """The value of a JSON text of bounded size, without repeated keys.

    Args:
        finite: whether NaN and infinity are refused.

    Raises InputError, for what `check_values` refuses as well.
    """
    if len(text) > longest:
        raise InputError(f"JSON text of {len(text)} characters: at most {longest} are read")
    try:
        value = _DECODER.decode(text)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"JSON text: nested too deeply; at most {MAX_NESTING} levels are read") from None
    except ValueError as error:  # JSONDecodeError, and integers of thousands of digits
        raise InputError(f"JSON text: {first_line(error)}") from None
    check_values(value, finite=finite)
    return value


def check_values(value: object, *, finite: bool = True) -> None:
    """Raises InputError, naming the place, for what plain values from a file must not hold.

    These are more than 64 levels of lists and objects, integers of more than 64 bits, halves of characters but for
    those that stand for a byte of a path that is not UTF-8, and with `finite` NaN and infinity.
    """
    try:
        _check(value, MAX_NESTING, finite)
    except _ProblemError as error:
        place = "".join(reversed(error.place)).lstrip(".")
        raise InputError(f"{place}: {error.problem}" if place else error.problem) from None


class _ProblemError(Exception):
    """What is wrong with a value, and the way to it, from the inside out."""

    def __init__(self, problem: str):
        super().__init__(problem)
        self.problem = problem
        self.place: list[str] = []


def _check(value: object, levels: int, finite: bool) -> None:
    if isinstance(value, dict | list):
        if not levels:
            # Where that is would be a line too long to read.
            raise InputError(f"nested too deeply; at most {MAX_NESTING} levels are read")
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in entries:
            try:
                if isinstance(key, str):
                    _check(key, 0, finite)
                _check(entry, levels - 1, finite)
            except _ProblemError as error:
                error.place.append(f"[{key}]" if isinstance(key, int) else f".{_named(key)}")
                raise
    elif isinstance(value, str):
        try:
            value.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise _ProblemError(f"{shown(value)} is not UTF-8 text") from None
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value < MAX_INTEGER:
            raise _ProblemError("an integer of more than 64 bits")
    elif isinstance(value, float) and finite and not math.isfinite(value):
        raise _ProblemError(f"expected a finite number, got {value}")


def _named(key: str) -> str:
    return key if key.isidentifier() and len(key) <= 60 else shown(key)


def shown(value: object) -> str:
    """A value from a file as one short line, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a very large integer"
    try:
        text = repr(value)
    except RecursionError:
        return "a value that is nested too deeply"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for key, value in pairs:
        if key in unique:
            raise InputError(f"JSON text: repeated key {shown(key)}")
        unique[key] = value
    return unique


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys)
