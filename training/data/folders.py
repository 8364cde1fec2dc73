"""Pictures of the user's own: a folder a class, under `train/` and `val/` or in one tree that is split here."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.class_folders import ClassFolders, class_folders
from training.data.corrupt import Corrupt, CorruptError, check_complete
from training.data.picture_files import Finder
from training.data.pictures import Listed, Pictures
from training.data.preparation import Found, View, prepared, read_file
from training.data.remarks import Remarks
from training.data.split_folders import split_folders

# ImageNet's, in 0 to 1: what published backbones expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MAX_BYTES = 8 << 30

_SHARES = {"validation": 0.15, "test": 0.15}


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
        paths = [str(file) for file, _ in files]
        view = View.of(self.spec, resolution)
        images = torch.empty(len(files), 3, resolution, resolution, dtype=torch.uint8)
        corrupt = Corrupt(split, len(files), skip_corrupt)
        found: dict[int, Found] = {}

        def decoded(path: str) -> tuple[Tensor, Found] | CorruptError:
            try:
                return prepared(read_file(path), view)
            except CorruptError as error:
                return error

        with ThreadPoolExecutor() as pool, reporter.track(f"{split} pictures", len(files), "decoded") as advance:
            for index, result in enumerate(pool.map(decoded, paths)):
                if isinstance(result, CorruptError):
                    corrupt.note(index, paths[index], str(result))
                else:
                    images[index], what = result
                    if what != Found():
                        found[index] = what
                advance("")
        corrupt.say(reporter)
        good = [index for index in range(len(files)) if index not in corrupt]
        labels = torch.tensor([files[index][1] for index in good])
        check_complete(split, labels, self.classes, reporter)
        if corrupt:
            images = images[good]
        remarks = Remarks(split, reporter, enough=len(good))
        places = {index: place for place, index in enumerate(good)}
        remarks.take(images, [paths[index] for index in good], {places[index]: what for index, what in found.items()})
        return Pictures(images, labels)


def scan(spec: str, path: str) -> Tree:
    """The classes and files below `path`.

    Of a validation part without a test part half is the test's; parts that are missing otherwise are held out of the
    training pictures, 15 % each. A single tree is divided 70 : 15 : 15. Each class is divided alike, by the file names'
    order under a fixed seed. Raises InputError for a missing folder, or one that `split_folders` or `class_folders`
    refuse, classes that are not the same in all parts, or have too few pictures to be divided.
    """
    root = path.rstrip("/") or path
    if not path or not os.path.isdir(path):
        raise InputError(f"`data` {spec}: no such folder: {path or '(empty)'}")
    finder = Finder(f"`data` {spec}: ", root)
    splits = split_folders(spec, root, finder)
    found = class_folders(spec, f"{root}/{splits['train']}" if splits else root, finder)
    others = {
        split: class_folders(spec, f"{root}/{folder}", finder, like=found)
        for split, folder in splits.items()
        if split != "train"
    }
    train, validation, test = _parts(spec, found, others)
    files = {
        name: tuple((file, label) for label, members in enumerate(split) for file in members)
        for name, split in (("train", train), ("validation", validation), ("test", test))
    }
    for name, members in files.items():
        if not members:
            raise InputError(f"`data` {spec}: no pictures for the {name} split; add some")
    notes = (f"folder: {found}; {_layout(splits)}", *([str(finder.left_out)] if finder.left_out else []))
    return Tree(spec, found.names, files, found.folders, notes)


def _parts(spec: str, found: ClassFolders, others: Mapping[str, ClassFolders]) -> list[list[list[Path]]]:
    """Training, validation and test pictures of each class."""
    train = _files(found)
    if "validation" in others:
        validation = _files(others["validation"])
        parts = [validation, _files(others["test"])] if "test" in others else _divided(validation, (0.5,))
        return [train, *parts]
    shares = (_SHARES["validation"],) if "test" in others else tuple(_SHARES.values())
    for name, files in zip(found.names, train, strict=True):
        if len(files) <= len(shares):
            least = len(shares) + 1
            raise InputError(f"`data` {spec}: class {name} has fewer than {least} pictures, too few to split; add some")
    parts = _divided(train, (1 - sum(shares), *shares[:-1]))
    return [*parts, _files(others["test"])] if "test" in others else parts


def _layout(splits: Mapping[str, str]) -> str:
    """Where the pictures of each split are from."""
    if not splits:
        return "training, validation and test: 70, 15 and 15 % of each class"
    train = f"training: {splits['train']}/"
    match "validation" in splits, "test" in splits:
        case False, False:
            return f"training, validation and test: 70, 15 and 15 % of each class in {splits['train']}/"
        case False, True:
            return f"{train}; validation: held out of {splits['train']}/, 15 % of each class; test: {splits['test']}/"
        case True, False:
            return f"{train}; validation and test: half of {splits['validation']}/ each"
    return f"{train}; validation: {splits['validation']}/; test: {splits['test']}/"


def _files(found: ClassFolders) -> list[list[Path]]:
    return [[Path(path) for path in paths] for paths in found.paths]


def _divided(by_class: list[list[Path]], shares: Sequence[float]) -> list[list[list[Path]]]:
    """Each class divided by `shares`, the rest last; no part of a class is empty if it has as many files as parts."""
    rng = np.random.default_rng(2103)
    parts: list[list[list[Path]]] = [[] for _ in range(len(shares) + 1)]
    for files in by_class:
        shuffled = [files[index] for index in rng.permutation(len(files))]
        start = 0
        for index, share in enumerate(shares):
            left_parts = len(shares) - index
            size = min(max(1, round(share * len(files))), max(0, len(files) - start - left_parts))
            parts[index].append(sorted(shuffled[start : start + size]))
            start += size
        parts[-1].append(sorted(shuffled[start:]))
    return parts
