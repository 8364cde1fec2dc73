"""Pictures that are the same file, byte for byte, in two splits: what is measured on them says little."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping

from training.pictures import Listed

MOST_FILES = 200_000  # whose size is asked for
MOST_READ = 50_000
MOST_BYTES = 1 << 30


def equal_pictures(splits: Mapping[str, Listed], root: str) -> str | None:
    """A line on validation and test pictures that are in an earlier split too; None if there are none.

    Files of a size that only one split has are not read. If too many would have to be, none is, and the line says so.

    Args:
        splits: `train`, `validation` and `test`.
        root: examples are named from here.
    """
    if (count := sum(len(listed.paths) for listed in splits.values())) > MOST_FILES:
        return _not_checked(f"there are {count:,}")
    by_size: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    for split, listed in splits.items():
        for path, label in zip(listed.paths, listed.labels.tolist(), strict=True):
            by_size[_size(path)].append((split, path, label))
    by_size.pop(0, None)  # gone or empty, which is said when they are decoded
    read = {size: members for size, members in by_size.items() if len({split for split, *_ in members}) > 1}
    files, needed = sum(map(len, read.values())), sum(size * len(members) for size, members in read.items())
    if files > MOST_READ or needed > MOST_BYTES:
        return _not_checked(f"{files:,} files of equal sizes, {needed / 2**30:.1f} GiB, would have to be read")
    known: dict[bytes, dict[str, tuple[str, int]]] = defaultdict(dict)  # the first of each split by its content
    counts: dict[tuple[str, str], int] = defaultdict(int)
    elsewhere, example = 0, ""
    for split in splits:
        for path, label in ((path, label) for members in read.values() for own, path, label in members if own == split):
            same = known[_content(path)]
            if (earlier := next((name for name in same if name != split), None)) is not None:
                other, other_label = same[earlier]
                counts[split, earlier] += 1
                elsewhere += label != other_label
                example = example or f"{os.path.relpath(path, root)} and {os.path.relpath(other, root)}"
            same.setdefault(split, (path, label))
    if not counts:
        return None
    told = [
        f"{number} of {len(splits[split].paths)} {split} pictures are {_PART[earlier]} pictures too"
        for (split, earlier), number in counts.items()
    ]
    classes = f", {elsewhere} of them in another class" if elsewhere else ""
    return f"equal files: {', '.join(told)}{classes} (e.g. {example}); keep each in one split, for they cannot test"


_PART = {"train": "training", "validation": "validation"}


def _not_checked(reason: str) -> str:
    return f"equal files: whether pictures of one split are in another too was not checked ({reason})"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _content(path: str) -> bytes:
    """The same for the same bytes; of a file that cannot be read its own, since decoding will tell."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return os.fsencode(path)
