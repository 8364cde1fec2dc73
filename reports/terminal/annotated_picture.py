"""A picture with what a network saw in it, beside the names of the colours."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from foundation.files import write_atomically
from reports.fonts import families
from reports.terminal.confusion_picture import plain, shortened
from training.data.opening import opened
from training.task import Drawn

SOFTWARE = "CoordNAS"
DOTS = 100  # an inch
LINE = 22  # pixels of a name in the legend

Colours = Mapping[str, tuple[int, int, int]]
"""By name, 0 to 255."""


def draw_annotated(drawn: Drawn, path: Path) -> None:
    """Writes a PNG: the picture, and to its right the colours that are in it with their names.

    A letter that no installed font has is shown as ?, and of more names than there is room for the last ones are left
    out and counted.
    """
    height, width = drawn.picture.shape[1:]
    fonts, missing = families([*drawn.colours, "…"])
    entries = legend_entries(drawn.colours, missing, max(1, height // LINE - 2))
    beside = legend_width(entries)
    figure = Figure(figsize=((width + beside) / DOTS, height / DOTS), dpi=DOTS)
    axes = figure.add_axes((0, 0, width / (width + beside), 1))
    axes.imshow(drawn.picture.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    legend = figure.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(width / (width + beside), 1),
        frameon=False,
        prop={"family": fonts, "size": 10},
    )
    legend.set_in_layout(False)
    canvas = FigureCanvasAgg(figure)
    write_atomically(
        path,
        lambda temporary: canvas.print_figure(temporary, dpi=DOTS, format="png", metadata={"Software": SOFTWARE}),
    )


def legend_entries(colours: Colours, missing: frozenset[str], room: int) -> list[Patch]:
    """A patch of each colour, labelled with its name; of more than there is room for the last are left out and counted.

    Args:
        missing: letters that no font has, see `reports.fonts`; they are shown as ?.
    """
    entries = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*colour), label=plain(shortened(written(name, missing))))
        for name, colour in colours.items()
    ]
    if len(entries) > room:
        entries = [*entries[:room], Patch(color="none", label=f"and {len(entries) - room} more")]
    return entries


def legend_width(entries: Sequence[Patch]) -> int:
    """Pixels across that hold a patch and the longest of the names."""
    return 60 + 9 * max((len(str(entry.get_label())) for entry in entries), default=0)


def written(name: str, missing: frozenset[str]) -> str:
    """The name with ? for each letter that no font has."""
    return "".join("?" if letter in missing else letter for letter in name)


def is_annotated(path: Path) -> bool:
    """Whether a file is what `draw_annotated` wrote."""
    try:
        with opened(path) as image:
            return bool(image.info.get("Software") == SOFTWARE)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # no picture
        return False
