"""Pictures without labels: any folder of them, or labelled ones whose labels are left aside."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.dataset import Dataset, Wanted
from training.data.datasets import load_data
from training.data.division import divided_by, in_three, layout
from training.data.folders import Tree, check_folder
from training.data.picture_files import Finder, LeftOut
from training.data.sources.folder import dataset
from training.data.split_folders import split_folders

SHARES = (0.9, 0.05, 0.05)
"""Of pictures without class folders, for training, validation and the test."""
LEAST = 20
SPLITS = ("train", "validation", "test")


class PictureFolder:
    """The folder of a spec `folder:PATH`, read for its pictures alone, whatever folders they lie in.

    Attributes:
        root: its path, without a slash at its end.
        parts: the folder of each split, as the disk has its name; none where it has no `train`.

    Raises InputError for a folder that is not there, or that `split_folders` refuses.
    """

    def __init__(self, spec: str):
        self.spec = spec
        self.root = check_folder(spec, spec.partition(":")[2])
        self._finder = self._new_finder()
        self.parts = split_folders(spec, self.root, self._finder)

    @property
    def left_out(self) -> LeftOut:
        """What was no picture, or in no part, of what has been read."""
        return self._finder.left_out

    def of(self, split: str) -> str:
        """The path of the split's folder, or of the whole where there are no parts."""
        return f"{self.root}/{self.parts[split]}" if self.parts else self.root

    def pictures(self, split: str = "train", *, least: int = 1) -> list[str]:
        """Names of the split's pictures from its folder, in order. Raises InputError for fewer than `least`."""
        names = self._finder.below(self.of(split))
        if len(names) < least:
            few = f"{len(names)} pictures below {self.of(split)}, fewer than {least}"
            left_out = f" ({self.left_out})" if self.left_out else ""
            raise InputError(
                f"`data` {self.spec}: {few if names else f'no pictures below {self.of(split)}'}; add some{left_out}"
            )
        return names

    def folders(self, path: str) -> tuple[list[str], list[str]]:
        """Names of the folders and of the pictures directly in a folder, which does not count as reading it."""
        return self._new_finder().folders(path)

    def _new_finder(self) -> Finder:
        return Finder(f"`data` {self.spec}: ", self.root)


def load_unlabelled(
    spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
) -> Dataset:
    """The pictures that a spec names, at `side` pixels, without classes.

    Of labelled pictures the splits are those of any training, so that none of a later test's is learnt from.

    Args:
        options: those of `training.data.datasets.load_data`.

    Raises InputError as that does, but for a folder, or parts `train` and so on, without class folders: there all
    pictures below are taken.
    """
    wanted = Wanted.of(spec, side, device, reporter, **options)
    if wanted.kind == "folder" and (tree := _loose(PictureFolder(spec))) is not None:
        found = dataset(tree, wanted)
    else:
        found = load_data(spec, side, device, reporter, **options)
    return replace(found, classes=())


def _loose(folder: PictureFolder) -> Tree | None:
    """All pictures of a folder, or of its parts, where these are not of classes; None where they are.

    Of classes is a folder of several that holds no picture beside them, and parts that have several folders each.
    """
    if folder.parts:
        if all(len(folder.folders(folder.of(split))[0]) > 1 for split in folder.parts):
            return None
        parts, shares = _in_parts(folder), layout(folder.parts, "of the pictures")
    else:
        folders, loose = folder.folders(folder.root)
        if len(folders) > 1 and not loose:
            return None
        names = folder.pictures(least=LEAST)
        parts = [[Path(folder.root, name) for name in part] for part in divided_by(names, SHARES)]
        shares = f"training, validation and test: {', '.join(f'{100 * share:.0f}' for share in SHARES)} %"
    files = {split: tuple((path, 0) for path in part) for split, part in zip(SPLITS, parts, strict=True)}
    notes = [f"folder: {sum(map(len, parts))} pictures, whatever their folders; {shares}"]
    if not folder.parts and len(folders) > 1:
        notes.append(
            f"retrain.py takes the {len(folders)} folders for classes, and tests on some that are learnt from here"
        )
    if folder.left_out:
        notes.append(str(folder.left_out))
    return Tree(folder.spec, ("pictures",), files, (), tuple(notes))


def _in_parts(folder: PictureFolder) -> list[list[Path]]:
    """The pictures of `SPLITS`; what has no part of its own is held out of one that is there, as of classes."""
    there = {}
    for split in folder.parts:
        names = folder.pictures(split, least=LEAST if split == "train" else 1)
        there[split] = [[Path(folder.of(split), name) for name in names]]
    parts = in_three(there)
    for split in SPLITS:
        if not parts[split][0]:
            raise InputError(f"`data` {folder.spec}: no pictures for the {split} split; add some")
    return [parts[split][0] for split in SPLITS]
