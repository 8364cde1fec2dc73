"""Where Optuna's dashboard looks for notes and plots: in a study's attributes, long texts in pieces.

Its own functions write them one by one, each in a transaction, and to import it takes two seconds. What is here is
held against them by the tests.
"""

from collections.abc import Mapping
from itertools import count, takewhile
from typing import Any

PIECE = 2045
"""Characters of an attribute, as many as every database takes."""


def note_version(trial_id: int | None) -> str:
    """The attribute that counts how often a trial's note was written; without a trial the study's."""
    return "dashboard:note_ver" if trial_id is None else f"dashboard:{trial_id}:note_ver"


def note_pieces(trial_id: int | None) -> str:
    """What the attributes of a note's pieces begin with; their number follows."""
    return "dashboard:note_str:" if trial_id is None else f"dashboard:{trial_id}:note_str:"


def plot_pieces(name: str) -> str:
    """What the attributes of a plot's pieces begin with, which are the JSON of a figure of plotly."""
    return f"dashboard:plot_data:{name}:"


def in_pieces(text: str, prefix: str) -> dict[str, str]:
    """The attributes that hold a text."""
    starts = range(0, len(text), PIECE)
    return {f"{prefix}{number}": text[start : start + PIECE] for number, start in enumerate(starts)}


def joined(attributes: Mapping[str, Any], prefix: str) -> str:
    """The text that attributes hold; empty where there is none."""
    names = takewhile(attributes.__contains__, (f"{prefix}{number}" for number in count()))
    return "".join(attributes[name] for name in names)
