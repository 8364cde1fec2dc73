"""How values are written on a command line, and how they are shown there."""

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from foundation.amounts import human

_Value = TypeVar("_Value", covariant=True)


def typed(value: object) -> str:
    """A value as a user would type it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(typed, value))
    if isinstance(value, float) and 0 < value < 1e-4:  # which Python writes with an exponent, and some flags refuse
        text = f"{value:.9f}".rstrip("0")
        return text if float(text) == value else str(value)
    return str(value)


def _people_read(count: int | None) -> str:
    return human(count) if count else typed(count)


class Parser(Generic[_Value]):
    """Reads a value from what was typed. Raises ValueError with what it expects.

    Args:
        read: does so.
        metavar: stands for the value in the help.
        shown: a default as the help has it.
    """

    def __init__(self, read: Callable[[str], _Value], metavar: str, shown: Callable[[Any], str] = typed):
        self.__name__, self.__doc__ = read.__name__, read.__doc__
        self._read = read
        self.metavar = metavar
        self.shown = shown

    def __call__(self, text: str) -> _Value:
        return self._read(text)


def parser(metavar: str, shown: Callable[[Any], str] = typed) -> Callable[[Callable[[str], _Value]], Parser[_Value]]:
    """Decorator that makes a function a `Parser`."""
    return lambda read: Parser(read, metavar, shown)


word = Parser(str, "NAME")
"""Any text."""


number = Parser(str, "NUMBER")
"""Any text, which is read as a number later, where torch is imported."""


@parser("NAME,…")
def names(text: str) -> tuple[str, ...]:
    """Names with commas between, each once."""
    found = tuple(dict.fromkeys(text.split(",")))
    if not all(found):
        raise ValueError("expected names with commas between, without a comma at the end")
    return found


@parser("COUNT")
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


@parser("COUNT", shown=_people_read)
def bound(text: str) -> int | None:
    """A count, or `none`."""
    return None if text == "none" else count(text)


@parser("MS")
def milliseconds(text: str) -> float:
    """A time such as 20 or 1.5, in milliseconds."""
    if not re.fullmatch(r"\d{1,6}(?:\.\d{1,6})?", text) or float(text) == 0:
        raise ValueError("expected milliseconds such as 20 or 1.5")
    return float(text)


@parser("HOURS")
def hours(text: str) -> float:
    """A time such as 12 or 0.5, in hours."""
    if not re.fullmatch(r"\d{1,5}(?:\.\d{1,6})?", text) or float(text) == 0:
        raise ValueError("expected hours such as 12 or 0.5")
    return float(text)


def whole(low: int, high: int = 10**9) -> Parser[int]:
    """Parser of an integer within bounds."""

    @parser("N")
    def integer(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected an integer from {low} to {high}")
        return int(text)

    return integer


def wholes(low: int, high: int = 10**9) -> Parser[tuple[int, ...]]:
    """Parser of integers within bounds, with commas between."""
    one = whole(low, high)

    @parser("N,N,…")
    def integers(text: str) -> tuple[int, ...]:
        return tuple(one(part) for part in text.split(","))

    return integers


@parser("SHARE")
def share(text: str) -> float:
    """A share above 0 and up to 1, e.g. 0.5."""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,9})?", text) or not 0 < float(text) <= 1:
        raise ValueError("expected a share above 0 and up to 1, such as 0.5")
    return float(text)


@parser("SHARE")
def fraction(text: str) -> float:
    """A share from 0 to 1, e.g. 0.5."""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,9})?", text) or not 0 <= float(text) <= 1:
        raise ValueError("expected a share from 0 to 1, such as 0.5")
    return float(text)


@parser("SHARE,…")
def fractions(text: str) -> tuple[float, ...]:
    """Shares from 0 to 1 with commas between, each once: 0.001,0.01."""
    return tuple(dict.fromkeys(fraction(part) for part in text.split(",")))


@parser("NAME,…")
def objectives(text: str) -> tuple[str, ...]:
    """Objectives such as `accuracy,macs`: the metric, and any costs, as names of Cost's fields."""
    names = {"macs": "macs", "params": "params", "latency": "latency_ns"}
    first, *costs = text.split(",")
    if not first or first in names or len(set(costs)) < len(costs) or not set(costs) <= names.keys():
        raise ValueError("expected accuracy, then any of macs, params and latency, such as accuracy,macs")
    return (first, *(names[cost] for cost in costs))


@parser("NUMBER")
def nonnegative(text: str) -> float:
    """A number from 0, such as 1 or 0.25."""
    if not re.fullmatch(r"\d{1,4}(\.\d{1,6})?", text):
        raise ValueError("expected a number such as 1 or 0.25")
    return float(text)


@parser("NUMBER")
def real(text: str) -> float:
    """A number from 0, such as 0.05, 4e-5 or 12."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,9})?(e-?\d{1,2})?", text):
        raise ValueError("expected a number from 0, such as 0.05 or 4e-5")
    return float(text)


@parser("YES|NO")
def yes_or_no(text: str) -> bool:
    """`yes` or `no`."""
    if text not in ("yes", "no"):
        raise ValueError("expected yes or no")
    return text == "yes"
