"""Pictures in rows: as they are, as they were changed towards another category, and what was changed."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from deployment.neuron_bench import Example
from foundation.files import write_atomically
from reports.fonts import families
from reports.terminal.annotated_picture import DOTS, SOFTWARE, written
from reports.terminal.confusion_picture import plain, shortened

WIDE, HIGH = 2.2, 2.5  # inches of a picture with its name
TITLES = ("picture", "changed", "difference")


def draw_changed(examples: Sequence[Example], title: str, path: Path) -> None:
    """Writes a PNG: a row a picture, and under each what it is, what it is to be taken for, and what it is taken for.

    Differences of a row are shown from grey, the largest of it black or white; how large that is stands below. A letter
    that no installed font has is shown as ?.
    """
    names = {name for example in examples for name in (example.own, example.target, example.taken)}
    fonts, missing = families([*names, title, "…"])

    def name(text: str) -> str:
        return plain(written(shortened(text), missing))

    figure = Figure(figsize=(WIDE * len(TITLES), HIGH * len(examples) + 0.7), dpi=DOTS, layout="constrained")
    figure.suptitle(plain(written(title, missing)), family=fonts, size=9)
    grid = figure.subplots(len(examples), len(TITLES), squeeze=False)
    for column, heading in enumerate(TITLES):
        grid[0][column].set_title(heading, size=9)
    for row, example in zip(grid, examples, strict=True):
        change = example.changed - example.picture
        largest = float(change.abs().max())
        shown = change / (2 * largest) + 0.5 if largest > 0 else change + 0.5
        after = f"towards {name(example.target)}, taken for {name(example.taken)}"
        said = (name(example.own), after, f"at most {largest:.3f}")
        for axes, picture, text in zip(row, (example.picture, example.changed, shown), said, strict=True):
            axes.imshow(_rows(picture), cmap="grey", vmin=0, vmax=1, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(text, family=fonts, size=9)
    canvas = FigureCanvasAgg(figure)
    write_atomically(
        path,
        lambda temporary: canvas.print_figure(temporary, dpi=DOTS, format="png", metadata={"Software": SOFTWARE}),
    )


def _rows(picture: Tensor) -> object:
    """H×W of a grey picture, H×W×3 of one in colour."""
    return picture[0].numpy() if len(picture) == 1 else picture.permute(1, 2, 0).numpy()
