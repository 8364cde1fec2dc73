"""Pictures of the user's own: a folder a class, under `train/` and `val/` or in one tree that is split here."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.class_folders import ClassFolders, class_folders
from training.data.corrupt import check_complete
from training.data.division import held_out, in_three, layout
from training.data.into_memory import check_memory, read_all
from training.data.picture_files import Finder
from training.data.pictures import Listed, Pictures
from training.data.preparation import Found, View, prepared, read_file
from training.data.split_folders import split_folders

# ImageNet's, in 0 to 1: what published backbones expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MAX_BYTES = 8 << 30


@dataclass(frozen=True)
class Tree:
    """The files of each split with their labels. Decoded pictures that are held in memory take 3 bytes a pixel.

    Attributes:
        folders: of the classes in the training pictures, as the disk has their names.
        notes: lines for the user: which folders were taken for what, and what was left out.
    """

    spec: str
    classes: tuple[str, ...]
    files: dict[str, tuple[tuple[Path, int], ...]]
    folders: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Changes with the classes' folders, and with any file's split, class, name or size."""
        lines = [*self.folders]
        for split, members in self.files.items():
            lines += [f"{split} {label} {file.name} {file.stat().st_size}" for file, label in members]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]

    def fits(self, resolution: int) -> bool:
        """Whether the pictures of each split, decoded, may be held in memory."""
        return max(map(len, self.files.values())) * 3 * resolution**2 <= MAX_BYTES

    def listed(self, split: str) -> Listed:
        """The split's files, to be decoded when they are needed."""
        files = self.files[split]
        return Listed([str(file) for file, _ in files], torch.tensor([label for _, label in files]))

    def load(self, split: str, resolution: int, reporter: Reporter, *, skip_corrupt: bool = False) -> Pictures:
        """The split's pictures, prepared for `resolution` (see `training.data.preparation`).

        Args:
            skip_corrupt: whether those that cannot be decoded are left out, and named, if there are others.

        Raises InputError naming the first file that cannot be decoded, or any that cannot be read, or a class that a
        training would have nothing of, or if the pictures do not fit in memory.
        """
        files = self.files[split]
        needed = len(files) * 3 * resolution**2
        if needed > MAX_BYTES:
            raise InputError(
                f"`data` {self.spec}: {len(files)} pictures of {resolution} pixels need {needed / 2**30:.0f} GiB of "
                f"memory, more than the {MAX_BYTES >> 30} that are used; choose a smaller resolution or fewer pictures"
            )
        check_memory(self.spec, split, len(files), resolution, channels=3)
        view = View.of(self.spec, resolution)

        def read(number: int) -> tuple[Tensor, int, Found]:
            path, label = files[number]
            image, found = prepared(read_file(str(path)), view)
            return image, label, found

        paths = [str(file) for file, _ in files]
        images, kept = read_all(split, paths, resolution, read, reporter, skip_corrupt=skip_corrupt)
        labels = torch.tensor(kept)
        check_complete(split, labels, self.classes, reporter)
        return Pictures(images, labels)


def scan(spec: str, path: str) -> Tree:
    """The classes and files below `path`.

    Of a validation part without a test part half is the test's; parts that are missing otherwise are held out of the
    training pictures, 15 % each. A single tree is divided 70 : 15 : 15. Each class is divided alike, by the file names'
    order under a fixed seed. Raises InputError for a missing folder, or one that `split_folders` or `class_folders`
    refuse, classes that are not the same in all parts, or have too few pictures to be divided.
    """
    root = check_folder(spec, path)
    finder = Finder(f"`data` {spec}: ", root)
    splits = split_folders(spec, root, finder)
    found = class_folders(spec, f"{root}/{splits['train']}" if splits else root, finder)
    others = {
        split: class_folders(spec, f"{root}/{folder}", finder, like=found)
        for split, folder in splits.items()
        if split != "train"
    }
    files = {
        name: tuple((file, label) for label, members in enumerate(split) for file in members)
        for name, split in _parts(spec, found, others).items()
    }
    for name, members in files.items():
        if not members:
            raise InputError(f"`data` {spec}: no pictures for the {name} split; add some")
    notes = (
        f"folder: {found}; {layout(splits, 'of each class')}",
        *([str(finder.left_out)] if finder.left_out else []),
    )
    return Tree(spec, found.names, files, found.folders, notes)


def check_folder(spec: str, path: str) -> str:
    """The folder's path without a slash at its end. Raises InputError where there is none."""
    if not path or not os.path.isdir(path):
        raise InputError(f"`data` {spec}: no such folder: {path or '(empty)'}")
    return path.rstrip("/") or path


def _parts(spec: str, found: ClassFolders, others: Mapping[str, ClassFolders]) -> dict[str, list[list[Path]]]:
    """Training, validation and test pictures of each class."""
    there = {"train": _files(found)} | {split: _files(own) for split, own in others.items()}
    least = 1 + len(held_out(there))
    for name, files in zip(found.names, there["train"], strict=True):
        if len(files) < least:
            raise InputError(f"`data` {spec}: class {name} has fewer than {least} pictures, too few to split; add some")
    return in_three(there)


def _files(found: ClassFolders) -> list[list[Path]]:
    return [[Path(path) for path in paths] for paths in found.paths]
