"""A network as a picture: a row of stages, each a tower of its blocks on the facts that they share.

A block's field has the colour of its attention's kind, the darker the smaller the reduction ratio; its edge has the
kind's pattern, and its label says both, so the drawing can be read in grey. Fields are the wider the more channels a
stage has. The first block stands on top.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from reports.html.markup import Markup, concatenated, element, text
from reports.html.palette import fills, patterns, variables
from reports.notation import number, short_number
from reports.palette import look, short, strength
from search_space.architecture import Architecture, Attention, Row
from search_space.head import ClassifierHead, Head, as_head
from search_space.parts import strided

WIDTH = 900
FONT = "ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','DejaVu Sans',sans-serif"
NO_KIND = "none"

_MARGIN, _GAP = 12, 10
_BLOCK, _BETWEEN = 26, 4  # pixels: a block's field, and between two
_EDGE = 9
_FACTS = 74  # pixels below the towers
_WIDEST, _END = 128, 0.72  # a stage's column at most, and an end's beside it
_MOST_COLUMNS = 11
_LEGEND = 640  # a page's legend is as wide
_SMALL = 12
_MARKS = (
    "/4: ratio, the darker the smaller",
    "16: channels",
    "5×5: kernel",
    "e: expansion",
    "s: stride",
    "8²: map",
)
_KEYS = "the drawings' marks: kinds of attention; " + ", ".join(_MARKS)
_NARROW = 0.56  # of a font's size, as wide as the letters of a line of words are on average
_LETTER = 0.66  # the same of labels in capitals


class _Column(NamedTuple):
    """A stage, or an end of the network.

    Attributes:
        blocks: the attention of each block; None for a part that has no place for one.
        facts: lines below, the most important first.
    """

    title: str
    blocks: tuple[Attention | None, ...]
    channels: int
    facts: tuple[str, str]
    size: int
    share: float
    told: str


def kinds_of(architectures: Sequence[Architecture]) -> tuple[str, ...]:
    """The kinds of attention in them, sorted."""
    found = {attention.kind for one in architectures for row in one.stage_rows() for attention in row.attention}
    return tuple(sorted(found))


def draw(architecture: Architecture, title: str, head: Head | int | None = None, *, standalone: bool = False) -> Markup:
    """The drawing as an SVG element, 900 pixels wide at most.

    Args:
        title: for those who cannot see it, and where the pointer rests.
        standalone: whether it is a file of its own, with colours, patterns and a legend; else the page has them.
    """
    columns = _columns(architecture, None if head is None else as_head(head))
    rows = _rows(columns)
    kinds = kinds_of([architecture])
    y = 10.0
    drawn: list[Markup] = []
    width = 0.0
    for row in rows:
        unit = min(_WIDEST, (WIDTH - 2 * _MARGIN - _GAP * (len(row) - 1)) / sum(column.share for column in row))
        blocks = max(len(column.blocks) for column in row)
        floor = y + blocks * (_BLOCK + _BETWEEN)
        x = float(_MARGIN)
        for column in row:
            drawn.append(_column(column, x, floor, column.share * unit, _filled(architecture, column)))
            x += column.share * unit + _GAP
        drawn.append(_line(_MARGIN, floor + 1, x - _GAP, floor + 1))
        width = max(width, x - _GAP + _MARGIN)
        y = floor + _FACTS + 10
    if standalone:
        marks, y = _legend(kinds, _MARGIN, y - 4, width - 2 * _MARGIN)
        drawn.append(marks)
    height = y
    if standalone:
        # First, so that all else lies on it. A viewer with a background of its own shows the drawing on ours.
        drawn.insert(0, element("rect", width=width, height=height, class_="f-paper", fill="#fff"))
        style = f"{variables(kinds)}{fills(kinds)}text{{font-family:{FONT}}}"
        drawn.insert(0, concatenated(element("style", style), patterns()))
    return element(
        "svg",
        element("title", text(title)),
        *drawn,
        xmlns="http://www.w3.org/2000/svg" if standalone else None,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}" if standalone else None,
        height=f"{height:.0f}" if standalone else None,
        role="img",
        class_="drawing",
    )


def scrolled(architecture: Architecture, title: str, head: Head | int | None) -> Markup:
    """The drawing for a page, scrolled where the page is too narrow for it."""
    return element("div", draw(architecture, title, head), class_="scroll")


def legend(kinds: Sequence[str]) -> Markup:
    """What the marks mean, as a drawing of its own for a page."""
    drawn, height = _legend(kinds, 0, 2, _LEGEND)
    return element("svg", drawn, viewBox=f"0 0 {_LEGEND} {height:.0f}", role="img", aria_label=_KEYS, class_="legend")


def _columns(architecture: Architecture, head: Head | None) -> list[_Column]:
    size = architecture.resolution
    columns = []
    for row in architecture.rows():
        size = strided(size, row.stride or 1)
        first, *others = [short_number(name, value) for name, value in row.numbers] or [""]
        facts = (first, " ".join([*others, *([] if row.stride is None else [f"s{row.stride}"])]))
        columns.append(
            _Column(row.name, row.blocks, row.width, facts, size, _END if row.end else 1.0, _told(row, size))
        )
    if isinstance(head, ClassifierHead):
        told = f"classifier: mean over the map, {head.told}"
        columns.append(_Column("classes", (None,), head.num_classes, ("linear", ""), 1, _END, told))
    elif head is not None:
        channels, kind = getattr(head, "num_classes", columns[-1].channels), str(head.to_dict()["head"])
        columns.append(_Column("head", (None,), channels, (kind, ""), size, _END, f"head: {head.told}"))
    return columns


def _told(row: Row, size: int) -> str:
    """A row in words, for who asks the drawing."""
    numbers = [f"{name} {value}" for name, value in reversed(row.numbers)]
    stride = [] if row.stride is None else [f"stride {row.stride}"]
    if row.end:
        sides = [number(name, value) for name, value in row.numbers if name == "kernel"]
        return ", ".join([f"{row.name}: {' '.join([*sides, row.kind])} to {row.width} channels", *stride])
    attention = [f"attention {row.attention_label}"] if row.attention else []
    kind = f"stage {row.name}: {row.depth} × {row.kind}, {row.width} channels"
    return ", ".join([kind, *numbers, *stride, *attention, f"map {size}×{size}"])


def _rows(columns: Sequence[_Column]) -> list[Sequence[_Column]]:
    """As few rows as hold them, of nearly equal length."""
    count = -(-len(columns) // _MOST_COLUMNS)
    bounds = [len(columns) * row // count for row in range(count + 1)]
    return [columns[start:end] for start, end in itertools.pairwise(bounds)]


def _filled(architecture: Architecture, column: _Column) -> float:
    """Share of its column that a field takes, by the logarithm of the channels among those of the stages."""
    widths = [row.width for row in architecture.stage_rows()]
    low, high = math.log(min(widths)), math.log(max(widths))
    place = 1.0 if high == low else min(1.0, max(0.0, (math.log(column.channels) - low) / (high - low)))
    return 0.7 + 0.3 * place


def _column(column: _Column, x: float, floor: float, width: float, filled: float) -> Markup:
    drawn: list[Markup] = [element("title", text(column.told))]
    middle = x + width / 2
    own = width * filled
    y = floor - len(column.blocks) * (_BLOCK + _BETWEEN) + _BETWEEN / 2
    for attention in column.blocks:
        drawn.append(_block(attention, middle - own / 2, y, own))
        y += _BLOCK + _BETWEEN
    first, second = column.facts
    drawn += [
        _text(middle, floor + 22, f"{column.channels}", 16, weight=600),
        _text(middle, floor + 40, " ".join(filter(None, column.facts)), 12)
        if width > 7.2 * len(f"{first} {second}")
        else concatenated(_text(middle, floor + 37, first, 11), _text(middle, floor + 50, second, 11)),
        _text(middle, floor + 63, f"{column.title} · {column.size}²", 11, muted=True),
    ]
    return element("g", *drawn)


def field(attention: Attention, x: float, y: float, width: float) -> Markup:
    """The field of a kind of attention and its ratio, 26 pixels high, without words."""
    box = {"x": x, "y": y, "width": width, "height": _BLOCK, "rx": 3}
    if attention.kind == NO_KIND:
        return element("rect", **box, fill="none", stroke="#646b74", class_="l-muted", stroke_dasharray="3 3")
    kind = f"k-{attention.kind}"
    colour = look(attention.kind).light
    edge = {**box, "width": min(_EDGE, width)}
    return concatenated(
        element("rect", **box, class_=f"{kind} field", fill=colour, fill_opacity=strength(attention.reduction)),
        element("rect", **edge, class_=kind, fill=colour),
        element("rect", **edge, fill=f"url(#pattern-{look(attention.kind).pattern})"),
    )


def _block(attention: Attention | None, x: float, y: float, width: float) -> Markup:
    if attention is None:
        box = {"x": x, "y": y, "width": width, "height": _BLOCK, "rx": 3}
        return element("rect", **box, class_="f-rule", fill="#dfe2e6", fill_opacity=0.55)
    if attention.kind == NO_KIND:
        return concatenated(field(attention, x, y, width), _text(x + width / 2, y + 17.5, "none", 11.5, muted=True))
    ratio = "" if attention.reduction is None else f" /{attention.reduction}"
    words = f"{short(attention.kind)}{ratio}"
    room = (width - _EDGE - 4) / _LETTER
    size = max(8.5, min(12.5, room / len(words)))
    name = _fitted(short(attention.kind), room / size - len(ratio))
    return concatenated(
        field(attention, x, y, width), _text(x + _EDGE / 2 + width / 2, y + 17.5, f"{name}{ratio}", size, weight=600)
    )


def _legend(kinds: Sequence[str], x: float, y: float, width: float) -> tuple[Markup, float]:
    """The kinds and the abbreviations in as many rows as they need, and where they end below."""
    drawn = []
    right = x
    for kind in kinds:
        own = max(64.0, 22 + 8.5 * len(kind))
        if right > x and right + own > x + width:
            right, y = x, y + _BLOCK + _BETWEEN
        drawn.append(_block(Attention(kind), right, y, min(own, width)))
        right += own + 8
    y += _BLOCK + 16
    line = ""
    for mark in _MARKS:
        longer = f"{line} · {mark}" if line else mark
        if line and len(longer) * _SMALL * _NARROW > width:
            drawn.append(_text(x, y, line, _SMALL, muted=True, anchor="start"))
            line, y = mark, y + 15
        else:
            line = longer
    drawn.append(_text(x, y, line, _SMALL, muted=True, anchor="start"))
    return element("g", *drawn), y + 8


def _text(
    x: float, y: float, words: str, size: float, *, weight: int = 400, muted: bool = False, anchor: str = "middle"
) -> Markup:
    return element(
        "text",
        text(words),
        x=x,
        y=y,
        font_size=size,
        font_weight=None if weight == 400 else weight,
        text_anchor=None if anchor == "start" else anchor,
        class_="f-muted" if muted else "f-ink",
        fill="#646b74" if muted else "#1b1f24",
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="l-rule", stroke="#dfe2e6")


def _fitted(words: str, letters: float) -> str:
    """As much of it as so many letters hold."""
    room = max(1, int(letters))
    return words if len(words) <= room else f"{words[: room - 1]}…"
