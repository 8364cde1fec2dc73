"""What a trained network sees in pictures of the user's own."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from deployment.answers import all_finite, mapped, of_picture
from deployment.model_source import Model
from foundation.errors import InputError
from training.data.picture_files import Finder, add_formats
from training.data.preprocessing import read_picture
from training.task import Answers

BATCH = 16


class Prediction(NamedTuple):
    """What was seen in a picture.

    Attributes:
        classes: in words, with shares from 0 to 1, the largest first: of a classifier the probabilities of its classes.
        error: why the picture could not be read, or nothing be said of it; there is nothing else then.
        answers: all of it, on the CPU, as the task has it for one picture.
    """

    path: Path
    classes: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    answers: Answers = None


def find_pictures(names: Sequence[str], *, gone: bool = True) -> tuple[list[Path], list[str]]:
    """Pictures and, for a folder, those below it in order; and a line of what was left out of each folder, if anything.

    A name that no file has is among them: who reads it, says why.

    Args:
        gone: whether that holds in a folder too, of a link to a picture that is not there; else it is refused.

    Raises InputError for a folder without any, or one that cannot be read.
    """
    add_formats()
    found, left_out = [], []
    for name in names:
        path = Path(name)
        if not os.path.isdir(path):  # of a name that is too long `Path.is_dir` raises an error
            found.append(path)
            continue
        finder = Finder("", name, gone=gone)
        members = finder.below(str(path))
        if finder.left_out:
            left_out.append(f"{path}: {finder.left_out}")
        if not members:
            raise InputError(f"{path}: holds no pictures{f' ({finder.left_out})' if finder.left_out else ''}")
        found += [path / member for member in members]
    return found, left_out


def predict(model: Model, pictures: Sequence[Path], top: int) -> Iterator[Prediction]:
    """What is seen in each picture, at most `top` things, in the order given."""
    task = model.task
    for start in range(0, len(pictures), BATCH):
        paths = pictures[start : start + BATCH]
        images, errors = {}, {}
        for path in paths:
            try:
                images[path] = read_picture(path, model.info)
            except InputError as error:
                errors[path] = str(error)
        found = {}
        if images:
            answers, outputs = model.see(torch.stack(list(images.values())))
            answers = mapped(answers, Tensor.cpu)
            told = task.told(answers, model.info.classes, top)
            for number, path in enumerate(images):
                if not all_finite(of_picture(answers if outputs is None else outputs, number)):
                    errors[path] = f"{path}: the logits of {model.path} are not finite; was it trained to the end?"
                found[path] = Prediction(path, tuple(told[number]), answers=of_picture(answers, number))
        for path in paths:
            yield Prediction(path, error=errors[path]) if path in errors else found[path]
