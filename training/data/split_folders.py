"""Which folders of a tree are its splits: by their usual names, in any case."""

from collections.abc import Iterable, Mapping, Sequence

from foundation.errors import InputError
from training.data.picture_files import BESIDE, UNSORTED, Finder

NAMES: Mapping[str, Sequence[str]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval"),
}
_SPLIT_OF = {name: split for split, names in NAMES.items() for name in names}


def split_folders(spec: str, root: str, finder: Finder) -> dict[str, str]:
    """The folder of each split in `root`, as the disk has its name: `train`, and what there is of the others.

    Empty if the folders are classes. So they are if none is called as training pictures are, or if the only one with a
    split's name holds pictures itself, beside other classes: a class may be called `train`. What is in `root` beside
    the splits is left out.

    Raises InputError for two folders of a split, and for `train` beside classes that holds none itself.
    """
    look = Finder(f"`data` {spec}: ", root)  # what is left out is counted when it is read
    folders, _ = look.folders(root)
    named = by_split(spec, root, folders)
    others = [name for name in folders if name.lower() not in _SPLIT_OF]
    if "train" not in named:
        return {}
    if len(named) == 1 and others:
        beside = next((name for name in others if look.below(f"{root}/{name}")), None)
        train = f"{root}/{named['train']}"
        if beside is not None and look.listing(train).pictures:
            return {}
        if beside is not None:
            raise InputError(
                f"`data` {spec}: {train} is called as training pictures are, and {root}/{beside} beside it as a class; "
                f"move {beside} into it, or if {named['train']} is a class, put pictures into it directly"
            )
    leave_others(root, named.values(), finder)
    return named


def by_split(spec: str, root: str, folders: Iterable[str]) -> dict[str, str]:
    """Of the folders below `root` that of each split. Raises InputError for two of a split, where there is `train`."""
    named: dict[str, list[str]] = {}
    for folder in folders:
        if folder.lower() in _SPLIT_OF:
            named.setdefault(_SPLIT_OF[folder.lower()], []).append(folder)
    for split, names in named.items():
        if len(names) > 1 and "train" in named:
            raise InputError(
                f"`data` {spec}: {root}/{names[0]} and {root}/{names[1]} are both called as the {split} pictures are; "
                "keep one, or rename the other"
            )
    return {split: names[0] for split, names in named.items()}


def leave_others(root: str, splits: Iterable[str], finder: Finder) -> None:
    """Counts what lies in `root` beside the splits as left out."""
    folders, pictures = finder.folders(root)
    for name in pictures:
        finder.left_out.note(UNSORTED, f"{root}/{name}")
    for name in sorted({*folders} - {*splits}):
        finder.left_out.note(BESIDE, f"{root}/{name}")
