"""Charts as small SVG: drawn once, without a script; the page's script adds what happens under the pointer."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from reports.html.markup import Markup, element, text

Format = Callable[[float], str]
Point = tuple[float, float]


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
    ):
        self.width, self.height = width, height
        self.x, x_ticks = rounded_axis(xs, 62, width - 14, ticks=5, counts=counts)
        self.y, y_ticks = rounded_axis(ys, height - 46, 26, ticks=4)
        drawn = []
        for value in y_ticks:
            y = self.y.at(value)
            drawn.append(element("line", x1=self.x.start, x2=self.x.end, y1=y, y2=y, class_="grid"))
            drawn.append(element("text", text(y_format(value)), x=self.x.start - 8, y=y + 4, text_anchor="end"))
        for value in x_ticks:
            x = self.x.at(value)
            drawn.append(element("text", text(x_format(value)), x=x, y=self.y.start + 18, text_anchor="middle"))
        end = {"x": self.x.end, "y": height - 8, "text_anchor": "end", "class_": "label"}
        drawn.append(element("text", text(x_label), **end))
        drawn.append(element("text", text(y_label), x=self.x.start - 54, y=14, class_="label"))
        self.axes = drawn

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
        return Markup(line + element("text", text(words), x=at - 5, y=self.y.end + 2, text_anchor="end"))

    def chart(self, *content: Markup, told: str) -> Markup:
        """The whole chart; `told` is for those who cannot see it."""
        return element(
            "svg",
            *self.axes,
            *content,
            viewBox=f"0 0 {self.width} {self.height}",
            role="img",
            aria_label=told,
            class_="chart",
        )


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
    return frame.chart(*drawn, told=told)


class DrawnInterval(NamedTuple):
    """A value with its interval, and the CSS colour of its kind."""

    label: str
    value: float
    low: float
    high: float
    colour: str
    told: str


def interval_chart(
    rows: Sequence[DrawnInterval], reach: tuple[float, float], value_format: Format, told: str
) -> Markup:
    """A row for each value with its interval beside zero; `reach` is the same for all charts that are compared."""
    width, line, left = 460, 24, 96
    axis, ticks = rounded_axis([*reach, 0.0], left, width - 18, ticks=4)
    height = line * len(rows) + 30
    drawn = []
    for value in ticks:
        x = axis.at(value)
        drawn.append(element("line", x1=x, x2=x, y1=4, y2=height - 24, class_="zero" if value == 0 else "grid"))
        drawn.append(element("text", text(value_format(value)), x=x, y=height - 6, text_anchor="middle"))
    for number, row in enumerate(rows):
        y = line * number + 16
        low, high = (axis.at(min(max(value, axis.low), axis.high)) for value in (row.low, row.high))
        certain = row.low > 0 or row.high < 0
        colour = f"color:{row.colour}"
        drawn += [
            element("text", text(row.label), x=left - 12, y=y + 4, text_anchor="end", class_="name"),
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
    return element("svg", *drawn, viewBox=f"0 0 {width} {height}", role="img", aria_label=told, class_="chart")
