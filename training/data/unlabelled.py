"""Pictures without labels: any folder of them, or labelled ones whose labels are left aside."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.dataset import Dataset, Wanted
from training.data.datasets import load_data
from training.data.division import divided_by
from training.data.folders import Tree, check_folder
from training.data.picture_files import Finder
from training.data.sources.folder import dataset
from training.data.split_folders import split_folders

SHARES = (0.9, 0.05, 0.05)
"""Of pictures without class folders, for training, validation and the test."""
LEAST = 20


def load_unlabelled(
    spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
) -> Dataset:
    """The pictures that a spec names, at `side` pixels, without classes.

    Of labelled pictures the splits are those of any training, so that none of a later test's is learnt from.

    Args:
        options: those of `training.data.datasets.load_data`.

    Raises InputError as that does, but for a folder without class folders: there all pictures below it are taken.
    """
    wanted = Wanted.of(spec, side, device, reporter, **options)
    if wanted.kind == "folder" and (tree := _loose(wanted)) is not None:
        found = dataset(tree, wanted)
    else:
        found = load_data(spec, side, device, reporter, **options)
    return replace(found, classes=())


def _loose(wanted: Wanted) -> Tree | None:
    """All pictures below a folder that has some itself, or a single folder; None for one of classes or of splits."""
    root = check_folder(wanted.spec, wanted.rest)
    finder = Finder(f"`data` {wanted.spec}: ", root)
    folders, loose = finder.folders(root)
    if split_folders(wanted.spec, root, finder) or (len(folders) > 1 and not loose):
        return None
    finder = Finder(f"`data` {wanted.spec}: ", root)  # what is left out is counted once
    names = finder.below(root)
    left_out = f" ({finder.left_out})" if finder.left_out else ""
    if len(names) < LEAST:
        raise InputError(
            f"`data` {wanted.spec}: {len(names) or 'no'} pictures below {root}, fewer than {LEAST}; add some{left_out}"
        )
    parts = divided_by(names, SHARES)
    files = {
        split: tuple((Path(root, name), 0) for name in part)
        for split, part in zip(("train", "validation", "test"), parts, strict=True)
    }
    shares = ", ".join(f"{100 * share:.0f}" for share in SHARES)
    notes = [f"folder: {len(names)} pictures, whatever their folders; training, validation and test: {shares} %"]
    if len(folders) > 1:
        notes.append(
            f"retrain.py takes the {len(folders)} folders for classes, and tests on some that are learnt from here"
        )
    if finder.left_out:
        notes.append(str(finder.left_out))
    return Tree(wanted.spec, ("pictures",), files, (), tuple(notes))
