"""ImageNet as its archives unpack into a folder a class, or anything laid out so: `train/WNID/*`, `val/WNID/*`."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from search_space.errors import InputError
from training.folders import SUFFIXES, check_names
from training.hold_out import hold_out
from training.pictures import Listed

VALIDATION = 10_000  # training pictures held out, as in once-for-all (arXiv:1908.09791)
SORT = (
    "each belongs into val/WNID, the folder of its class, as in train/; from the archives "
    "torchvision.datasets.imagenet.parse_val_archive sorts them"
)


@dataclass(frozen=True)
class ImageNet:
    """All that is known of the pictures before one is opened.

    Attributes:
        classes: the folders' names.
        splits: `train`, `validation` (held out from `train/`) and `test`, which is `val/`.
        fingerprint: changes with the classes, with any file's name, split or class, and with the size of a class's
            first file, which tells scaled copies apart; asking for every file's size would take minutes.
    """

    classes: tuple[str, ...]
    splits: dict[str, Listed]
    fingerprint: str


def scan(spec: str, path: str) -> ImageNet:
    """Lists the folders; no file is opened.

    Raises InputError for a missing folder, pictures of `val/` that are not sorted by class, classes that differ
    between the two, a class without pictures, or too few pictures to hold some out.
    """
    root = Path(path)
    for folder in (root, root / "train", root / "val"):
        if not path or not folder.is_dir():
            raise InputError(f"--data {spec}: no such folder: {folder if path else '(empty)'}; see docs/data.md")
    classes = _classes(root / "train")
    check_names(spec, root / "train", classes)
    _check_sorted(spec, root, classes)
    found = {name: [_pictures(root / name / label) for label in classes] for name in ("train", "val")}
    for name, members in found.items():
        for label, files in zip(classes, members, strict=True):
            if not files:
                raise InputError(f"--data {spec}: no pictures in {root / name / label}; fill it, or remove the class")
    train = _listed(root / "train", classes, found["train"])
    kept, held = hold_out(train.labels, VALIDATION)
    if not len(held):
        raise InputError(f"--data {spec}: {len(train.paths)} pictures below {root / 'train'}; at least 10 are needed")
    splits = {
        "train": train.of(kept),
        "validation": train.of(held),
        "test": _listed(root / "val", classes, found["val"]),
    }
    return ImageNet(classes, splits, _fingerprint(root, classes, found))


def _check_sorted(spec: str, root: Path, classes: tuple[str, ...]) -> None:
    """Raises InputError if `train/` and `val/` are not the same two or more class folders."""
    train, val = root / "train", root / "val"
    if len(classes) < 2:
        archives = sum(entry.name.endswith(".tar") for entry in os.scandir(train))
        remedy = f"unpack its {archives} archives, each into a folder of its name" if archives else "two are needed"
        raise InputError(f"--data {spec}: {len(classes)} class folders in {train}; {remedy}")
    others = _classes(val)
    flat = _pictures(val)
    if flat and not others:
        raise InputError(f"--data {spec}: {len(flat)} pictures in {val} without class folders; {SORT}")
    if others != classes:
        odd = sorted(set(others) ^ set(classes))[0]
        raise InputError(f"--data {spec}: class folder {odd} is not in both {train} and {val}")


def _classes(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))


def _pictures(folder: Path) -> list[str]:
    """Names only: one question to the file system a folder, not one a file."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if os.path.splitext(entry.name)[1].lower() in SUFFIXES)


def _listed(root: Path, classes: tuple[str, ...], found: list[list[str]]) -> Listed:
    paths = [f"{root}/{label}/{name}" for label, names in zip(classes, found, strict=True) for name in names]
    counts = torch.tensor([len(names) for names in found])
    return Listed(paths, torch.arange(len(classes)).repeat_interleave(counts))


def _fingerprint(root: Path, classes: tuple[str, ...], found: dict[str, list[list[str]]]) -> str:
    digest = hashlib.sha256()
    for split, members in found.items():
        for label, names in zip(classes, members, strict=True):
            size = (root / split / label / names[0]).stat().st_size
            digest.update("\n".join((f"{split} {label} {size}", *names, "")).encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
