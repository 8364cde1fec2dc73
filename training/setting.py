"""A setting is written once: its type, text, range and default stand at the dataclass's field.

The checks of the dataclass, the flags that override it and their help are made from there. Without torch, for a
command's help needs it.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from foundation.errors import InputError


@dataclass(frozen=True)
class Setting:
    """What a field says of itself beside its type and its default.

    Attributes:
        text: what it is, with its unit, in a few words.
        low, high: the range, both included; None where there is none.
        share: whether it is a share above 0 and up to 1.
        choices: the values that a text may have; empty where any may be.
        called: what a command's settings call it; None for as the field.
    """

    text: str
    low: float | None = None
    high: float | None = None
    share: bool = False
    choices: tuple[str, ...] = ()
    called: str | None = None

    def refusal(self, value: Any) -> str | None:
        """What is wrong with a value; None for a good one."""
        if self.choices and value not in self.choices:
            return f"{value!r} is unknown; known: {', '.join(self.choices)}"
        if self.share and not 0 < value <= 1:
            return f"expected a share above 0 and up to 1, got {value}"
        if self.low is None or self.high is None:
            return None
        if isinstance(value, tuple):
            if not value or not all(self.low <= one <= self.high for one in value):
                return f"expected {self.low} to {self.high} for each, got {value}"
        elif not self.low <= value <= self.high:
            return f"expected {self.low} to {self.high}, got {value}"
        return None


def setting(
    default: Any,
    text: str,
    low: float | None = None,
    high: float | None = None,
    *,
    share: bool = False,
    choices: tuple[str, ...] = (),
    called: str | None = None,
) -> Any:
    """A dataclass's field that is a setting, see `Setting`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(text, low, high, share, choices, called)})


def same(settings: type, name: str) -> Any:
    """A field that is what another dataclass's field is."""
    field = field_of(settings, name)
    return dataclasses.field(default=field.default, metadata=field.metadata)


def field_of(settings: type, name: str) -> "dataclasses.Field[Any]":
    """A dataclass's field of that name, which has to be a setting. Raises KeyError if it is none."""
    found = {field.name: field for field in dataclasses.fields(settings) if "setting" in field.metadata}
    return found[name]


def check(settings: Any, what: str = "") -> None:
    """Raises InputError naming the first setting of a dataclass that is out of its range.

    Args:
        what: before the field's name, such as `core-tuning: `.
    """
    for field in dataclasses.fields(settings):
        if "setting" in field.metadata:
            told: Setting = field.metadata["setting"]
            refusal = told.refusal(getattr(settings, field.name))
            if refusal is not None:
                raise InputError(f"{what}`{told.called or field.name}`: {refusal}")
