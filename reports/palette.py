"""How kinds of attention and networks look everywhere, in pages, pictures and the dashboard.

A kind has a colour, a pattern and a name, so that none is told by its colour alone.

The colours are Okabe and Ito's, which people who are colour-blind tell apart (https://jfly.uni-koeln.de/color/), in
one shade for light pages and one for dark. A kind that a user registered gets its own from its name, the same in every
run.
"""

import hashlib
from typing import NamedTuple


class Look(NamedTuple):
    """A kind's colour on light and on dark pages, and the name of its pattern."""

    light: str
    dark: str
    pattern: str


NONE = Look("#7f868e", "#858c95", "plain")

_LOOKS = {
    "none": NONE,
    "ca": Look("#0072b2", "#58aee6", "grid"),
    "se": Look("#e69f00", "#e8b23c", "dots"),
    "eca": Look("#009e73", "#3ec59b", "rows"),
    "cbam": Look("#cc79a7", "#dc9cc0", "checks"),
    "ela": Look("#56b4e9", "#8accf2", "columns"),
    "simam": Look("#d55e00", "#f08a3c", "falling"),
    "triplet": Look("#8a6cbc", "#b39be0", "rising"),
}
_OTHERS = (
    ("#7a7a00", "#bdbd4a"),
    ("#8c564b", "#c59488"),
    ("#00797a", "#4fb9ba"),
    ("#b0307a", "#e07fb4"),
    ("#4d5fc1", "#97a4ee"),
    ("#5d8a2a", "#9bc666"),
)

PATTERNS = ("checks", "columns", "dots", "falling", "grid", "rising", "rows", "zigzag")
"""Each is drawn by `reports.html.palette`."""

INK = {"ink": ("#1b1f24", "#e8e9eb"), "muted": ("#646b74", "#9aa1aa"), "rule": ("#dfe2e6", "#31363d")}
PAPER = ("#ffffff", "#16191d")
ACCENT = ("#0b63a5", "#6bb4ea")
DEEP = (1.0, 0.6)
"""How dense fields with words on them are: on a dark page the words are light, so fields are darker."""


def look(kind: str) -> Look:
    """The kind's colour and pattern; of a kind not known here, from its name."""
    if kind in _LOOKS:
        return _LOOKS[kind]
    number = int.from_bytes(hashlib.sha256(kind.encode()).digest()[:4], "big")
    light, dark = _OTHERS[number % len(_OTHERS)]
    return Look(light, dark, PATTERNS[number // len(_OTHERS) % len(PATTERNS)])


def short(kind: str) -> str:
    """The kind's name where there is little room: abbreviations in capitals."""
    return kind.upper() if len(kind) <= 3 else kind


def strength(reduction: int | None) -> float:
    """How dark a kind's field is: from .72 at a ratio of 1 down to .15 at 32 and beyond; .5 without a ratio."""
    if reduction is None:
        return 0.5
    return max(0.15, 0.72 - 0.115 * (reduction.bit_length() - 1))


def shade(kind: str, reduction: int | None) -> str:
    """The colour of a kind's field on white paper."""
    strong = strength(reduction)
    channels = (int(look(kind).light[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(255 + strong * (channel - 255)):02x}" for channel in channels)


FOUND, OTHER = "found", "other"


def group(network: str) -> str:
    """What a trained network is drawn as: `found`, a kind of attention that is everywhere in it, or `other`."""
    if network == FOUND:
        return FOUND
    first, _, rest = network.partition(" ")
    kind = rest.partition(" ")[0].partition("/")[0]
    return kind if first == "uniform" and kind.isidentifier() and kind.isascii() else OTHER
