"""Which pictures are for training, validation and testing where their folders do not say all of it."""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

SHARES = {"validation": 0.15, "test": 0.15}
"""Of the training pictures, that are held out where there is no such part."""


def held_out(there: Collection[str]) -> tuple[str, ...]:
    """Which splits are taken out of the training pictures, by those that there are."""
    if "validation" in there:
        return ()
    return ("validation",) if "test" in there else ("validation", "test")


def in_three(there: Mapping[str, Sequence[Sequence[T]]]) -> dict[str, list[list[T]]]:
    """Training, validation and test items of each group, in order: always the same for as many in each group.

    Of a validation part without a test part half is the test's; parts that are missing otherwise are held out of the
    training items, 15 % of each group.

    Args:
        there: of `train`, and of `validation` and `test` where they are, the items of each group.
    """
    parts = {split: [list(group) for group in groups] for split, groups in there.items()}
    if "validation" in parts and "test" not in parts:
        parts["validation"], parts["test"] = _divided(parts["validation"], (0.5,))
    elif missing := held_out(parts):
        shares = [SHARES[split] for split in missing]
        parts["train"], *others = _divided(parts["train"], (1 - sum(shares), *shares[:-1]))
        parts |= zip(missing, others, strict=True)
    return {split: parts[split] for split in ("train", *SHARES)}


def divided_by(items: Sequence[T], shares: Sequence[float]) -> list[list[T]]:
    """The items in parts of these shares, which sum to 1, in order: always the same for as many."""
    return [part[0] for part in _divided([items], shares[:-1])]


def layout(folders: Mapping[str, str], of: str) -> str:
    """Where the pictures of each split are from, as a line.

    Args:
        folders: of `train`, and of `validation` and `test` where they are; none for a lone folder that is divided.
        of: what the shares are of.
    """
    if not folders:
        return f"training, validation and test: 70, 15 and 15 % {of}"
    train = f"training: {folders['train']}/"
    match "validation" in folders, "test" in folders:
        case False, False:
            return f"training, validation and test: 70, 15 and 15 % {of} in {folders['train']}/"
        case False, True:
            return f"{train}; validation: held out of {folders['train']}/, 15 % {of}; test: {folders['test']}/"
        case True, False:
            return f"{train}; validation and test: half of {folders['validation']}/ each"
    return f"{train}; validation: {folders['validation']}/; test: {folders['test']}/"


def _divided(groups: Sequence[Sequence[T]], shares: Sequence[float]) -> list[list[list[T]]]:
    """Each group divided by `shares`, the rest last; no part of one is empty if it has as many items as parts."""
    rng = np.random.default_rng(2103)
    parts: list[list[list[T]]] = [[] for _ in range(len(shares) + 1)]
    for items in groups:
        order = rng.permutation(len(items))
        start = 0
        for index, share in enumerate(shares):
            left_parts = len(shares) - index
            size = min(max(1, round(share * len(items))), max(0, len(items) - start - left_parts))
            parts[index].append([items[number] for number in sorted(order[start : start + size])])
            start += size
        parts[-1].append([items[number] for number in sorted(order[start:])])
    return parts
