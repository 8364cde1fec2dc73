"""Folders of pictures without labels, as pre-training and adaptation read them: the same pictures and refusals."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foundation.errors import InputError
from search_space.spaces import priced_space
from tests.saying import Saying
from training.data.adaptation_target import Before, target_folder
from training.data.unlabelled import load_unlabelled
from training.model_file import ModelInfo

CPU = torch.device("cpu")
INFO = ModelInfo(priced_space("mobilenetv2-32").smallest, ("cat", "dog"), (0.5,) * 3, (0.2,) * 3, "folder")

Read = Callable[[str], object]


def _for_pretraining(spec: str) -> object:
    return load_unlabelled(spec, 32, CPU, Saying())


def _for_adaptation(spec: str) -> object:
    return target_folder(spec, Before.of(INFO), CPU, Saying())


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng([number, *os.fsencode(folder)]).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03}.png")


def _refused(read: Read, root: Path | str) -> str:
    with pytest.raises(InputError) as told:
        read(f"folder:{root}")
    (line,) = str(told.value).splitlines()
    return line


def _none(root: Path) -> str:
    return f"no pictures below {root}; add some"


def _no_pictures_but_a_text(root: Path) -> str:
    (root / "notes.txt").write_text("none")
    return f"no pictures below {root}; add some (left out: 1 file that is no picture (.txt, e.g. notes.txt))"


def _two_trains(root: Path) -> str:
    _pictures(root / "train", 20)
    _pictures(root / "training", 20)
    return f"{root}/train and {root}/training are both called as the train pictures are; keep one, or rename the other"


def _a_broken_link(root: Path) -> str:
    _pictures(root, 20)
    (root / "gone.png").symlink_to("nowhere.png")
    return f"{root}/gone.png: a link to nowhere.png, which is not there; mend or remove it"


@pytest.mark.parametrize("read", [_for_pretraining, _for_adaptation])
@pytest.mark.parametrize("fault", [_none, _no_pictures_but_a_text, _two_trains, _a_broken_link])
def test_the_same_faults_are_told_alike(fault: Callable[[Path], str], read: Read, tmp_path: Path) -> None:
    message = fault(tmp_path)
    assert _refused(read, tmp_path) == f"`data` folder:{tmp_path}: {message}"


@pytest.mark.parametrize("read", [_for_pretraining, _for_adaptation])
@pytest.mark.parametrize(("path", "shown"), [("", "(empty)"), ("/absent", "/absent"), ("/absent/", "/absent/")])
def test_no_folder_is_told_alike(path: str, shown: str, read: Read) -> None:
    assert _refused(read, path) == f"`data` folder:{path}: no such folder: {shown}"


def _counts(root: Path, reporter: Saying | None = None) -> list[int]:
    data = load_unlabelled(f"folder:{root}", 32, CPU, reporter)
    assert data.classes == ()
    return [data.count(split) for split in ("train", "validation", "test")]


def test_parts_need_no_class_folders(tmp_path: Path) -> None:
    for part, count in (("train", 30), ("val", 5), ("test", 4)):
        _pictures(tmp_path / part, count)
    reporter = Saying()
    assert _counts(tmp_path, reporter) == [30, 5, 4]
    (said,) = reporter.said
    assert said == "folder: 39 pictures, whatever their folders; training: train/; validation: val/; test: test/"


def test_parts_that_are_not_there_are_held_out(tmp_path: Path) -> None:
    _pictures(tmp_path / "train" / "all", 40)
    assert _counts(tmp_path) == [28, 6, 6]
    _pictures(tmp_path / "test", 3)
    assert _counts(tmp_path) == [34, 6, 3]
    (tmp_path / "test").rename(tmp_path / "val")
    assert _counts(tmp_path) == [40, 2, 1]


def test_a_test_part_without_classes_beside_one_of_classes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        _pictures(tmp_path / "train" / name, 20)
    _pictures(tmp_path / "test", 6)
    assert _counts(tmp_path) == [34, 6, 6]
    for name in ("cat", "dog"):  # now a retraining takes it, and the splits are its own
        _pictures(tmp_path / "test" / name, 5)
    assert _counts(tmp_path) == [34, 6, 10]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": 19, "val": 5}, "19 pictures below {}/train, fewer than 20; add some"),
        ({"train": 20, "val": 5, "test": 0}, "no pictures below {}/test; add some"),
        ({"train": 20, "val": 1}, "no pictures for the validation split; add some"),
    ],
)
def test_parts_of_too_few_pictures(parts: dict[str, int], message: str, tmp_path: Path) -> None:
    for part, count in parts.items():
        _pictures(tmp_path / part, count)
    assert _refused(_for_pretraining, tmp_path) == f"`data` folder:{tmp_path}: {message.format(tmp_path)}"
