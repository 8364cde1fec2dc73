"""Folders of pictures as people have them: which folders are splits, which are classes, and equal files."""

import os
import re
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foundation.progress import Reporter
from search_space import InputError
from training.data import equal_pictures as equal_pictures_module
from training.data.datasets import Dataset, load_data
from training.data.equal_pictures import equal_pictures
from training.data.folders import Tree, scan
from training.data.imagenet import scan_imagenet
from training.data.pictures import Listed
from training.data.split_folders import NAMES

CPU = torch.device("cpu")
CAFE = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


def _pictures(*folders: Path, count: int = 4, suffix: str = "png") -> None:
    """So many pictures in each folder, no two alike."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            noise = np.random.default_rng([number, *os.fsencode(folder)]).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / f"{number}.{suffix}")


def _classes(*roots: Path, names: Sequence[str] = ("cat", "dog"), count: int = 4) -> None:
    for root in roots:
        _pictures(*(root / name for name in names), count=count)


def _scanned(root: Path) -> Tree:
    return scan(f"folder:{root}", str(root))


def _counts(tree: Tree) -> list[int]:
    return [len(tree.files[split]) for split in ("train", "validation", "test")]


def _refused(root: Path, message: str, kind: str = "folder") -> None:
    with pytest.raises(InputError) as told:
        load_data(f"{kind}:{root}", 8, CPU, loaders=0)
    assert str(told.value) == f"`data` {kind}:{root}: {message}"
    assert "\n" not in str(told.value)


def _loaded(root: Path, kind: str = "folder") -> Dataset:
    return load_data(f"{kind}:{root}", 8, CPU, Reporter(), loaders=0)


class TestLayouts:
    """Which folders are splits."""

    @pytest.mark.parametrize("train", NAMES["train"])
    @pytest.mark.parametrize("validation", NAMES["validation"])
    @pytest.mark.parametrize("test", NAMES["test"])
    def test_usual_names_in_any_case(self, tmp_path: Path, train: str, validation: str, test: str) -> None:
        _classes(tmp_path / train.upper(), tmp_path / validation.capitalize(), tmp_path / test.title(), count=2)
        tree = _scanned(tmp_path)
        assert (tree.classes, _counts(tree)) == (("cat", "dog"), [4, 4, 4])
        assert {file.parents[1].name for file, _ in tree.files["test"]} == {test.title()}
        assert tree.notes == (
            f"folder: 2 classes (cat, dog); training: {train.upper()}/; validation: {validation.capitalize()}/; "
            f"test: {test.title()}/",
        )

    def test_train_and_validation(self, tmp_path: Path) -> None:
        _classes(tmp_path / "train", tmp_path / "valid")
        tree = _scanned(tmp_path)
        assert _counts(tree) == [8, 4, 4]
        assert tree.notes == (
            "folder: 2 classes (cat, dog); training: train/; validation and test: half of valid/ each",
        )

    def test_train_and_test(self, tmp_path: Path) -> None:
        _classes(tmp_path / "training", count=20)
        _classes(tmp_path / "testing", count=5)
        tree = _scanned(tmp_path)
        assert _counts(tree) == [34, 6, 10]
        assert [label for _, label in tree.files["validation"]] == [0, 0, 0, 1, 1, 1]
        assert {file.parents[1].name for file, _ in tree.files["validation"]} == {"training"}
        assert not {*tree.files["validation"]} & {*tree.files["train"]}
        assert tree.files == _scanned(tmp_path).files
        assert tree.notes == (
            "folder: 2 classes (cat, dog); training: training/; validation: held out of training/, 15 % of each class; "
            "test: testing/",
        )

    def test_train_alone(self, tmp_path: Path) -> None:
        """Is divided as one tree is."""
        _classes(tmp_path / "Train", count=20)
        tree, inner = _scanned(tmp_path), _scanned(tmp_path / "Train")
        assert tree.files == inner.files
        assert tree.fingerprint == inner.fingerprint
        assert _counts(tree) == [28, 6, 6]
        assert tree.notes == (
            "folder: 2 classes (cat, dog); training, validation and test: 70, 15 and 15 % of each class in Train/",
        )
        assert inner.notes == (
            "folder: 2 classes (cat, dog); training, validation and test: 70, 15 and 15 % of each class",
        )

    def test_too_few_to_hold_any_out(self, tmp_path: Path) -> None:
        _classes(tmp_path / "train", tmp_path / "test")
        for file in sorted((tmp_path / "train" / "dog").iterdir())[1:]:
            file.unlink()
        _refused(tmp_path, "class dog has fewer than 2 pictures, too few to split; add some")

    def test_two_folders_of_one_split(self, tmp_path: Path) -> None:
        _classes(tmp_path / "train", tmp_path / "val", tmp_path / "dev")
        _refused(
            tmp_path,
            f"{tmp_path}/dev and {tmp_path}/val are both called as the validation pictures are; "
            "keep one, or rename the other",
        )

    @pytest.mark.parametrize("name", ["train", "Training", "test", "val"])
    def test_a_class_may_be_called_so(self, tmp_path: Path, name: str) -> None:
        _classes(tmp_path, names=("bus", "car", name))
        tree = _scanned(tmp_path)
        assert tree.classes == tuple(sorted(("bus", "car", name)))
        assert sum(_counts(tree)) == 12

    def test_train_beside_classes_is_not_guessed(self, tmp_path: Path) -> None:
        _classes(tmp_path / "train")
        _pictures(tmp_path / "bus")
        _refused(
            tmp_path,
            f"{tmp_path}/train is called as training pictures are, and {tmp_path}/bus beside it as a class; move bus "
            "into it, or if train is a class, put pictures into it directly",
        )

    @pytest.mark.parametrize("other", ["test", "val"])
    def test_splits_without_class_folders(self, tmp_path: Path, other: str) -> None:
        _pictures(tmp_path / "train", tmp_path / other)
        message = "4 pictures in {} without class folders; each belongs into the folder of its class"
        _refused(tmp_path, message.format(tmp_path / "train"))
        shutil.rmtree(tmp_path / "train")
        _classes(tmp_path / "train")
        _refused(tmp_path, message.format(tmp_path / other))

    def test_the_same_folders_in_every_class(self, tmp_path: Path) -> None:
        _classes(tmp_path / "fold1", tmp_path / "fold2")
        with pytest.raises(InputError) as told:
            _scanned(tmp_path)
        assert re.search(
            rf"all 2 folders below {tmp_path} \(fold1, fold2\) hold the same folders \(cat, dog\), so these seem to be "
            rf"the classes; call the outer ones train, val and test, or give one, such as {tmp_path}/fold1; if ",
            str(told.value),
        )
        assert _scanned(tmp_path / "fold1").classes == ("cat", "dog")

    def test_folders_in_classes_are_read(self, tmp_path: Path) -> None:
        _pictures(*(tmp_path / name / "images" for name in ("cat", "dog")))  # one folder is no set of classes
        assert sum(_counts(_scanned(tmp_path))) == 8
        _pictures(tmp_path / "cat" / "more")
        assert sum(_counts(_scanned(tmp_path))) == 12
        _pictures(tmp_path / "dog" / "more", tmp_path / "dog")
        assert sum(_counts(_scanned(tmp_path))) == 20

    def test_one_folder_too_high(self, tmp_path: Path) -> None:
        _classes(tmp_path / "data")
        message = "one class (data) below {0}; at least two are needed; if its folders are the classes, give {0}/data"
        _refused(tmp_path, message.format(tmp_path))

    @pytest.mark.parametrize("kind", ["folder", "imagenet"])
    def test_what_is_beside_the_splits_is_told(
        self, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _classes(tmp_path / "train", tmp_path / "Val", count=10)
        _pictures(tmp_path / "unlabelled")
        for name in ("loose.png", "train/loose.png", "labels.csv"):
            (tmp_path / name).touch()
        _loaded(tmp_path, kind)
        first, left_out = capsys.readouterr().out.splitlines()
        assert first.startswith(f"{kind}: 2 classes (cat, dog); training: train/; ")
        assert left_out == (
            "left out: 1 file that is no picture (.csv, e.g. labels.csv), "
            "1 folder that is not of a split (e.g. unlabelled), 2 pictures in no class folder (e.g. loose.png)"
        )


class TestClasses:
    """Which folders are classes, and how they are called."""

    @pytest.mark.parametrize("kind", ["folder", "imagenet"])
    def test_the_same_name_in_two_forms(self, tmp_path: Path, kind: str) -> None:
        _classes(tmp_path / "train", names=(CAFE[1], "cafz"), count=10)
        _classes(tmp_path / "val", names=(CAFE[0], "cafz"), count=10)
        data = _loaded(tmp_path, kind)
        assert data.classes == ("cafz", CAFE[0])  # in order of what they are called now
        _pictures(tmp_path / "train" / CAFE[0])
        _refused(
            tmp_path,
            f"two class folders below {tmp_path}/train are called {CAFE[0]}, in different forms of Unicode "
            "('cafe\\u0301' and 'caf\\xe9'); make one folder of them",
            kind,
        )

    @pytest.mark.parametrize("kind", ["folder", "imagenet"])
    def test_junk_is_no_class(self, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
        junk = (".ipynb_checkpoints", "@eaDir", "__MACOSX", "$RECYCLE.BIN")
        _classes(tmp_path / "train", tmp_path / "val", count=10)
        before = _loaded(tmp_path, kind)
        for place in (tmp_path, tmp_path / "train", tmp_path / "val", tmp_path / "train" / "cat"):
            _classes(place, names=junk)
            (place / "Thumbs.db").touch()
        data = _loaded(tmp_path, kind)
        assert (data.classes, data.identity) == (before.classes, before.identity)
        line = "left out: 20 hidden or system files or folders (e.g. $RECYCLE.BIN)"
        assert capsys.readouterr().out.splitlines()[-1] == line

    def test_a_class_of_what_cannot_be_read(self, tmp_path: Path) -> None:
        _pictures(tmp_path / "cat")
        (tmp_path / "dog").mkdir()
        (tmp_path / "dog" / "a.svg").touch()
        _refused(
            tmp_path,
            f"class folder {tmp_path}/dog has no pictures; fill it or remove it (left out: 1 picture whose format "
            "cannot be read here (.svg, e.g. dog/a.svg; convert it to JPEG or PNG))",
        )

    @pytest.mark.parametrize("kind", ["folder", "imagenet"])
    def test_linked_and_inner_folders_of_a_class(self, tmp_path: Path, kind: str) -> None:
        root = tmp_path / "root"
        _classes(root / "train", root / "val", count=10)
        _pictures(root / "train" / "cat" / "inner", *(tmp_path / name for name in ("birds", "dogs", "others")))
        (root / "train" / "dog" / "linked").symlink_to(tmp_path / "dogs")
        (root / "train" / "bird").symlink_to(tmp_path / "birds")
        (root / "val" / "bird").symlink_to(tmp_path / "others")
        (root / "train" / "all").symlink_to(root)  # a circle
        data = _loaded(root, kind)
        assert data.classes == ("bird", "cat", "dog")
        labels = torch.cat([data.train.targets, data.validation.targets]) if kind == "imagenet" else data.train.targets
        assert labels.bincount().tolist() == [4, 14, 14]

    def test_no_folder_is_read_for_two_classes(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        _classes(root, count=10)
        _pictures(tmp_path / "wild" / "lynx", count=5)
        before = _scanned(root)
        (root / "cat" / "mydogs").symlink_to("../dog")
        (root / "dog" / "lynxes").symlink_to(tmp_path / "wild" / "lynx")
        (root / "kitty").symlink_to("cat")
        (root / "lynx").symlink_to(tmp_path / "wild")  # and what is within is not of dogs
        (root / "wildcat").symlink_to(tmp_path / "wild" / "lynx")
        after = _scanned(root)
        assert after.classes == ("cat", "dog", "lynx")
        assert sum(_counts(after)) == 25
        assert after.notes[1] == "left out: 4 links to folders that hold them or are read (e.g. cat/mydogs)"
        (root / "lynx").unlink()
        after = _scanned(root)
        assert after.classes == ("cat", "dog", "wildcat")
        assert sum(_counts(after)) == 25
        (root / "wildcat").unlink()
        (root / "dog" / "lynxes").unlink()
        after = _scanned(root)
        assert (after.files, after.fingerprint) == (before.files, before.fingerprint)

    def test_a_folder_that_is_reached_again_through_a_link(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        _classes(root, count=10)
        _pictures(tmp_path / "pets" / "old", tmp_path / "pets", count=5)
        (root / "cat" / "old").symlink_to(tmp_path / "pets" / "old")
        (root / "dog" / "pets").symlink_to(tmp_path / "pets")
        tree = _scanned(root)
        assert sum(_counts(tree)) == 30
        assert tree.notes[1] == "left out: 1 link to a folder that holds it or is read (e.g. dog/pets/old)"

    def test_a_second_class_of_the_same_folder_alone(self, tmp_path: Path) -> None:
        _classes(tmp_path, names=("cat",))
        (tmp_path / "kitty").symlink_to("cat")
        _refused(
            tmp_path,
            f"one class (cat) below {tmp_path}; at least two are needed (left out: 1 link to a folder that holds it or "
            "is read (e.g. kitty))",
        )

    @pytest.mark.parametrize("kind", ["folder", "imagenet"])
    def test_a_class_of_one_split_alone(self, tmp_path: Path, kind: str) -> None:
        _classes(tmp_path / "train", names=("Cat", "bird", "dog"))
        _classes(tmp_path / "val", names=("bird", "cat", "dog"))
        train, val = tmp_path / "train", tmp_path / "val"
        remedy = "rename it, or move its pictures"
        _refused(tmp_path, f"class Cat is in {train} and not in {val} (which has cat); {remedy}", kind)
        (train / "Cat").rename(train / "cat")
        shutil.rmtree(val / "cat")
        remedy = "rename it, add pictures of it there, or remove it"
        _refused(tmp_path, f"class cat is in {train} and not in {val} (which has bird, dog); {remedy}", kind)
        shutil.rmtree(train / "cat")
        _pictures(val / "ape")
        _refused(tmp_path, f"class ape is in {val} and not in {train} (which has bird, dog); {remedy}", kind)

    @pytest.mark.parametrize("kind", ["folder", "imagenet"])
    def test_a_broken_link(self, tmp_path: Path, kind: str) -> None:
        _classes(tmp_path / "train", tmp_path / "val", count=10)
        (tmp_path / "val" / "dog" / "gone").symlink_to("/absent/folder")
        message = f"{tmp_path}/val/dog/gone: a link to /absent/folder, which is not there; mend or remove it"
        _refused(tmp_path, message, kind)


class TestFingerprint:
    """A run that was begun before goes on."""

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [("tree", "9cd17a1f9d9e4161"), ("splits", "6f97138154a84e19"), ("imagenet", "8c4d9e242876a659")],
    )
    def test_it_is_what_it_was(self, tmp_path: Path, kind: str, expected: str) -> None:
        for split in [""] if kind == "tree" else ["train", "val"]:
            for number, name in enumerate(("b", "a c", "é")):
                folder = tmp_path / split / name
                (folder / "inner").mkdir(parents=True)
                for file in range(10 + number):
                    (folder / f"{file}.jpg").write_bytes(b"x" * file)
                (folder / os.fsdecode(b"\xe9.png")).write_bytes(b"yy")
                if kind != "imagenet":
                    (folder / "inner" / "z.JPEG").write_bytes(b"zzz")
        scanned = scan_imagenet if kind == "imagenet" else scan
        assert scanned(kind, str(tmp_path)).fingerprint == expected


class TestEqualFiles:
    """Pictures that are in two splits."""

    def test_they_are_counted(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for split in ("train", "val", "test"):
            _classes(tmp_path / split)
        _loaded(tmp_path)
        assert "equal files" not in capsys.readouterr().out
        shutil.copy(tmp_path / "train" / "cat" / "0.png", tmp_path / "val" / "cat" / "copy.png")
        shutil.copy(tmp_path / "train" / "cat" / "1.png", tmp_path / "val" / "dog" / "copy.png")
        shutil.copy(tmp_path / "val" / "dog" / "3.png", tmp_path / "test" / "dog" / "copy.png")
        _loaded(tmp_path)
        assert capsys.readouterr().out.splitlines()[-1] == (
            "equal files: 2 of 10 validation pictures are training pictures too, 1 of 9 test pictures are validation "
            "pictures too, 1 of them in another class (e.g. val/cat/copy.png and train/cat/0.png); keep each in one "
            "split, for they cannot test"
        )

    def test_imagenets_are_counted(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _classes(tmp_path / "train", tmp_path / "val", count=10)
        for name in ("cat", "dog"):
            shutil.copytree(tmp_path / "train" / name, tmp_path / "val" / name, dirs_exist_ok=True)
        _loaded(tmp_path, "imagenet")
        line = capsys.readouterr().out.splitlines()[-1]
        assert line.startswith(  # a tenth of train/ is held out
            "equal files: 18 of 20 test pictures are training pictures too, "
            "2 of 20 test pictures are validation pictures too (e.g. val/cat/0.png and train/cat/0.png); keep each"
        )

    def test_what_is_not_checked_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _classes(tmp_path / "train", tmp_path / "val", tmp_path / "test")
        shutil.copy(tmp_path / "train" / "cat" / "0.png", tmp_path / "val" / "cat" / "0.png")
        for name, bound, reason in (
            ("MOST_FILES", 23, "there are 24"),
            ("MOST_OPENED", 1, "files of equal sizes would have to be opened"),
            ("MOST_BYTES", 1, "0.0 GiB would have to be read"),
        ):
            with monkeypatch.context() as patched:
                patched.setattr(equal_pictures_module, name, bound)
                _loaded(tmp_path)
            line = capsys.readouterr().out.splitlines()[-1]
            assert line.startswith("equal files: whether pictures of one split are in another too was not checked (")
            assert line.endswith(f"{reason})")

    def test_files_of_other_sizes_and_ends_are_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        listed = {}
        for split, contents in (("train", (b"a", b"bb", b"ab", b"")), ("validation", (b"cc", b"bb", b"ddd", b""))):
            paths = [str(tmp_path / f"{split}{number}") for number in range(len(contents))]
            for path, content in zip(paths, contents, strict=True):
                Path(path).write_bytes(content)
            listed[split] = Listed(paths, torch.zeros(len(paths), dtype=torch.int64))
        read: list[str] = []
        content_of = equal_pictures_module._content
        monkeypatch.setattr(equal_pictures_module, "_content", lambda path: read.append(path) or content_of(path))
        line = equal_pictures(listed, str(tmp_path))
        assert line is not None
        assert "1 of 4 validation pictures are training pictures too (e.g. validation1 and train1)" in line
        assert read == [str(tmp_path / name) for name in ("train1", "validation1")]

    def test_nothing_is_told_twice(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _classes(tmp_path)
        reporter = Reporter()
        for resolution in (8, 16):
            load_data(f"folder:{tmp_path}", resolution, CPU, reporter)
        assert len(capsys.readouterr().out.splitlines()) == 1
