"""The digits' canvases, and pictures of the user's own."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from search_space import InputError
from training import digits
from training.augmentation import Augmentation
from training.data import load_data
from training.folders import scan

CPU = torch.device("cpu")


def test_handwriting_is_divided_before_anything_is_composed() -> None:
    sources = {split: digits.source(split) for split in digits.SIZES}
    assert sum(len(labels) for _, labels in sources.values()) == 1797
    seen = {split: {image.tobytes() for image in images} for split, (images, _) in sources.items()}
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]
    for _, labels in sources.values():
        assert np.bincount(labels).min() > 30


@pytest.mark.parametrize("variant", digits.VARIANTS)
def test_canvases_are_a_function_of_the_seed(variant: str) -> None:
    one, same = digits.compose(variant, "test"), digits.compose(variant, "test")
    assert one.images.shape == (4000, 1, 32, 32)
    assert one.images.dtype == torch.uint8
    assert torch.equal(one.images, same.images)
    assert torch.equal(one.labels, same.labels)
    assert not torch.equal(one.images, digits.compose(variant, "test", seed=1).images)
    assert not torch.equal(one.labels, digits.compose(variant, "validation").labels)
    assert one.labels.bincount().min() > 300


@pytest.mark.parametrize("variant", digits.VARIANTS)
def test_normalisation_is_that_of_the_training_canvases(variant: str) -> None:
    pixels = digits.compose(variant, "train").images.float() / 255
    assert pixels.mean().item() == pytest.approx(digits.MEAN[variant], abs=0.002)
    assert pixels.std().item() == pytest.approx(digits.STD[variant], abs=0.002)


def test_composing_is_fast() -> None:
    # 20,000 canvases in under 3 seconds; a loop over canvases takes minutes.
    start = time.perf_counter()
    for split in digits.SIZES:
        digits.compose("pointed", split)
    assert time.perf_counter() - start < 10


def test_the_label_is_the_digit_at_the_crossing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each class a flat grey of its own, so the digit at the crossing can be read off the canvas.
    shades = np.repeat(np.linspace(0.3, 0.9, 10, dtype=np.float32), 64).reshape(10, 8, 8)
    monkeypatch.setattr(digits, "source", lambda split: (shades, np.arange(10)))
    pictures = digits.compose("pointed", "test", count=400)
    images = pictures.images[:, 0].float() / 255
    for image, label in zip(images, pictures.labels, strict=True):
        row = int(image[16:, :2].sum() > image[:16, :2].sum())
        column = int(image[:2, 16:].sum() > image[:2, :16].sum())
        patch = image[6 + 14 * row : 14 + 14 * row, 6 + 14 * column : 14 + 14 * column]
        assert patch.mean().item() == pytest.approx(shades[label, 0, 0], abs=0.13)


def test_batches(picture_folder: Path) -> None:
    data = load_data("digits", 32, CPU)
    split = data.validation
    images, labels = next(split.batches(64))
    assert images.shape == (64, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(labels, split.labels[:64])
    assert sum(len(labels) for _, labels in split.batches(300)) == 4000
    assert sum(len(labels) for _, labels in split.batches(300, seed=1)) == 3900
    assert sum(len(labels) for _, labels in split.batches(300, limit=1000)) == 1000
    first = [labels for _, labels in split.batches(500, seed=1)]
    again = [labels for _, labels in split.batches(500, seed=1)]
    other = [labels for _, labels in split.batches(500, seed=2)]
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def test_a_limit_takes_pictures_of_every_class(picture_folder: Path) -> None:
    split = load_data(f"folder:{picture_folder}", 32, CPU).train
    assert torch.equal(split.labels, split.labels.sort().values)  # as files come
    for seed in (None, 1):
        batches = list(split.batches(4, limit=8, seed=seed))
        labels = torch.cat([labels for _, labels in batches])
        assert set(labels.tolist()) == {0, 1, 2, 3}
        images = torch.cat([images for images, _ in batches]).flatten(1)
        assert len(images.unique(dim=0)) == len(labels) == 8
    assert sum(len(labels) for _, labels in split.batches(16, limit=1000)) == len(split)


def test_augmentation_moves_and_mirrors_and_keeps_labels(picture_folder: Path) -> None:
    split = load_data(f"folder:{picture_folder}", 32, CPU).train
    plain = torch.cat([images for images, _ in split.batches(8, seed=3)])
    moved = torch.cat([images for images, _ in split.batches(8, seed=3, augmentation=Augmentation("crop-flip"))])
    again = torch.cat([images for images, _ in split.batches(8, seed=3, augmentation=Augmentation("crop-flip"))])
    assert moved.shape == plain.shape
    assert torch.equal(moved, again)
    assert not torch.equal(moved, plain)
    # Shifts and mirrors move pixels, they make no new ones.
    assert set(moved.unique().tolist()) <= set(plain.unique().tolist())


class TestFolder:
    """`folder:PATH`."""

    def test_one_tree_is_split(self, picture_folder: Path) -> None:
        data = load_data(f"folder:{picture_folder}", 32, CPU)
        assert data.classes == ("digit0", "digit1", "digit2", "digit3")
        assert (len(data.train), len(data.validation), len(data.test)) == (68, 16, 12)
        assert data.train.images.shape[1:] == (3, 32, 32)
        for split in (data.train, data.validation, data.test):
            assert split.labels.bincount(minlength=4).min() > 0
        together = torch.cat([data.train.images, data.validation.images, data.test.images]).flatten(1)
        assert len(together.unique(dim=0)) == 96

    def test_train_and_val(self, picture_folder: Path, tmp_path: Path) -> None:
        shutil.copytree(picture_folder, tmp_path / "train")
        shutil.copytree(picture_folder, tmp_path / "val")
        data = load_data(f"folder:{tmp_path}", 20, CPU)
        assert (len(data.train), len(data.validation), len(data.test)) == (96, 48, 48)
        assert data.train.images.shape[1:] == (3, 20, 20)
        shutil.copytree(picture_folder, tmp_path / "test")
        data = load_data(f"folder:{tmp_path}", 20, CPU)
        assert (len(data.train), len(data.validation), len(data.test)) == (96, 96, 96)

    def test_identity_is_that_of_the_pictures(self, picture_folder: Path, tmp_path: Path) -> None:
        def identity(folder: Path) -> str:
            data = load_data(f"folder:{folder}", 32, CPU)
            assert str(folder) not in data.identity + data.name
            return data.identity

        before = identity(picture_folder)
        moved = tmp_path / "moved"
        shutil.copytree(picture_folder, moved)
        assert identity(moved) == before
        shutil.copy(moved / "digit1" / "00.png", moved / "digit1" / "new.png")
        added = identity(moved)
        assert added != before
        (moved / "digit1" / "new.png").rename(moved / "digit2" / "new.png")
        assert identity(moved) not in (before, added)

    def test_a_broken_image_is_named(self, picture_folder: Path, tmp_path: Path) -> None:
        shutil.copytree(picture_folder, tmp_path / "broken")
        victim = tmp_path / "broken" / "digit2" / "05.png"
        victim.write_bytes(victim.read_bytes()[:60])
        data = load_data(f"folder:{tmp_path / 'broken'}", 32, CPU)
        (split,) = [
            name
            for name in ("train", "validation", "test")
            if victim in [file for file, _ in scan("", str(tmp_path / "broken")).files[name]]
        ]
        with pytest.raises(InputError, match=r"cannot decode .*digit2/05.png"):
            data.load(split)

    def test_unusable_folders(self, picture_folder: Path, tmp_path: Path) -> None:
        def refused(message: str, spec: str = f"folder:{tmp_path}") -> None:
            with pytest.raises(InputError, match=message):
                load_data(spec, 32, CPU)

        refused("no such folder", "folder:/absent")
        refused("no such folder", "folder:")
        refused("no pictures below")
        shutil.copytree(picture_folder / "digit0", tmp_path / "only")
        refused(r"one class \(only\)")
        (tmp_path / "empty").mkdir()
        refused("class folder .*empty has no pictures")
        shutil.copy(picture_folder / "digit1" / "00.png", tmp_path / "empty")
        refused("class empty has fewer than 3 pictures")
        shutil.copytree(picture_folder, tmp_path / "train")
        refused("val is missing")
        shutil.copytree(picture_folder, tmp_path / "val")
        (tmp_path / "val" / "digit3").rename(tmp_path / "val" / "other")
        refused("class digit3 is not in both")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mnist", "--data mnist: unknown; known: digits, digits:clutter, cifar10"),
        ("digits:noise", "--data digits:noise: unknown variant"),
    ],
)
def test_unknown_data(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_data(spec, 32, CPU)


def test_digits_have_one_size() -> None:
    with pytest.raises(InputError, match="pictures of 32 pixels, but the space wants 224"):
        load_data("digits", 224, CPU)
