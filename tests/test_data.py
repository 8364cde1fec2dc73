"""The digits' canvases, and pictures of the user's own."""

import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foundation.printed import printable
from foundation.progress import Reporter
from search_space import InputError
from training.augmentation.recipe import Augmentation
from training.data import digits
from training.data.datasets import HeldSplit, load_data
from training.data.folders import scan
from training.data.hold_out import hold_out
from training.data.pictures import Pictures
from training.data.streamed import StreamedSplit

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
    assert torch.equal(one.targets, same.targets)
    assert not torch.equal(one.images, digits.compose(variant, "test", seed=1).images)
    assert not torch.equal(one.targets, digits.compose(variant, "validation").targets)
    assert one.targets.bincount().min() > 300


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
    for image, label in zip(images, pictures.targets, strict=True):
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
    assert torch.equal(labels, split.targets[:64])
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
    assert torch.equal(split.targets, split.targets.sort().values)  # as files come
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
            assert split.targets.bincount(minlength=4).min() > 0
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
        refused("train is called as training pictures are, and .*empty beside it as a class; move empty into it")
        for name in ("only", "empty"):
            shutil.rmtree(tmp_path / name)
        shutil.copytree(picture_folder, tmp_path / "val")
        (tmp_path / "val" / "digit3").rename(tmp_path / "val" / "other")
        refused("class digit3 is in .*/train and not in .*/val .which has other.; rename it, add pictures of it there")

    @pytest.mark.parametrize("kind", ["folder", "imagenet"])
    def test_a_class_folder_whose_name_is_not_utf8(self, kind: str, picture_folder: Path, tmp_path: Path) -> None:
        for split in ("train", "val"):
            shutil.copytree(picture_folder, tmp_path / split)
            (tmp_path / split / "digit3").rename(tmp_path / split / os.fsdecode(b"caf\xe9"))
        with pytest.raises(InputError) as told:
            load_data(f"{kind}:{tmp_path}", 32, CPU, loaders=0)
        expected = f"the name of class folder {tmp_path}/train/caf\\xe9 is not UTF-8; rename it"
        assert printable(told.value).endswith(expected)

    def test_more_than_half_of_the_free_memory_is_refused(
        self, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = f"folder:{picture_folder}"
        monkeypatch.setattr("foundation.memory.MEMORY", tmp_path / "meminfo")
        (tmp_path / "meminfo").write_text("MemAvailable: 300 kB\n")
        data = load_data(spec, 32, CPU, loaders=0)  # 68 training pictures take 204 KiB
        message = r"68 train pictures of 32 pixels need 0\.0 GiB of memory, more than half .*; choose a smaller"
        with pytest.raises(InputError, match=message):
            _ = data.train
        assert isinstance(data.test, HeldSplit)
        assert load_data(spec, 32, CPU, streamed=True, loaders=0).identity != data.identity  # no other way by itself

    def test_what_does_not_fit_is_streamed(self, picture_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = f"folder:{picture_folder}"
        held, forced = load_data(spec, 32, CPU), load_data(spec, 32, CPU, streamed=True, loaders=0)
        assert isinstance(held.train, HeldSplit)
        assert isinstance(held.test, HeldSplit)
        monkeypatch.setattr("training.data.folders.MAX_BYTES", 1000)
        streamed = load_data(spec, 32, CPU, loaders=0)
        with pytest.raises(InputError, match="GiB of memory"):
            _ = load_data(spec, 32, CPU, streamed=False).train
        for data in (forced, streamed):
            assert isinstance(data.train, StreamedSplit)
            assert data.name == "folder"
            assert data.identity == forced.identity != held.identity
            assert torch.equal(data.test.targets, held.test.targets)
            for (images, labels), (others, other_labels) in zip(
                data.train.batches(16, seed=1), held.train.batches(16, seed=1), strict=True
            ):
                assert torch.equal(labels, other_labels)
                assert torch.allclose(images, others, atol=1e-5)  # they are 32 pixels wide, so nothing is scaled

    def test_corrupt_ones_are_left_out_if_wanted(
        self, picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(picture_folder, tmp_path / "train")
        shutil.copytree(picture_folder, tmp_path / "val")
        for name in ("00.png", "01.png"):
            (tmp_path / "train" / "digit2" / name).write_bytes(b"")
        whole = load_data(f"folder:{tmp_path}", 32, CPU)
        with pytest.raises(InputError, match=r"cannot decode .*digit2/00.png .*`skip_corrupt`"):
            _ = whole.train
        data = load_data(f"folder:{tmp_path}", 32, CPU, Reporter(), skip_corrupt=True)
        assert data.train.targets.bincount().tolist() == [24, 24, 22, 24]
        assert len(data.validation) == 48
        expected = r"train: 2 of 96 pictures cannot be decoded and are passed over: .*digit2/00.png, .*digit2/01.png"
        assert re.fullmatch(expected, capsys.readouterr().out.splitlines()[-1])


def _imagenet(root: Path, train: Sequence[int], val: int = 1) -> Path:
    """So many empty files a class: nothing is opened before it is needed."""
    for index, count in enumerate(train):
        for split, number in (("train", count), ("val", val)):
            folder = root / split / f"n{index:08}"
            folder.mkdir(parents=True)
            for name in range(number):
                (folder / f"{split}_{name:05}.JPEG").touch()
    return root


class TestImageNet:
    """`imagenet:PATH`."""

    def test_layout(self, tmp_path: Path) -> None:
        root = _imagenet(tmp_path, [30, 10, 20], val=4)
        (root / "train" / "n00000000" / "notes.txt").touch()
        data = load_data(f"imagenet:{root}", 32, CPU, loaders=0)
        assert data.name == "imagenet"
        assert data.classes == ("n00000000", "n00000001", "n00000002")
        assert data.num_classes == 3
        assert (len(data.train), len(data.validation), len(data.test)) == (54, 6, 12)
        assert data.validation.targets.bincount().tolist() == [2, 2, 2]
        assert data.test.targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        splits = [data.train, data.validation, data.test]
        assert all(isinstance(split, StreamedSplit) for split in splits)
        paths = [path for split in splits if isinstance(split, StreamedSplit) for path in split.paths]
        assert len(set(paths)) == 72
        for split in splits:
            assert isinstance(split, StreamedSplit)
            for path, label in zip(split.paths, split.targets.tolist(), strict=True):
                assert Path(path).parent.name == data.classes[label]
                assert Path(path).is_file()

    def test_identity_is_that_of_the_files(self, tmp_path: Path) -> None:
        def identity(root: Path) -> str:
            return load_data(f"imagenet:{root}", 32, CPU, loaders=0).identity

        one = _imagenet(tmp_path / "one", [10, 10])
        before = identity(one)
        shutil.copytree(one, tmp_path / "moved")
        assert identity(tmp_path / "moved") == before
        (one / "train" / "n00000001" / "train_00003.JPEG").rename(one / "train" / "n00000001" / "other.JPEG")
        renamed = identity(one)
        (one / "val" / "n00000001" / "val_00000.JPEG").write_bytes(b"larger")
        assert len({before, renamed, identity(one)}) == 3

    def test_what_cannot_be_used(self, tmp_path: Path) -> None:
        def refused(message: str, spec: str = f"imagenet:{tmp_path}") -> None:
            with pytest.raises(InputError, match=message) as told:
                load_data(spec, 32, CPU, loaders=0)
            assert "\n" not in str(told.value)

        refused("no such folder: /absent", "imagenet:/absent")
        refused(r"no such folder: \(empty\)", "imagenet:")
        refused(f"no such folder: {tmp_path}/train")
        (tmp_path / "train").mkdir()
        refused(f"no such folder: {tmp_path}/val")
        (tmp_path / "val").mkdir()
        refused(f"no class folders in {tmp_path}/train; two are needed")
        (tmp_path / "train" / "n01440764.tar").touch()
        refused("unpack its 1 archives, each into a folder of its name")
        for name in ("n01", "n02"):
            (tmp_path / "train" / name).mkdir()
            (tmp_path / "train" / name / "0.JPEG").touch()
        (tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG").touch()
        refused(f"1 pictures in {tmp_path}/val without class folders; each belongs into val/WNID.*parse_val_archive")
        (tmp_path / "val" / "n01").mkdir()
        refused(rf"class n02 is in {tmp_path}/train and not in {tmp_path}/val \(which has n01\); rename it, add")
        (tmp_path / "val" / "n02").mkdir()
        (tmp_path / "val" / "n01" / "0.JPEG").touch()
        refused(f"class folder {tmp_path}/val/n02 has no pictures")
        (tmp_path / "val" / "n02" / "0.JPEG").touch()
        refused("2 pictures below .*train; at least 10 are needed")


class TestHoldOut:
    """The validation pictures of data that have none of their own."""

    def test_imagenets_size(self) -> None:
        # 732 to 1,300 pictures of each of 1,000 classes.
        labels = torch.arange(1000).repeat_interleave(torch.linspace(732, 1300, 1000).long())
        kept, held = hold_out(labels, 10_000)
        assert labels[held].bincount().tolist() == [10] * 1000
        assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(len(labels)))
        assert torch.equal(held, hold_out(labels, 10_000)[1])
        assert (held[1:] > held[:-1]).all()

    @given(st.lists(st.integers(1, 40), min_size=2, max_size=30), st.integers(1, 100))
    @settings(max_examples=50, deadline=None)
    def test_small_ones(self, counts: list[int], most: int) -> None:
        labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        kept, held = hold_out(labels, most)
        assert len(held) <= min(most, len(labels) / 10)
        assert set(labels[kept].tolist()) == set(range(len(counts)))  # no class is gone
        taken = labels[held].bincount(minlength=len(counts))
        # Evenly: who gave fewer than another by more than one had no more to give.
        for count, given_ in zip(counts, taken.tolist(), strict=True):
            assert given_ >= min(int(taken.max()) - 1, count - 1)


def test_a_number_of_loaders() -> None:
    with pytest.raises(InputError, match="`loaders` -1: expected 0 or more"):
        load_data("imagenet:/absent", 32, CPU, loaders=-1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mnist", "`data` mnist: unknown; known: digits[:VARIANT], cifar10"),
        ("digits:noise", "`data` digits:noise: unknown variant; known: pointed, clutter, uci, mnist"),
    ],
)
def test_unknown_data(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        load_data(spec, 32, CPU)


def test_digits_have_one_size() -> None:
    with pytest.raises(InputError, match="pictures of 32 pixels, but the space wants 224"):
        load_data("digits", 224, CPU)


@pytest.mark.parametrize(("stored", "channels"), [(3, 1), (1, 3), (3, 3), (1, 1)])
def test_pictures_are_normalised_for_a_network_that_knows_others(stored: int, channels: int) -> None:
    pixels = torch.randint(256, (5, stored, 8, 8), dtype=torch.uint8)
    split = HeldSplit(Pictures(pixels, torch.arange(5)), (0.4,) * stored, (0.3,) * stored, CPU)
    other = split.normalised_by((0.2, 0.3, 0.5)[:channels], (0.5, 0.6, 0.7)[:channels])
    mode = {1: "L", 3: "RGB"}
    for number, image in enumerate(torch.cat([images for images, _ in other.batches(2)])):
        whole = pixels[number].expand(3, 8, 8).permute(1, 2, 0).numpy()
        seen = np.asarray(Image.fromarray(whole).convert(mode[channels])).reshape(8, 8, channels) / np.float32(255)
        expected = (seen - np.float32([0.2, 0.3, 0.5][:channels])) / np.float32([0.5, 0.6, 0.7][:channels])
        assert np.allclose(image.permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert torch.equal(next(iter(split.subset(torch.tensor([3])).batches(1)))[0], list(split.batches(1))[3][0])
    assert other.subset(torch.tensor([1])).mean == other.mean
