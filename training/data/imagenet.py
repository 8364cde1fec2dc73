"""ImageNet as its archives unpack into a folder a class, or anything laid out so: `train/WNID/*`, `val/WNID/*`."""

import hashlib
import os
from dataclasses import dataclass

import torch

from foundation.errors import InputError
from training.data.class_folders import ClassFolders, class_folders
from training.data.hold_out import hold_out
from training.data.picture_files import Finder
from training.data.pictures import Listed
from training.data.split_folders import by_split, leave_others

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
        notes: lines for the user: which folders were taken for what, and what was left out.
    """

    classes: tuple[str, ...]
    splits: dict[str, Listed]
    fingerprint: str
    notes: tuple[str, ...]


def scan_imagenet(spec: str, path: str) -> ImageNet:
    """Lists the folders; no file is opened, unless it has no suffix.

    Raises InputError for a missing folder, pictures of `val/` that are not sorted by class, class folders that
    `class_folders` refuses, or too few pictures to hold some out.
    """
    root = path.rstrip("/") or path
    if not path or not os.path.isdir(path):
        raise InputError(f"`data` {spec}: no such folder: {path or '(empty)'}; see docs/data.md")
    finder = Finder(f"`data` {spec}: ", root)
    look = Finder(f"`data` {spec}: ", root)  # what is left out is counted when it is read
    splits = by_split(spec, root, look.folders(root)[0])
    for split, usual in (("train", "train"), ("validation", "val")):
        if split not in splits:
            raise InputError(f"`data` {spec}: no such folder: {root}/{usual}; see docs/data.md")
    leave_others(root, (splits["train"], splits["validation"]), finder)
    train, val = f"{root}/{splits['train']}", f"{root}/{splits['validation']}"
    _check_sorted(spec, train, val, look)
    found = class_folders(spec, train, finder)
    tested = class_folders(spec, val, finder, like=found)
    listed = _listed(found)
    kept, held = hold_out(listed.labels, VALIDATION)
    if not len(held):
        raise InputError(f"`data` {spec}: {len(listed.paths)} pictures below {train}; at least 10 are needed")
    layout = f"training: {splits['train']}/; validation: {len(held)} held out of it; test: {splits['validation']}/"
    return ImageNet(
        found.names,
        {"train": listed.of(kept), "validation": listed.of(held), "test": _listed(tested)},
        _fingerprint({"train": found, "val": tested}),
        (f"imagenet: {found}; {layout}", *([str(finder.left_out)] if finder.left_out else [])),
    )


def _check_sorted(spec: str, train: str, val: str, look: Finder) -> None:
    """Raises InputError if the archives' content was not sorted into class folders."""
    if not look.folders(train)[0]:
        archives = sum(name.endswith(".tar") for name in os.listdir(train))
        remedy = f"unpack its {archives} archives, each into a folder of its name" if archives else "two are needed"
        raise InputError(f"`data` {spec}: no class folders in {train}; {remedy}")
    folders, flat = look.folders(val)
    if flat and not folders:
        raise InputError(f"`data` {spec}: {len(flat)} pictures in {val} without class folders; {SORT}")


def _listed(found: ClassFolders) -> Listed:
    counts = torch.tensor([len(names) for names in found.pictures])
    paths = [path for paths in found.paths for path in paths]
    return Listed(paths, torch.arange(len(found.names)).repeat_interleave(counts))


def _fingerprint(found: dict[str, ClassFolders]) -> str:
    digest = hashlib.sha256()
    for split, classes in found.items():
        for folder, names in zip(classes.folders, classes.pictures, strict=True):
            size = os.stat(f"{classes.root}/{folder}/{names[0]}").st_size
            digest.update("\n".join((f"{split} {folder} {size}", *names, "")).encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
