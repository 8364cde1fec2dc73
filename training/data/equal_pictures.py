"""Pictures that are the same file, byte for byte, in two splits: what is measured on them says little."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

from training.data.pictures import Listed

MOST_FILES = 200_000  # whose size is asked for
MOST_OPENED = 50_000
MOST_BYTES = 1 << 30
TAIL = 4096  # bytes at the end, which differ in nearly all files of equal size


class _File(NamedTuple):
    split: str
    path: str
    label: int


def equal_pictures(splits: Mapping[str, Listed], root: str) -> str | None:
    """A line on validation and test pictures that are in an earlier split too; None if there are none.

    Only files of a size that another split has too are opened, and only those with the same end are read. If that would
    take long none is, and the line says so.

    Args:
        splits: `train`, `validation` and `test`.
        root: examples are named from here.
    """
    files = [
        _File(split, path, label)
        for split, listed in splits.items()
        for path, label in zip(listed.paths, listed.labels.tolist(), strict=True)
    ]
    if len(files) > MOST_FILES:
        return _not_checked(f"there are {len(files):,}")
    files = _shared([file for file in files if _size(file.path)], lambda file: _size(file.path))
    if len(files) > MOST_OPENED:
        return _not_checked(f"{len(files):,} files of equal sizes would have to be opened")
    files = _shared(files, lambda file: (_size(file.path), _end(file.path)))
    if (needed := sum(_size(file.path) for file in files)) > MOST_BYTES:
        return _not_checked(f"{needed / 2**30:.1f} GiB would have to be read")
    counts: Counter[tuple[str, str]] = Counter()
    elsewhere, example = 0, ""
    known: dict[bytes, dict[str, _File]] = defaultdict(dict)  # by content and split the first
    for file in files:  # split by split
        same = known[_content(file.path)]
        earlier = next((other for split, other in same.items() if split != file.split), None)
        if earlier is not None:
            counts[file.split, earlier.split] += 1
            elsewhere += file.label != earlier.label
            example = example or f"{os.path.relpath(file.path, root)} and {os.path.relpath(earlier.path, root)}"
        same.setdefault(file.split, file)
    if not counts:
        return None
    told = [
        f"{count} of {len(splits[split].paths)} {split} pictures are {_PART[earlier]} pictures too"
        for (split, earlier), count in counts.items()
    ]
    classes = f", {elsewhere} of them in another class" if elsewhere else ""
    return f"equal files: {', '.join(told)}{classes} (e.g. {example}); keep each in one split, for they cannot test"


def _shared(files: Sequence[_File], key: Callable[[_File], Hashable]) -> list[_File]:
    """The files whose key is also one of another split's."""
    keys = [key(file) for file in files]
    found: dict[Hashable, set[str]] = defaultdict(set)
    for file, own in zip(files, keys, strict=True):
        found[own].add(file.split)
    return [file for file, own in zip(files, keys, strict=True) if len(found[own]) > 1]


_PART = {"train": "training", "validation": "validation"}


def _not_checked(reason: str) -> str:
    return f"equal files: whether pictures of one split are in another too was not checked ({reason})"


def _size(path: str) -> int:
    """0 for a file that is gone: decoding will tell."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _end(path: str) -> bytes:
    """The same for the same last bytes; of a file that cannot be read its own, since decoding will tell."""
    try:
        with open(path, "rb") as file:
            file.seek(-min(TAIL, _size(path)), os.SEEK_END)
            return hashlib.blake2b(file.read()).digest()
    except OSError:
        return os.fsencode(path)


def _content(path: str) -> bytes:
    """The same for the same bytes."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return os.fsencode(path)
