"""What pictures with masks and those with boxes have in common: where their splits are, and the data set of them."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.corrupt import TRAINED
from training.data.dataset import Dataset, Wanted
from training.data.division import held_out, in_three
from training.data.equal_pictures import equal_pictures
from training.data.folders import MEAN, STD
from training.data.from_files import tell
from training.data.held import HeldSplit
from training.data.picture_files import BESIDE, Finder
from training.data.pictures import Listed, Pictures
from training.data.split import Split
from training.data.split_folders import NAMES, by_split

T = TypeVar("T")

OF_ALL = "of the pictures"
_NAMED = 3  # at most


def root_of(wanted: Wanted) -> str:
    """The folder that the spec names. Raises InputError if it is not there."""
    path = wanted.rest
    if not path or not os.path.isdir(path):
        raise InputError(f"`data` {wanted.spec}: no such folder: {path or '(empty)'}; give one that is there")
    return path.rstrip("/") or path


def splits_in(spec: str, root: str, finder: Finder) -> dict[str, str]:
    """The folder of each split in `root`, as the disk has its name; none if none is called as training pictures are.

    Folders beside those of splits are counted as left out. Raises InputError for two of a split.
    """
    look = Finder(f"`data` {spec}: ", root)
    folders, _ = look.folders(root)
    splits = by_split(spec, root, folders)
    if "train" not in splits:
        return {}
    for name in {*folders} - {*splits.values()}:
        finder.left_out.note(BESIDE, f"{root}/{name}")
    return {split: splits[split] for split in NAMES if split in splits}


def parts_of(spec: str, there: Mapping[str, Sequence[T]]) -> dict[str, list[T]]:
    """Training, validation and test pictures, see `training.data.division`.

    Raises InputError for a split without pictures, or too few to hold any out.
    """
    least = 1 + len(held_out(there))
    if there["train"] and len(there["train"]) < least:
        raise InputError(f"`data` {spec}: fewer than {least} training pictures, too few to hold any out; add some")
    parts = {split: groups[0] for split, groups in in_three({split: [own] for split, own in there.items()}).items()}
    for split, own in parts.items():
        if not own:
            raise InputError(f"`data` {spec}: no pictures for the {split} split; add some")
    return parts


def by_stem(spec: str, folder: str, names: Iterable[str]) -> dict[str, str]:
    """Names of files by what they are without their suffixes. Raises InputError for two of the same."""
    found: dict[str, str] = {}
    for name in names:
        stem = os.path.splitext(name)[0]
        if stem in found:
            raise InputError(
                f"`data` {spec}: {found[stem]} and {name} in {folder} differ in their suffixes alone; rename one"
            )
        found[stem] = name
    return found


def dataset(
    wanted: Wanted,
    root: str,
    classes: tuple[str, ...],
    parts: Mapping[str, Sequence[T]],
    notes: Sequence[str],
    *,
    picture: Callable[[T], str],
    said: Callable[[T], str],
    read: Callable[[str, Sequence[T]], Pictures],
    mean: tuple[float, ...] = MEAN,
    std: tuple[float, ...] = STD,
) -> Dataset:
    """The data set of annotated pictures, a split of which is read when it is asked for.

    Args:
        notes: lines for the user, of which the first says what was found.
        picture: the path of one.
        said: its annotation for the identity, which changes with it.
        read: the pictures of a split into memory.
    """
    listed = {
        split: Listed([picture(item) for item in items], torch.zeros(len(items), dtype=torch.int64))
        for split, items in parts.items()
    }
    tell(wanted.reporter, notes, lambda: equal_pictures(listed, root))
    lines = [
        f"{split} {os.path.relpath(path, root)} {os.path.getsize(path)} {said(item)}"
        for split, items in parts.items()
        for path, item in zip(listed[split].paths, items, strict=True)
    ]
    digest = hashlib.sha256("\n".join([*classes, *lines]).encode(errors="surrogateescape"))

    def load(split: str) -> Split:
        return HeldSplit(read(split, parts[split]), mean, std, wanted.device)

    counts = {split: len(items) for split, items in parts.items()}
    return Dataset(
        name=wanted.kind,
        identity=f"{wanted.kind} {digest.hexdigest()[:16]}",
        classes=classes,
        mean=mean,
        std=std,
        load=load,
        device=wanted.device,
        files=counts,
        counts={} if wanted.skip_corrupt else counts,
    )


def tell_lacking(split: str, what: str, counts: Tensor, classes: Sequence[str], reporter: Reporter) -> None:
    """Says of which classes a split has nothing.

    Args:
        what: a class has, `pixels` or `boxes`.
        counts: of them, of each class.
    """
    lacking = [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]
    if lacking:
        verb = "learnt" if split == TRAINED else "said"
        reporter.say(
            f"{split}: no {what} of {len(lacking)} of {len(classes)} classes, which nothing can be {verb} about: "
            f"{some(lacking)}"
        )


def some(names: Sequence[str]) -> str:
    """The first of them."""
    return ", ".join([*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])])
