"""How kinds of attention look everywhere: a colour, a pattern and a name, so that no kind is told by its colour alone.

The colours are Okabe and Ito's, which people who are colour-blind tell apart (https://jfly.uni-koeln.de/color/), in
one shade for light pages and one for dark. A kind that a user registered gets its own from its name, the same in every
run.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from reports.html.markup import Markup, concatenated, element


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

# Each drawn in the paper's colour over the kind's, on a tile of 6 by 6.
_PATTERNS = {
    "grid": "M0 3H6M3 0V6",
    "dots": "M2 3h2M3 2v2",
    "rows": "M0 3H6",
    "columns": "M3 0V6",
    "rising": "M0 6L6 0",
    "falling": "M0 0L6 6",
    "checks": "M0 0L6 6M0 6L6 0",
    "zigzag": "M0 4L3 2L6 4",
}

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
    patterns = sorted(_PATTERNS)
    light, dark = _OTHERS[number % len(_OTHERS)]
    return Look(light, dark, patterns[number // len(_OTHERS) % len(patterns)])


def short(kind: str) -> str:
    """The kind's name where there is little room: abbreviations in capitals."""
    return kind.upper() if len(kind) <= 3 else kind


def strength(reduction: int | None) -> float:
    """How dark a kind's field is: from .75 at a ratio of 1 down to .15 at 32 and beyond; .5 without a ratio."""
    if reduction is None:
        return 0.5
    return max(0.15, 0.75 - 0.12 * (reduction.bit_length() - 1))


def shade(kind: str, reduction: int | None) -> str:
    """The colour of a kind's field on white paper."""
    strong = strength(reduction)
    channels = (int(look(kind).light[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(255 + strong * (channel - 255)):02x}" for channel in channels)


def variables(kinds: Iterable[str]) -> str:
    """CSS that sets the colours, for light and dark."""

    def rules(side: int) -> str:
        own = {"paper": PAPER, "accent": ACCENT, **INK}
        colours = {name: pair[side] for name, pair in own.items()}
        colours |= {f"kind-{kind}": look(kind)[side] for kind in sorted(set(kinds))}
        return ";".join([f"--{name}:{colour}" for name, colour in colours.items()] + [f"--deep:{DEEP[side]:g}"])

    # What is saved of a page is saved as on a light one: the page's script says so by a class meanwhile.
    dark = f"@media(prefers-color-scheme:dark){{:root:not(.light){{{rules(1)}}}}}"
    return f":root{{color-scheme:light dark;{rules(0)}}}{dark}"


def fills(kinds: Iterable[str]) -> str:
    """CSS of what drawings use. Each colour stands twice, for programs that know no variables."""
    css = [f".f-{name}{{fill:{pair[0]};fill:var(--{name})}}" for name, pair in {"paper": PAPER, **INK}.items()]
    css += [f".l-{name}{{stroke:{pair[0]};stroke:var(--{name})}}" for name, pair in {"paper": PAPER, **INK}.items()]
    css.append(".field{opacity:var(--deep)}")
    css += [f".k-{kind}{{fill:{look(kind).light};fill:var(--kind-{kind})}}" for kind in sorted(set(kinds))]
    return "".join(css)


def patterns() -> Markup:
    """The definitions that drawings refer to; once in a document."""
    found = []
    for name, path in _PATTERNS.items():
        lines = element("path", d=path, fill="none", stroke="#fff", stroke_width=1.3, class_="l-paper")
        found.append(element("pattern", lines, id=f"pattern-{name}", width=6, height=6, patternUnits="userSpaceOnUse"))
    return element("defs", concatenated(*found))
