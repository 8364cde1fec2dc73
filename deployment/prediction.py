"""The classes that a trained network sees in pictures of the user's own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from deployment.model_source import Model
from foundation.errors import InputError
from training.data.picture_files import Finder, add_formats
from training.data.preprocessing import read_picture

BATCH = 16


class Prediction(NamedTuple):
    """What was seen in a picture: classes with their probabilities, the most probable first.

    Attributes:
        error: why the picture could not be read, or classified; there are no classes then.
    """

    path: Path
    classes: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def find_pictures(names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Pictures and, for a folder, those below it in order; and a line of what was left out of each folder, if anything.

    Raises InputError for a folder without any, or one that cannot be read.
    """
    add_formats()
    found, left_out = [], []
    for name in names:
        path = Path(name)
        if not path.is_dir():
            found.append(path)
            continue
        finder = Finder("", name)
        members = finder.below(str(path))
        if finder.left_out:
            left_out.append(f"{path}: {finder.left_out}")
        if not members:
            raise InputError(f"{path}: holds no pictures{f' ({finder.left_out})' if finder.left_out else ''}")
        found += [path / member for member in members]
    return found, left_out


def predict(model: Model, pictures: Sequence[Path], top: int) -> Iterator[Prediction]:
    """The `top` classes of each picture, or fewer where the network knows fewer, in the order given."""
    for start in range(0, len(pictures), BATCH):
        paths = pictures[start : start + BATCH]
        images, errors = {}, {}
        for path in paths:
            try:
                images[path] = read_picture(path, model.info)
            except InputError as error:
                errors[path] = str(error)
        shares = {}
        if images:
            logits = model.classify(torch.stack(list(images.values())))
            for path, row in zip(images, logits, strict=True):
                if not row.isfinite().all():
                    errors[path] = f"{path}: the logits of {model.path} are not finite; was it trained to the end?"
            shares = dict(zip(images, logits.double().softmax(1), strict=True))
        for path in paths:
            if path in errors:
                yield Prediction(path, error=errors[path])
                continue
            best = shares[path].topk(min(top, len(model.info.classes)))
            ranked = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            yield Prediction(path, tuple((model.info.classes[index], share) for index, share in ranked))
