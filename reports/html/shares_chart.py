"""Which attention blocks have at each stage, as bars: of some candidates, beside all."""

from collections.abc import Sequence
from typing import NamedTuple

from reports.html.charts import WIDE, as_csv
from reports.html.drawing import field
from reports.html.markup import Markup, element, text
from reports.palette import short
from search_space.architecture import Attention

_LEFT, _RIGHT = 176, WIDE - 4
_ROW, _BETWEEN, _STAGE = 26, 4, 16  # pixels: a bar, between two, and more between two stages
_LEAST = 56  # pixels of a field that has room for its label


class SharesBar(NamedTuple):
    """A bar: the shares of the blocks of a stage, in some candidates, that have each attention."""

    stage: int
    who: str
    shares: dict[Attention, float]


def shares_chart(bars: Sequence[SharesBar], told: str) -> Markup:
    """A bar below the other, those of a stage together."""
    drawn: list[Markup] = []
    y, before = 2.0, bars[0].stage
    for number, bar in enumerate(bars):
        y += _STAGE if bar.stage != before else 0
        if not number or bar.stage != before:
            drawn.append(element("text", text(f"stage {bar.stage}"), x=0, y=y + 13, dy=".35em", class_="name"))
        drawn.append(element("text", text(bar.who), x=_LEFT - 10, y=y + 13, dy=".35em", text_anchor="end"))
        drawn += _fields(bar, y)
        y, before = y + _ROW + _BETWEEN, bar.stage
    rows = [(bar.stage, bar.who, one.label, share) for bar in bars for one, share in bar.shares.items()]
    return element(
        "svg",
        *drawn,
        viewBox=f"0 0 {WIDE} {y:.0f}",
        role="img",
        aria_label=told,
        class_="chart wide",
        data_csv=as_csv(("stage", "candidates", "attention", "share of the blocks"), rows),
    )


def _fields(bar: SharesBar, y: float) -> list[Markup]:
    drawn = []
    x, room = float(_LEFT), _RIGHT - _LEFT
    for attention, share in bar.shares.items():
        width = share * room
        name = "none" if attention.kind == "none" else short(attention.kind)
        label = name if attention.reduction is None else f"{name} /{attention.reduction}"
        parts = [field(attention, x, y, max(1.0, width - 2))]
        if width >= _LEAST:
            middle = {"x": x + width / 2 + 3, "y": y + 13, "dy": ".35em", "text_anchor": "middle"}
            parts.append(element("text", text(label), **middle, class_="inside"))
        drawn.append(element("g", *parts, data_tip=f"{label}: {100 * share:.0f} % of the blocks"))
        x += width
    return drawn
