"""Pictures beside masks of the user's own, and what pictures with masks and with boxes have in common."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as F
from torchvision.tv_tensors import BoundingBoxes, Mask

from foundation.errors import InputError
from tests.saying import Saying
from training.augmentation.recipe import Augmentation
from training.data import masks
from training.data.dataset import Dataset, Wanted
from training.data.folders import scan
from training.data.whole_pictures import mask_values, scaled_boxes, scaled_mask

CPU = torch.device("cpu")
SIDE = 8

Pixels = NDArray[np.uint8]


def _wanted(root: Path, side: int = SIDE, **options: Any) -> Wanted:
    return Wanted(f"masks:{root}", "masks", str(root), side, CPU, **{"reporter": Saying(), **options})


def _load(root: Path, side: int = SIDE, **options: Any) -> Dataset:
    return masks.load(_wanted(root, side, **options))


def _refused(root: Path, message: str, split: str = "") -> None:
    """By one line, which ends with the message; of a split when that is read, and not before."""
    data = _load(root) if split else None
    with pytest.raises(InputError) as told:
        _load(root) if data is None else data.load(split)
    assert str(told.value).endswith(message)
    assert str(root) in str(told.value)
    assert "\n" not in str(told.value)


def _values(number: int, width: int = 12, height: int = 10, classes: int = 3) -> Pixels:
    """Numbers of classes, of which each picture has all."""
    values = np.random.default_rng(number).integers(0, classes, (height, width), dtype=np.uint8)
    values.flat[:classes] = range(classes)
    return values


def _save(folder: Path, name: str, values: Pixels, picture: Pixels | None = None) -> None:
    for inner in ("images", "masks"):
        (folder / inner / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values * 40 if picture is None else picture).save(folder / "images" / f"{name}.png")
    Image.fromarray(values).save(folder / "masks" / f"{name}.png")


def _folder(folder: Path, count: int = 4, classes: int = 3, first: int = 0) -> Path:
    for number in range(first, first + count):
        _save(folder, str(number), _values(number, classes=classes))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four training and two validation and test pictures of three classes."""
    for place, (split, count) in enumerate((("train", 4), ("val", 2), ("test", 2))):
        _folder(tmp_path / split, count, first=10 * place)
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    return tmp_path


class TestSplits:
    """What is delivered."""

    def test_pictures_and_masks(self, root: Path) -> None:
        data = _load(root)
        assert (data.name, data.classes) == ("masks", ("sky", "road", "car"))
        assert data.files == data.counts == {"train": 4, "validation": 2, "test": 2}
        for split, count in data.counts.items():
            batches = list(getattr(data, split).batches(3))
            images, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
            assert images.shape == (count, 3, SIDE, SIDE)
            assert all(isinstance(own, Mask) for _, own in batches)
            assert targets.shape == (count, SIDE, SIDE)
            assert targets.dtype == torch.uint8
            assert set(targets.unique().tolist()) <= {0, 1, 2}

    def test_augmentation_moves_both(self, tmp_path: Path) -> None:
        for number in range(8):
            _save(tmp_path, str(number), _values(number, SIDE, SIDE))
        train = _load(tmp_path).train
        ((images, targets),) = train.batches(len(train), seed=0, augmentation=Augmentation(crop="crop-flip"))
        pixels = images * torch.tensor(train.std)[:, None, None] + torch.tensor(train.mean)[:, None, None]
        assert isinstance(targets, Mask)
        torch.testing.assert_close(
            pixels * 255, (targets.float() * 40)[:, None].expand(-1, 3, -1, -1).as_subclass(torch.Tensor)
        )

    def test_a_palette_counts_as_its_numbers(self, root: Path) -> None:
        before = _load(root).test.targets
        for file in (root / "test" / "masks").iterdir():
            with Image.open(file) as mask:
                values = np.array(mask)
            painted = Image.fromarray(values).copy()
            painted.putpalette([200, 0, 0, 0, 100, 0, 9, 9, 9])
            assert painted.mode == "P"
            painted.save(file)
        assert torch.equal(_load(root).test.targets, before)

    def test_one_bit_is_two_classes(self, tmp_path: Path) -> None:
        _folder(tmp_path, 4, classes=2)
        before = _load(tmp_path)
        for file in (tmp_path / "masks").iterdir():
            with Image.open(file) as mask:
                values = np.array(mask)
            Image.fromarray(values.astype(bool)).save(file)
        assert before.classes == _load(tmp_path).classes == ("0", "1")
        assert torch.equal(_load(tmp_path).train.targets, before.train.targets)

    def test_folders_within(self, tmp_path: Path) -> None:
        for number in range(4):
            _save(tmp_path, f"day{number}/{number}", _values(number))
        assert sum(_load(tmp_path).counts.values()) == 4

    @pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "DEV", "eval")])
    @pytest.mark.parametrize("there", ["", "train", "train val", "train test", "train val test"])
    def test_divided_as_class_folders(self, tmp_path: Path, there: str, names: tuple[str, ...]) -> None:
        """The same layouts of a folder of one class (and a second one, which a class folder needs)."""
        usual = dict(zip(("train", "val", "test"), names, strict=True))
        for place, split in enumerate(there.split() or ("",)):
            folder = usual.get(split, "")
            _folder(tmp_path / "masks" / folder, 13, first=20 * place)
            for name in ("a", "b"):
                shutil.copytree(tmp_path / "masks" / folder / "images", tmp_path / "classes" / folder / name)
        found = _load(tmp_path / "masks")
        alike = scan("folder", str(tmp_path / "classes"))
        for split, count in found.counts.items():
            assert 2 * count == len(alike.files[split])
        assert found.counts.keys() == alike.files.keys()

    def test_nobody_chooses_what_is_held_out(self, tmp_path: Path) -> None:
        _folder(tmp_path / "train", 20)
        first, second = _load(tmp_path), _load(tmp_path)
        assert first.identity == second.identity
        pictures = {split: getattr(first, split).images for split in first.counts}
        assert {split: len(own) for split, own in pictures.items()} == {"train": 14, "validation": 3, "test": 3}
        for split, own in pictures.items():
            assert torch.equal(own, getattr(second, split).images)
        assert len(torch.cat(list(pictures.values())).unique(dim=0)) == 20  # none is in two splits

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_identity(self, root: Path, split: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        before = _load(root).identity
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        shutil.copytree(root, elsewhere, dirs_exist_ok=True)
        assert _load(elsewhere).identity == before
        (mask, *_) = sorted((root / split / "masks").iterdir())
        Image.fromarray(np.zeros((10, 12), dtype=np.uint8)).save(mask)
        assert _load(root).identity != before
        (elsewhere / "classes.txt").write_text("sky\nroad\nbus\n")
        assert _load(elsewhere).identity != before

    def test_what_is_said(self, root: Path) -> None:
        wanted = _wanted(root)
        (root / "notes").mkdir()
        (root / "train" / "masks" / "readme.txt").touch()
        masks.load(wanted)
        assert isinstance(wanted.reporter, Saying)
        assert wanted.reporter.said == [
            "masks: 3 classes (sky, road, car); training: train/; validation: val/; test: test/",
            "left out: 1 file that is no picture (.txt, e.g. train/masks/readme.txt), "
            "1 folder that is not of a split (e.g. notes)",
        ]

    def test_the_same_picture_in_two_splits_is_said(self, root: Path) -> None:
        for inner in ("images", "masks"):
            shutil.copy(root / "train" / inner / "0.png", root / "val" / inner / "10.png")
        wanted = _wanted(root)
        masks.load(wanted)
        assert isinstance(wanted.reporter, Saying)
        assert wanted.reporter.said[-1].startswith("equal files: 1 of 2 validation pictures are training pictures too")


class TestClasses:
    """Names, and what stands for them."""

    def test_numbers_that_are_there(self, root: Path) -> None:
        (root / "classes.txt").unlink()
        _save(root / "test", "20", np.full((10, 12), 255, dtype=np.uint8))
        assert _load(root).classes == ("0", "1", "2")
        _save(root / "test", "20", np.full((10, 12), 3, dtype=np.uint8))
        assert _load(root).classes == ("0", "1", "2", "3")  # of any split

    def test_a_class_that_a_split_lacks_is_said(self, root: Path) -> None:
        (root / "classes.txt").write_text("sky\nroad\ncar\nbus\n\n")
        _save(root / "val", "10", np.zeros((10, 12), dtype=np.uint8))
        (root / "val" / "images" / "11.png").unlink()
        (root / "val" / "masks" / "11.png").unlink()
        wanted = _wanted(root)
        data = masks.load(wanted)
        assert len(data.train) + len(data.validation) == 5
        assert isinstance(wanted.reporter, Saying)
        assert [line for line in wanted.reporter.said if "nothing can be" in line] == [
            "train: no pixels of 1 of 4 classes, which nothing can be learnt about: bus",
            "validation: no pixels of 3 of 4 classes, which nothing can be said about: road, car, bus",
        ]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "0 classes; expected 2 to 255, one a line"),
            ("sky\n", "1 classes; expected 2 to 255, one a line"),
            ("\n".join(map(str, range(256))), "256 classes; expected 2 to 255, one a line"),
            ("sky\n\nroad", "line 2 is empty; each line has the name of a class"),
            ("sky\nroad\nsky", "line 3: class 'sky' for the second time; rename one"),
        ],
    )
    def test_names_that_are_none(self, root: Path, text: str, message: str) -> None:
        (root / "classes.txt").write_text(text)
        _refused(root, f"{root}/classes.txt: {message}")

    def test_a_gap(self, root: Path) -> None:
        (root / "classes.txt").unlink()
        _save(root / "val", "10", np.full((10, 12), 7, dtype=np.uint8))
        _refused(
            root,
            f"{root}/val/masks/10.png has the number 7, but no mask has 3; number the classes from 0 on, or name all "
            "of them in classes.txt",
        )

    def test_black_and_white_is_one_class(self, root: Path) -> None:
        for file in root.glob("*/masks/*.png"):
            with Image.open(file) as mask:
                values = np.array(mask)
            Image.fromarray(np.where(values == 0, 0, 255).astype(np.uint8)).save(file)
        _refused(
            root,
            "all pixels of the training masks are of one class or 255, which stands for pixels that count nowhere; "
            "give them the numbers of their classes",
            "train",
        )
        (root / "classes.txt").unlink()
        _refused(
            root,
            "masks have fewer than two classes; number them from 0 on (255 is none, it stands for pixels that count "
            "nowhere)",
        )


class TestRefusals:
    """One line, which names the file and what to do."""

    def test_no_folder(self, tmp_path: Path) -> None:
        _refused(tmp_path / "none", f"no such folder: {tmp_path}/none; give one that is there")
        _refused(
            tmp_path,
            f"no such folder: {tmp_path}/images; pictures belong into images/, masks of the same names into masks/",
        )

    @pytest.mark.parametrize("inner", ["images", "masks"])
    def test_no_folder_in_a_split(self, root: Path, inner: str) -> None:
        shutil.rmtree(root / "val" / inner)
        _refused(
            root,
            f"no such folder: {root}/val/{inner}; pictures belong into images/, masks of the same names into masks/",
        )

    def test_two_folders_of_a_split(self, root: Path) -> None:
        (root / "dev").mkdir()
        _refused(
            root,
            f"{root}/dev and {root}/val are both called as the validation pictures are; keep one, or rename the other",
        )

    def test_a_picture_without_a_mask(self, root: Path) -> None:
        (root / "train" / "masks" / "2.png").unlink()
        _refused(root, f"{root}/train/images/2.png has no mask {root}/train/masks/2.png; add or remove one")

    def test_a_mask_without_a_picture(self, root: Path) -> None:
        (root / "train" / "images" / "2.png").unlink()
        _refused(root, f"{root}/train/masks/2.png has no picture 2 in {root}/train/images; add or remove one")

    def test_a_mask_that_lost_its_numbers(self, root: Path) -> None:
        with Image.open(root / "train" / "masks" / "2.png") as mask:
            mask.save(root / "train" / "masks" / "2.jpg")
        (root / "train" / "masks" / "2.png").unlink()
        _refused(root, f"{root}/train/masks/2.jpg: expected a PNG, which keeps numbers; convert it")

    def test_two_pictures_of_one_mask(self, root: Path) -> None:
        with Image.open(root / "train" / "images" / "2.png") as picture:
            picture.save(root / "train" / "images" / "2.jpg")
        _refused(root, f"2.jpg and 2.png in {root}/train/images differ in their suffixes alone; rename one")

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_an_empty_split(self, root: Path, split: str) -> None:
        for file in (root / split).glob("*/*"):
            file.unlink()
        _refused(root, f"no pictures for the {'validation' if split == 'val' else split} split; add some")

    def test_too_few_to_hold_any_out(self, tmp_path: Path) -> None:
        _folder(tmp_path / "train", 2)
        _refused(tmp_path, "fewer than 3 training pictures, too few to hold any out; add some")

    def test_another_size(self, root: Path) -> None:
        mask = root / "test" / "masks" / "20.png"
        Image.fromarray(_values(0, 10, 12)).save(mask)
        _refused(
            root,
            f"{mask}: a mask of 10×12 pixels, but {root}/test/images/20.png has 12×10; each needs the other's size",
            "test",
        )

    def test_a_number_that_is_no_class(self, root: Path) -> None:
        mask = root / "val" / "masks" / "10.png"
        Image.fromarray(_values(0, classes=6)).save(mask)
        _refused(
            root,
            f"{mask}: number 3 is no class; correct it to one of 0 to 2, or 255 for pixels that count nowhere",
            "validation",
        )

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
    def test_other_pixels(self, root: Path, mode: str) -> None:
        mask = root / "train" / "masks" / "3.png"
        with Image.open(mask) as image:
            image.convert(mode).save(mask)
        _refused(
            root,
            f"{mask}: a mask of mode {mode}; expected the number of a class in each pixel, as one channel of 8 bits or "
            "with a palette; save it so",
            "train",
        )

    @pytest.mark.parametrize("inner", ["images", "masks"])
    @pytest.mark.parametrize("named", [True, False])
    def test_what_cannot_be_decoded(self, root: Path, inner: str, named: bool) -> None:
        if not named:
            (root / "classes.txt").unlink()
        broken = root / "train" / inner / "1.png"
        broken.write_bytes(broken.read_bytes()[:60])
        with pytest.raises(InputError, match=rf"cannot decode .*{inner}/1\.png.*; mend or remove it, or give") as told:
            _ = _load(root).train
        assert "\n" not in str(told.value)
        wanted = _wanted(root, skip_corrupt=True)
        data = masks.load(wanted)
        assert len(data.train) == 3
        assert data.counts == {}
        assert isinstance(wanted.reporter, Saying)
        line = f"train: 1 of 4 pictures cannot be decoded and are passed over: {root}/train/images/1.png"
        assert line in wanted.reporter.said

    def test_more_than_half_of_the_memory(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.data.into_memory.free_memory", lambda device: 7 * SIDE**2 * 4)
        assert len(_load(root).validation) == 2
        _refused(
            root,
            "4 train pictures of 8 pixels need 0.0 GiB of memory, more than half of the 0.0 GiB that are free; choose "
            "a smaller resolution or fewer pictures",
            "train",
        )
        monkeypatch.setattr("training.data.into_memory.free_memory", lambda device: None)
        assert len(_load(root).train) == 4


class TestGeometry:
    """A picture, its mask and its boxes go through the same."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    @given(
        across=st.integers(1, 3),
        down=st.integers(1, 3),
        seed=st.integers(0, 1000),
    )
    @settings(max_examples=5, deadline=None)
    def test_a_picture_painted_as_its_mask(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        orientation: int,
        across: int,
        down: int,
        seed: int,
    ) -> None:
        """Where a pixel of the square is from the inside of one class its colour is that of the class."""
        side, root = 12, tmp_path_factory.mktemp("painted")
        exif = Image.Exif()
        exif[0x0112] = orientation
        coarse = np.random.default_rng(seed).integers(0, 4, (3, 4, 4), dtype=np.uint8)
        coarse[:, 0, 0], coarse[:, 0, 1] = 0, 3
        values = coarse.repeat(3 * down, 1).repeat(3 * across, 2)  # a block is 3×3 pixels of the square
        for number, own in enumerate(values):
            _save(root, str(number), own)
            Image.fromarray(_laid(own * 60, orientation)).save(root / "images" / f"{number}.png", exif=exif)
        (root / "classes.txt").write_text("a\nb\nc\nd")
        data = _load(root, side)
        splits = [data.train, data.validation, data.test]
        pixels, targets = (torch.cat([getattr(split, name) for split in splits]) for name in ("images", "targets"))
        order = np.lexsort(coarse.reshape(3, -1).T[::-1])
        by_size = sorted(range(3), key=lambda place: targets[place, 1::3, 1::3].flatten().tolist())
        assert np.array_equal(targets[by_size], coarse[order].repeat(3, 1).repeat(3, 2))
        painted = (targets * 60)[:, None].expand(-1, 3, -1, -1)
        assert torch.equal(pixels[..., 1::3, 1::3], painted[..., 1::3, 1::3])
        assert torch.equal(pixels, painted) == (across == down == 1)

    def test_a_mask_turned_as_its_exif_says(self, tmp_path: Path) -> None:
        values = _values(0)
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(_laid(values, 6)).save(tmp_path / "mask.png", exif=exif)
        assert np.array_equal(mask_values(str(tmp_path / "mask.png")), values)

    @given(
        width=st.integers(1, 90),
        height=st.integers(1, 90),
        side=st.integers(1, 64),
        ends=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    )
    @settings(max_examples=50, deadline=None)
    def test_boxes_are_torchvisions(self, width: int, height: int, side: int, ends: list[float]) -> None:
        corners = torch.tensor([ends], dtype=torch.float64) * torch.tensor([width, height] * 2)
        boxes = BoundingBoxes(corners.float(), format="XYXY", canvas_size=(height, width))
        oracle = F.resize(boxes, [side, side])
        torch.testing.assert_close(
            scaled_boxes(corners, (width, height), side).float(), oracle.as_subclass(torch.Tensor)
        )

    @given(width=st.integers(2, 40), height=st.integers(2, 40), side=st.integers(1, 32), seed=st.integers(0, 99))
    @settings(max_examples=50, deadline=None)
    def test_masks_are_torchs(self, width: int, height: int, side: int, seed: int) -> None:
        """The pixel under the middle of each one: torch calls that `nearest-exact`. Middles on edges fall anywhere."""
        assume(all((2 * place + 1) * size % (2 * side) for size in (width, height) for place in range(side)))
        values = _values(seed, width, height)
        oracle = torch.nn.functional.interpolate(
            torch.from_numpy(values)[None, None], (side, side), mode="nearest-exact"
        )
        assert torch.equal(scaled_mask(values, side), oracle[0, 0])


def _laid(values: Pixels, orientation: int) -> Pixels:
    """Pixels that are these once they are turned as an orientation of EXIF says, by trying Pillow's own turns."""
    turns: list[Callable[[Image.Image], Image.Image]] = [lambda image: image]
    turns += [lambda image, turn=turn: image.transpose(turn) for turn in Image.Transpose]
    for turn in turns:
        lying = turn(Image.fromarray(values))
        lying.getexif()[0x0112] = orientation
        if np.array_equal(ImageOps.exif_transpose(lying), values):
            return np.array(lying)
    raise AssertionError(orientation)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_masks_of_few_bits_are_refused(tmp_path: Path, bits: int) -> None:
    """Pillow reads them spread over 256 grey values: class 3 of two bits would be 255, which counts nowhere."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
    row = zlib.compress(b"\0" + bytes(range(bits)))
    file = tmp_path / "mask.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b""))
    with pytest.raises(InputError, match=f"a mask of mode L of {bits} bits; expected"):
        mask_values(str(file))
