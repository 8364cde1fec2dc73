"""Test pictures in rows, each beside the truth and beside what a network makes of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, nn

from deployment.answers import mapped, of_picture
from deployment.model_source import Model
from foundation.files import write_atomically
from reports.fonts import families
from reports.terminal.annotated_picture import DOTS, LINE, SOFTWARE, legend_entries, legend_width, written
from reports.terminal.confusion_picture import plain, shortened
from training.data.dataset import Dataset
from training.resize import resized_batches
from training.targets import moved
from training.task import Drawing, Drawn

COUNT = 6
SIDE = 256  # pixels of a picture's longer side
GAP = 8
MOST_NAMES = 24
PLACE = "Answers"  # in the file's texts: left, top, right and bottom of the column of answers


class Example(NamedTuple):
    """A picture, 3×H×W (uint8), the truth over it, and what a network makes of it."""

    picture: Tensor
    truth: Drawn
    answer: Drawn


def examples(task: Drawing, model: Model, data: Dataset) -> list[Example]:
    """What the network makes of a few test pictures: evenly spaced ones, so of the same data always the same."""
    side = model.info.architecture.resolution
    found = []
    for images, targets in resized_batches(data.test.batches(COUNT, limit=COUNT), side):
        size = (images.shape[2], images.shape[3])
        answers = mapped(model.see(images).answers, Tensor.cpu)
        truth = task.truth(moved(targets, Tensor.cpu))
        for number, image in enumerate(images.cpu()):
            picture = pixels(image, data.mean, data.std)
            both = (of_picture(one, number) for one in (truth, answers))
            found.append(Example(picture, *(task.drawn(picture, one, size, data.classes) for one in both)))
    return found


def pixels(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """A normalised picture as one to look at, 3×H×W (uint8), at 256 pixels of its longer side.

    Args:
        image: 3×H×W; of grey pictures each channel holds the same.
        mean, std: of each of the pictures' channels (one or three), in 0 to 1.
    """
    height, width = image.shape[1:]
    size = [max(1, round(own * SIDE / max(height, width))) for own in (height, width)]
    mean_of, std_of = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    whole = (image.float() * std_of + mean_of)[None]
    enlarged = nn.functional.interpolate(whole, size=size, mode="bilinear", antialias=True)[0]
    return (255 * enlarged).round().clamp(0, 255).to(torch.uint8)


def draw_examples(rows: Sequence[Example], classes: Sequence[str], name: str, path: Path) -> None:
    """Writes a PNG: a row a picture, as it is, with the truth, and with what the network of that name says.

    Below stand the colours that are there, named in the order of the classes, those of the truth first; of more than 24
    the last are left out and counted. A letter that no installed font has is shown as ?.
    """
    titles = ("picture", "truth", name)
    colours = _colours([row.truth for row in rows], classes)
    colours |= _colours([row.answer for row in rows], classes)
    fonts, missing = families([*colours, name, "…"])
    entries = legend_entries(colours, missing, MOST_NAMES)
    cell = legend_width(entries)
    height, width = rows[0].picture.shape[1:]
    across = max(3 * width + 4 * GAP, cell)
    columns = max(1, min(len(entries), (across - GAP) // cell))
    lines = -(-len(entries) // columns)
    top = LINE + GAP
    down = top + len(rows) * (height + GAP) + LINE * lines + GAP
    figure = Figure(figsize=(across / DOTS, down / DOTS), dpi=DOTS)
    canvas = FigureCanvasAgg(figure)
    for column, title in enumerate(titles):
        middle = GAP + column * (width + GAP) + width / 2
        label = plain(written(shortened(title), missing))
        figure.text(middle / across, 1 - top / 2 / down, label, ha="center", va="center", family=fonts, size=11)
    whole = torch.full((3, len(rows) * (height + GAP), 3 * (width + GAP)), 255, dtype=torch.uint8)
    for row, example in enumerate(rows):
        for column, picture in enumerate((example.picture, example.truth.picture, example.answer.picture)):
            y, x = row * (height + GAP), column * (width + GAP)
            whole[:, y : y + height, x : x + width] = picture
    figure.figimage(whole.permute(1, 2, 0).numpy(), xo=GAP, yo=down - top - whole.shape[1])
    figure.legend(
        handles=entries,
        loc="lower left",
        bbox_to_anchor=(GAP / across, GAP / down),
        ncols=columns,
        frameon=False,
        prop={"family": fonts, "size": 10},
        borderaxespad=0,
        borderpad=0,
    )
    left = 2 * (width + GAP) + GAP // 2
    texts = {"Software": SOFTWARE, PLACE: f"{left} 0 {left + width + GAP} {top + whole.shape[1]}"}
    write_atomically(path, lambda temporary: canvas.print_figure(temporary, dpi=DOTS, format="png", metadata=texts))


def draw_whole(picture: Tensor, path: Path, begins: int = 0) -> None:
    """Writes 3×H×W (uint8) as a PNG that is shown as a whole wherever examples are.

    Args:
        begins: the row from which on it is what the network says.
    """
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    texts = PngInfo()
    texts.add_text(PLACE, f"0 {begins} {image.width} {image.height}")
    write_atomically(path, lambda temporary: image.save(temporary, format="PNG", pnginfo=texts))


def answers_alone(image: Image.Image) -> Image.Image:
    """Of a picture that `draw_examples` wrote what the network says, under its name. Raises ValueError for others."""
    left, top, right, bottom = map(int, str(image.info.get(PLACE)).split())
    if not (0 <= left < right <= image.width and 0 <= top < bottom <= image.height):
        raise ValueError("the column of answers is outside")
    return image.crop((left, top, right, bottom))


def _colours(seen: Sequence[Drawn], classes: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Of all that is drawn, in the order of the classes."""
    there = {name: colour for drawn in seen for name, colour in drawn.colours.items()}
    return {name: there[name] for name in classes if name in there}
