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
from training.data.adaptation_target import target_folder
from training.data.unlabelled import load_unlabelled
from training.model_file import ModelInfo

CPU = torch.device("cpu")
INFO = ModelInfo(priced_space("mobilenetv2-32").smallest, ("cat", "dog"), (0.5,) * 3, (0.2,) * 3, "folder")

Read = Callable[[str], object]


def _for_pretraining(spec: str) -> object:
    return load_unlabelled(spec, 32, CPU, Saying())


def _for_adaptation(spec: str) -> object:
    return target_folder(spec, INFO, CPU, Saying())


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
