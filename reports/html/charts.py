"""Charts as small SVG: drawn once, without a script; the page's script adds what happens under the pointer.

A chart keeps its numbers with it, for who saves them. One that may be zoomed says what its axes mean.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from reports.html.markup import Markup, element, text

Format = Callable[[float], str]
Point = tuple[float, float]

WIDE = 640  # units across a chart that has the page's width
X_TICKS, Y_TICKS = 5, 4  # about so many numbers beside an axis
EDGE = 8  # pixels around the marks, so that those at the ends are whole


class Unit(NamedTuple):
    """How the page's script writes the numbers beside an axis when it is zoomed.

    Attributes:
        scale: the number that is written, of one.
        short: whether with k, M and G.
    """

    scale: float = 1.0
    unit: str = ""
    short: bool = False


class Axis(NamedTuple):
    """Values from low to high along pixels from start to end."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def rounded_axis(
    values: Sequence[float], start: float, end: float, ticks: int = 5, *, counts: bool = False
) -> tuple[Axis, list[float]]:
    """An axis that holds the values, from a round number to a round number, and the round numbers on it.

    Args:
        counts: whether there is nothing between whole numbers.
    """
    low, high = min(values), max(values)
    if high == low:
        low, high = low - (abs(low) or 1.0) * 0.05, high + (abs(high) or 1.0) * 0.05
    step = _round_step((high - low) / ticks)
    if counts:
        step = max(1.0, math.ceil(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    numbers = [index * step for index in range(first, last + 1)]
    return Axis(numbers[0], numbers[-1], start, end), numbers


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


class Frame:
    """The axes of a chart and their drawing.

    Args:
        xs, ys: all values that are to lie within.
        counts: whether x counts something.
        units: of x and of y, for a chart that may be zoomed.
    """

    def __init__(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        x_label: str,
        y_label: str,
        x_format: Format,
        y_format: Format,
        counts: bool = False,
        width: int = 460,
        height: int = 300,
        units: tuple[Unit, Unit] | None = None,
    ):
        self.width, self.height, self.units = width, height, units
        self.x, x_ticks = rounded_axis(xs, 72, width - 16, ticks=X_TICKS, counts=counts)
        self.y, y_ticks = rounded_axis(ys, height - 54, 34, ticks=Y_TICKS)
        drawn = []
        for value in y_ticks:
            y = self.y.at(value)
            drawn.append(element("line", x1=self.x.start, x2=self.x.end, y1=y, y2=y, class_="grid"))
            drawn.append(element("text", text(y_format(value)), x=self.x.start - 8, y=y, dy=".35em", text_anchor="end"))
        for value in x_ticks:
            x = self.x.at(value)
            below = {"x": x, "y": self.y.start + 7, "dy": ".9em"}  # in letters: these may be larger on a small screen
            drawn.append(element("text", text(x_format(value)), **below, text_anchor="middle"))
        end = {"x": self.x.end, "y": height - 6, "text_anchor": "end"}
        self.axes = [
            element("g", *drawn, class_="ticks"),
            element("text", text(x_label), **end),
            element("text", text(y_label), x=4, y=16),
        ]

    def path(self, points: Sequence[Point], **attributes: object) -> Markup:
        """A line through points."""
        steps = " ".join(f"{self.x.at(x):.1f},{self.y.at(y):.1f}" for x, y in points)
        return element("polyline", points=steps, fill="none", **attributes)

    def stairs(self, points: Sequence[Point], until: float, **attributes: object) -> Markup:
        """A line that holds each point's value up to the next, and the last up to `until`."""
        corners: list[Point] = []
        for (x, y), (following, _) in zip(points, [*points[1:], (until, 0.0)], strict=True):
            corners += [(x, y), (max(x, following), y)]
        return self.path(corners, **attributes)

    def dot(self, point: Point, radius: float, told: str, **attributes: object) -> Markup:
        """A point that says what it is."""
        x, y = self.x.at(point[0]), self.y.at(point[1])
        return element("circle", cx=x, cy=y, r=radius, data_tip=told, **attributes)

    def upright(self, x: float, words: str) -> Markup:
        """A dashed line at a value of x, with words; nothing if it is outside."""
        if not self.x.low <= x <= self.x.high:
            return Markup("")
        at = self.x.at(x)
        line = element("line", x1=at, x2=at, y1=self.y.end - 4, y2=self.y.start, class_="bound")
        return Markup(line + element("text", text(words), x=at - 5, y=self.y.start - 8, text_anchor="end"))

    def chart(self, *content: Markup, told: str, numbers: str | None = None, group: bool = False) -> Markup:
        """The whole chart.

        Args:
            told: for those who cannot see it.
            numbers: what is drawn, as CSV.
            group: whether there are buttons in it.
        """
        left, top = self.x.start - EDGE, self.y.end - EDGE
        wide, high = self.x.end - left + EDGE, self.y.start - top + EDGE
        box = {"x": left, "y": top, "width": wide, "height": high, "viewBox": f"{left:g} {top:g} {wide:g} {high:g}"}
        return element(
            "svg",
            *self.axes,
            element("svg", *content, **box, class_="marks"),
            viewBox=f"0 0 {self.width} {self.height}",
            role="group" if group else "img",
            aria_label=told,
            class_="chart wide" if self.width >= WIDE else "chart",
            data_csv=numbers,
            **self._zoomed(),
        )

    def _zoomed(self) -> dict[str, str]:
        if self.units is None:
            return {}
        axes = zip((self.x, self.y), self.units, (X_TICKS, Y_TICKS), strict=True)
        x, y = (json.dumps({**axis._asdict(), **unit._asdict(), "count": count}) for axis, unit, count in axes)
        return {"data_x": x, "data_y": y}


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of numbers as CSV, with a line of names first."""
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows])
    return text.getvalue()


class Series(NamedTuple):
    """A series of points with its name and its CSS class."""

    name: str
    points: Sequence[Point]
    look: str


def line_chart(
    lines: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    x_format: Format,
    y_format: Format,
    told: str,
    counts: bool = False,
) -> Markup:
    """Lines with their names at the right; every point says its numbers."""
    xs = [0.0, *(x for line in lines for x, _ in line.points)]
    ys = [y for line in lines for _, y in line.points]
    frame = Frame(xs, ys, x_label=x_label, y_label=y_label, x_format=x_format, y_format=y_format, counts=counts)
    drawn = []
    for line in lines:
        drawn.append(frame.path(line.points, class_=f"line {line.look}"))
        every = -(-len(line.points) // 60)
        alone = " alone" if len(line.points) == 1 else ""
        for x, y in [*line.points[:: every or 1], line.points[-1]]:
            said = f"{line.name}: {y_format(y)}, {x_label} {x_format(x)}".lstrip(": ")
            drawn.append(frame.dot((x, y), 5, said, class_=f"spot{alone} {line.look}"))
    rows = [(line.name, x, y) for line in lines for x, y in line.points]
    return frame.chart(*drawn, told=told, numbers=as_csv(("line", x_label, y_label or "value"), rows))


class DrawnInterval(NamedTuple):
    """A value with its interval, and the CSS colour of its kind."""

    label: str
    name: str
    value: float
    low: float
    high: float
    colour: str
    told: str


def interval_chart(
    rows: Sequence[DrawnInterval], reach: tuple[float, float], value_format: Format, x_label: str, told: str
) -> Markup:
    """A row for each value with its interval beside zero; `reach` is the same for all charts that are compared."""
    width, line, left = 460, 24, 96
    axis, ticks = rounded_axis([*reach, 0.0], left, width - 18, ticks=4)
    height = line * len(rows) + 50
    drawn = []
    for value in ticks:
        x = axis.at(value)
        drawn.append(element("line", x1=x, x2=x, y1=4, y2=height - 44, class_="zero" if value == 0 else "grid"))
        below = {"x": x, "y": height - 39, "dy": ".9em", "text_anchor": "middle"}
        drawn.append(element("text", text(value_format(value)), **below))
    drawn.append(element("text", text(x_label), x=width - 18, y=height - 4, text_anchor="end"))
    for number, row in enumerate(rows):
        y = line * number + 16
        low, high = (axis.at(min(max(value, axis.low), axis.high)) for value in (row.low, row.high))
        certain = row.low > 0 or row.high < 0
        colour = f"color:{row.colour}"
        drawn += [
            element("text", text(row.label), x=left - 12, y=y, dy=".35em", text_anchor="end", class_="name"),
            element("line", x1=low, x2=high, y1=y, y2=y, class_="interval", style=colour),
            element(
                "circle",
                cx=axis.at(row.value),
                cy=y,
                r=5,
                data_tip=row.told,
                style=colour,
                class_="effect" if certain else "effect open",
            ),
        ]
    numbers = as_csv(("", "value", "low", "high"), [(row.name, row.value, row.low, row.high) for row in rows])
    return element(
        "svg",
        *drawn,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=told,
        class_="chart",
        data_csv=numbers,
    )
