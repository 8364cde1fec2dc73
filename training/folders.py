"""Pictures of the user's own: a folder a class, under `train/` and `val/` or in one tree that is split here."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from search_space.errors import InputError
from training.corrupt import Corrupt, CorruptError, check_complete
from training.pictures import Listed, Pictures
from training.preparation import Found, View, prepared, read_file
from training.progress import Reporter
from training.remarks import Remarks

# ImageNet's, in 0 to 1: what published backbones expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".gif", ".tif", ".tiff"))
MAX_BYTES = 8 << 30

_SHARES = {"validation": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Tree:
    """The files of each split with their labels. Decoded pictures that are held in memory take 3 bytes a pixel."""

    spec: str
    classes: tuple[str, ...]
    files: dict[str, tuple[tuple[Path, int], ...]]

    @property
    def fingerprint(self) -> str:
        """Changes with the classes, and with any file's split, class, name or size."""
        lines = [*self.classes]
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
        """The split's pictures, prepared for `resolution` (see `training.preparation`).

        Args:
            skip_corrupt: whether those that cannot be decoded are left out, and named, if there are others.

        Raises InputError naming the first file that cannot be decoded, or any that cannot be read, or a class that a
        training would have nothing of, or if the pictures do not fit in memory.
        """
        files = self.files[split]
        needed = len(files) * 3 * resolution**2
        if needed > MAX_BYTES:
            raise InputError(
                f"--data {self.spec}: {len(files)} pictures of {resolution} pixels need {needed / 2**30:.0f} GiB of "
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

    With `train/` and `val/`, `val/` is divided into validation and test, unless there is a `test/` as well; a single
    tree is divided 70 : 15 : 15, each class alike, by the file names' order under a fixed seed. Raises InputError for
    a missing folder, fewer than two classes, a class without pictures, or `val/` with other classes.
    """
    root = Path(path)
    if not path or not root.is_dir():
        raise InputError(f"--data {spec}: no such folder: {path or '(empty)'}")
    if (root / "train").is_dir():
        if not (root / "val").is_dir():
            raise InputError(f"--data {spec}: {root / 'train'} is there but {root / 'val'} is missing")
        classes, train = _classes(spec, root / "train")
        val = _same_classes(spec, root / "val", classes)
        if (root / "test").is_dir():
            test = _same_classes(spec, root / "test", classes)
        else:
            val, test = _divided(val, (0.5,))
    else:
        classes, everything = _classes(spec, root)
        short = [name for name, files in zip(classes, everything, strict=True) if len(files) < 3]
        if short:
            raise InputError(f"--data {spec}: class {short[0]} has fewer than 3 pictures, too few to split; add some")
        train, val, test = _divided(everything, (1 - sum(_SHARES.values()), _SHARES["validation"]))
    files = {
        name: tuple((file, label) for label, members in enumerate(split) for file in members)
        for name, split in (("train", train), ("validation", val), ("test", test))
    }
    for name, members in files.items():
        if not members:
            raise InputError(f"--data {spec}: no pictures for the {name} split; add some")
    return Tree(spec, classes, files)


def _classes(spec: str, root: Path) -> tuple[tuple[str, ...], list[list[Path]]]:
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    check_names(spec, root, names)
    files = [_pictures(root / name) for name in names]
    if not any(files):
        raise InputError(
            f"--data {spec}: no pictures below {root}; expected a folder a class, with {_suffixes()} files"
        )
    if len(names) < 2:
        raise InputError(f"--data {spec}: one class ({names[0]}) below {root}; at least two are needed")
    for name, members in zip(names, files, strict=True):
        if not members:
            raise InputError(f"--data {spec}: class folder {root / name} has no pictures; fill it or remove it")
    return tuple(names), files


def check_names(spec: str, root: Path, names: Sequence[str]) -> None:
    """Raises InputError naming the first class folder below `root` whose name is not UTF-8, as every file here is."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            printable = os.fsencode(root / name).decode(errors="backslashreplace")
            raise InputError(f"--data {spec}: the name of class folder {printable} is not UTF-8; rename it") from None


def _same_classes(spec: str, root: Path, classes: tuple[str, ...]) -> list[list[Path]]:
    found, files = _classes(spec, root)
    if found != classes:
        odd = sorted(set(found) ^ set(classes))[0]
        raise InputError(f"--data {spec}: class {odd} is not in both {root.parent / 'train'} and {root}")
    return files


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))


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
