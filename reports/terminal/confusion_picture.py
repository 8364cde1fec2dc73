"""A confusion matrix as a picture."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from deployment.evaluation import Evaluation
from foundation.amounts import human
from foundation.files import write_atomically
from reports.fonts import families
from reports.palette import ACCENT, PAPER

COUNTED = 20  # classes up to which every cell has its number
NAMED = 200  # classes up to which every row and column has its name
MOST_WRITTEN = 10_000_000  # has more digits than there is room for
LONGEST = 22  # characters of a name
DOTS = 150  # an inch


def draw_confusion(evaluation: Evaluation, title: str, path: Path) -> list[str]:
    """Writes a PNG: a row a true class, a column what it was taken for, dark where that was often.

    Colours are shares of the row, on a scale that shows a percent. Returns the classes that are shown by their numbers,
    from 0, since no installed font has all letters of their names. The evaluation has to have a confusion matrix.
    """
    known = evaluation.by_class
    assert known is not None
    assert known.confusion is not None
    number = len(evaluation.classes)
    fonts, missing = families([*evaluation.classes, title, "…"])
    unwritable = [name for name in evaluation.classes if not missing.isdisjoint(name)] if number <= NAMED else []
    matrix = known.confusion.numpy()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = min(22.0, max(5.0, 2.0 + (0.42 if number <= COUNTED else 0.12) * number))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    shades = LinearSegmentedColormap.from_list("page", [PAPER[0], ACCENT[0]])
    image = axes.imshow(shares, cmap=shades, norm=PowerNorm(0.4, 0, 1), interpolation="nearest")
    axes.set_title(plain("".join("?" if letter in missing else letter for letter in title)), family=fonts)
    axes.set_xlabel("taken for")
    axes.set_ylabel("class")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1 %", "5 %", "20 %", "50 %", "100 %"])
    bar.set_label(f"share of the class's {known.unit}")
    if number <= NAMED:
        size = 9 if number <= COUNTED else min(7.5, max(3.5, 72 * 0.8 * (side - 2) / number))
        names = [
            plain(shortened(name)) if missing.isdisjoint(name) else str(index)
            for index, name in enumerate(evaluation.classes)
        ]
        longest = max(map(len, names))
        axes.set_xticks(range(number), names, rotation=90 if longest > 2 else 0, fontsize=size, family=fonts)
        axes.set_yticks(range(number), names, fontsize=size, family=fonts)
    if number <= COUNTED:
        _count(axes, matrix, shares)
    canvas = FigureCanvasAgg(figure)
    write_atomically(path, lambda temporary: canvas.print_figure(temporary, dpi=DOTS, format="png"))
    return unwritable


def _count(axes: Any, matrix: "np.ndarray[Any, Any]", shares: "np.ndarray[Any, Any]") -> None:
    for row, column in zip(*matrix.nonzero(), strict=True):
        colour = "white" if shares[row, column] > 0.35 else "black"
        axes.text(column, row, _number(int(matrix[row, column])), ha="center", va="center", fontsize=8, color=colour)


def _number(count: int) -> str:
    return str(count) if count < MOST_WRITTEN else human(count)


def shortened(name: str) -> str:
    """A name of at most so many characters as there is room for."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def plain(text: str) -> str:
    """The text as matplotlib shows it: dollars begin a formula otherwise."""
    return text.replace("$", r"\$")
