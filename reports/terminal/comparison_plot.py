"""Networks that were trained alike, as a plot for a paper: what they come to against what they cost."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundation.files import write_atomically
from reports.palette import FOUND, INK, OTHER, group, look
from reports.terminal.comparison import ComparedNetwork

SIZE = 10  # points, of all words
_PLACES = (
    ((8, 0), "left", "center"),
    ((-8, 0), "right", "center"),
    ((0, 8), "center", "bottom"),
    ((0, -8), "center", "top"),
    ((8, 9), "left", "bottom"),
    ((8, -9), "left", "top"),
)


def plot_comparison(rows: Sequence[ComparedNetwork], title: str, path: Path) -> None:
    """Writes the metric on the test pictures against MACs, a point a network, a small one a seed.

    A PNG, and an SVG of the same beside it. The found network is a diamond, one that nobody designed a ring; the others
    have the colour of their attention's kind.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    metric, scale = rows[0].metric, rows[0].metric.scale
    # Vectors are of the same bytes each time, and their words stay words.
    with pyplot.rc_context(
        {"font.size": SIZE, "axes.titlesize": SIZE, "svg.hashsalt": "coordnas", "svg.fonttype": "none"}
    ):
        figure, axes = pyplot.subplots(figsize=(7.2, 4.4), dpi=150, layout="constrained")
        points = []
        for index, row in enumerate(rows):
            at = (row.cost.macs / 1e6, scale * statistics.mean(row.values))
            marker, face, edge = _look(FOUND if index == 0 else row.name)
            if len(row.values) > 1:
                values = [scale * value for value in row.values]
                axes.scatter([at[0]] * len(values), values, s=9, c=edge, alpha=0.4)
            axes.scatter(*at, s=52, facecolors=face, edgecolors=edge, marker=marker, zorder=3)
            points.append((row.name, at))
        axes.set_xlabel("MACs for one picture, millions")
        axes.set_ylabel(f"test {metric.axis}")
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.margins(x=0.25, y=0.12)
        _name(figure, axes, points)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
        beside = path.with_suffix(".svg")
        write_atomically(beside, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
        pyplot.close(figure)


def _look(network: str) -> tuple[str, str, str]:
    """Marker, and the colours of its face and edge."""
    kind, ink = group(network), INK["ink"][0]
    if kind == FOUND:
        return "D", ink, ink
    if kind == OTHER:
        return "o", "white", ink
    return "o", look(kind).light, look(kind).light


def _name(figure: Any, axes: Any, points: Sequence[tuple[str, tuple[float, float]]]) -> None:
    """Writes each point's name beside it, where no other name and no other point is, if there is such a place."""
    figure.draw_without_rendering()  # places are known from here
    taken = [axes.transData.transform(at) for _, at in points]
    boxes: list[Any] = []
    for name, at in points:
        for number, (offset, across, up) in enumerate(_PLACES, 1):
            label = axes.annotate(name, at, offset, textcoords="offset points", ha=across, va=up)
            box = label.get_window_extent()
            free = not any(box.overlaps(other) for other in boxes) and not any(box.contains(*one) for one in taken)
            if free or number == len(_PLACES):
                boxes.append(box)
                break
            label.remove()
