"""What a retraining keeps of the test of a network beside its weights, and what a report reads of it.

`test.json` holds the numbers, `confusion.png` which class is taken for which, and `examples.png` some of the pictures.
"""

import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from deployment.evaluation import Evaluation
from deployment.model_source import read_model
from foundation import distributed
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_json
from foundation.json_files import MAX_OF_A_RUN, read_json, shown
from foundation.progress import Reporter
from training.data.dataset import Dataset
from training.data.people.film import FilmedSplit
from training.model_file import load_model
from training.standalone import WEIGHTS
from training.task import Acting, Attacking, ByClass, Drawing, Entry, Examination, Filming, Preparing, Task

TEST, CONFUSION, EXAMPLES = "test.json", "confusion.png", "examples.png"
MOST_BYTES, MOST_PIXELS = 32 << 20, 1 << 25  # of a picture


class Picture(NamedTuple):
    """A PNG, and what tells its content from others."""

    path: Path
    digest: str

    def opened(self, *, answers: bool = False) -> Image.Image:
        """The picture, decoded; of examples the column of answers alone, if asked. Raises InputError for another."""
        from reports.terminal.examples_picture import answers_alone  # imports matplotlib, which takes a second

        try:
            with Image.open(io.BytesIO(_content(self.path)), formats=("PNG",)) as image:
                if image.width * image.height <= MOST_PIXELS:
                    return answers_alone(image.convert("RGB")) if answers else image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            pass
        raise InputError(f"{self.path}: not a picture of a test; remove it, and retrain.py writes it again")


@dataclass(frozen=True)
class KeptTest:
    """A network's test as its folder has it.

    Attributes:
        entries: what the test tells, the metric first.
        classes: names, in the order of the network's.
        caption: what the examples show; empty for pictures with the truth and the network's answer.
    """

    entries: tuple[Entry, ...]
    classes: tuple[str, ...] = ()
    by_class: ByClass | None = None
    confusion: Picture | None = None
    examples: Picture | None = None
    caption: str = ""


def keep_test(folder: Path, task: Task, data: Dataset, test: Examination, name: str, reporter: Reporter) -> None:
    """Writes what there is to keep of a test, by the first process.

    Of a classifier `predictions.safetensors` has it, unless it is judged by more than its answers.

    Args:
        folder: with the network's weights.
        name: what titles call the network.
    """
    # They import matplotlib, which takes a second; a search that begins reads tests, and draws none.
    from reports.terminal.confusion_picture import draw_confusion
    from reports.terminal.examples_picture import draw_examples, draw_whole, examples
    from reports.terminal.film_picture import draw_film

    if distributed.rank() > 0 or (task.class_labels and not isinstance(task, Attacking | Preparing)):
        return
    remove_leftovers(folder, (TEST, CONFUSION, EXAMPLES))
    # Of several processes each knows its own pictures by class.
    known = test.by_class() if test.by_class is not None and distributed.world() == 1 else None
    film = data.test if isinstance(task, Filming) and isinstance(data.test, FilmedSplit) else None
    caption = {"caption": task.drawn_as} if isinstance(task, Acting) else {}
    if film is not None:
        assert isinstance(task, Filming)
        caption = {"caption": task.filmed_as}
    write_json(folder / TEST, {**_told(test, data.classes, known), **caption})
    if known is not None and known.confusion is not None:
        metric = test.measured.metric
        title = f"{name}: {metric.words} {metric.written(test.measured.value)}, {test.pictures} test pictures"
        by_number = draw_confusion(Evaluation(data.classes, test), title, folder / CONFUSION)
        if by_number:
            reporter.say(
                f"{folder / CONFUSION}: no installed font has the letters of {len(by_number)} of {len(data.classes)} "
                f"names ({by_number[0]}, …); those classes are shown by their numbers in {TEST}"
            )
    if isinstance(task, Acting):
        network, info = load_model(folder / WEIGHTS)
        draw_whole(task.drawn(network.to(data.device), info.architecture.resolution), folder / EXAMPLES)
    if film is not None:
        assert isinstance(task, Filming)
        draw_film(task, read_model(folder / WEIGHTS, data.device), film, data.classes, name, folder / EXAMPLES)
    elif isinstance(task, Drawing):
        found = examples(task, read_model(folder / WEIGHTS, data.device), data)
        draw_examples(found, data.classes, name, folder / EXAMPLES)


def _told(test: Examination, classes: tuple[str, ...], known: ByClass | None) -> dict[str, Any]:
    entries = [one if _is_finite(one.value) else one._replace(value=None, written="") for one in test.entries]
    told: dict[str, Any] = {"entries": [entry._asdict() for entry in entries]}
    if known is not None:
        told["unit"] = known.unit
        told["classes"] = [
            {
                "number": number,
                "name": name,
                "count": known.counts[number],
                "shares": {share: values[number] for share, values in known.shares.items()},
            }
            for number, name in enumerate(classes)
        ]
    return told


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def read_test(folder: Path) -> KeptTest | None:
    """What the folder of a network has of its test; None where it has none.

    Raises InputError for a file that is there and is no test's.
    """
    path = folder / TEST
    if not path.exists():
        return None
    content = read_json(path, MAX_OF_A_RUN)
    try:
        entries = tuple(_entry(each) for each in content["entries"])
        rows = content.get("classes", [])
        names = tuple(str(row["name"]) for row in rows)
        known = _by_class(content["unit"], rows) if rows else None
        caption = str(content.get("caption", ""))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: not a test ({error}); remove it, and retrain.py writes it again") from None
    return KeptTest(entries, names, known, _picture(folder / CONFUSION), _picture(folder / EXAMPLES), caption)


def _entry(content: Mapping[str, Any]) -> Entry:
    return Entry(str(content["name"]), str(content["heading"]), _number(content["value"]), str(content["written"]))


def _by_class(unit: object, rows: list[Mapping[str, Any]]) -> ByClass:
    counts = [int(row["count"]) for row in rows]
    shares = {str(name): [_number(row["shares"][name]) for row in rows] for name in rows[0]["shares"]}
    return ByClass(str(unit), counts, shares)


def _number(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"expected a number, got {shown(value)}")
    return float(value)


def _picture(path: Path) -> Picture | None:
    return Picture(path, hashlib.sha256(_content(path)).hexdigest()) if path.exists() else None


def _content(path: Path) -> bytes:
    """The bytes of a file. Raises InputError for what is none, and for more than 32 MB."""
    if not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path}: cannot be read (it is a folder, a pipe or a device)")
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: more than {MOST_BYTES >> 20} MB; remove it, and retrain.py writes it again")
    return content
