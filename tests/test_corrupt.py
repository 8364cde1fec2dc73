"""Broken and unreadable files, of pictures in memory and of streamed ones: no class is lost in silence."""

import shutil
from pathlib import Path

import pytest
import torch

from foundation.progress import Reporter
from search_space import InputError
from training.data.datasets import load_data
from training.data.folders import scan

CPU = torch.device("cpu")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_of_which_nothing_can_be_decoded(
    split: str, streamed: bool, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "val", "test"):
        shutil.copytree(picture_folder, tmp_path / name)
    for file in (tmp_path / split / "digit2").iterdir():
        file.write_bytes(b"")
    data = load_data(f"folder:{tmp_path}", 32, CPU, Reporter(), streamed=streamed, skip_corrupt=True, loaders=0)
    if split == "train":
        message = "train: not one picture of class digit2 can be decoded; mend or replace them, or remove the class"
        with pytest.raises(InputError, match=message):
            # In the first pass, even where that is only of a part of the pictures.
            list(data.train.subset(torch.arange(0, 96, 6)).batches(4, seed=1))
        return
    batches = list(data.validation.batches(4))
    assert set(torch.cat([labels for _, labels in batches]).tolist()) == {0, 1, 3}
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("validation: ")]
    assert "validation: no pictures of 1 of 4 classes, which nothing can be said about: digit2" in said


@pytest.mark.parametrize("streamed", [False, True])
def test_a_class_without_validation_pictures_is_said(
    streamed: bool, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "val"):
        shutil.copytree(picture_folder, tmp_path / name)
    for file in sorted((tmp_path / "val" / "digit1").iterdir())[1:]:
        file.unlink()  # one is left, which the test split gets
    data = load_data(f"folder:{tmp_path}", 32, CPU, Reporter(), streamed=streamed, loaders=0)
    assert set(data.test.targets.tolist()) == {0, 1, 2, 3}
    assert "no pictures of" not in capsys.readouterr().out
    assert set(data.validation.targets.tolist()) == {0, 2, 3}
    message = "validation: no pictures of 1 of 4 classes, which nothing can be said about: digit1\n"
    assert message in capsys.readouterr().out


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_a_file_that_cannot_be_read_is_not_passed_over(
    skip_corrupt: bool, streamed: bool, picture_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(picture_folder, tmp_path / "pictures")
    options = {"streamed": streamed, "skip_corrupt": skip_corrupt, "loaders": 0}
    data = load_data(f"folder:{tmp_path / 'pictures'}", 32, CPU, **options)
    victim = Path(scan("", str(tmp_path / "pictures")).listed("train").paths[0])
    victim.unlink()
    with pytest.raises(InputError, match=rf"{victim.name}: cannot be read \(No such file or directory\); is the disk"):
        list(data.train.batches(4))
    victim.mkdir()  # as without permission: it is there, and cannot be opened
    with pytest.raises(InputError, match=rf"{victim.name}: cannot be read \(Is a directory\); is the disk still"):
        list(data.train.batches(4))
