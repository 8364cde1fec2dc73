"""Picture files read into memory, several at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.memory import free_memory
from foundation.progress import Reporter
from training.data.corrupt import Corrupt, CorruptError
from training.data.preparation import Found
from training.data.remarks import Remarks

T = TypeVar("T")

SHARE_OF_FREE = 0.5  # of the memory that is free, that a split may take


def read_all(
    split: str,
    paths: Sequence[str],
    side: int,
    read: Callable[[int], tuple[Tensor, T, Found]],
    reporter: Reporter,
    *,
    skip_corrupt: bool = False,
) -> tuple[Tensor, list[T]]:
    """The pictures of a split (N×3×side×side, uint8), and what else `read` gives of each.

    Args:
        read: the picture of a number (3×side×side, uint8), what there is to say of it, and what its file turned out to
            be; raises CorruptError for one that cannot be decoded. It is called by several threads.
        skip_corrupt: whether those that cannot be decoded are left out, and named, if there are others.

    Raises InputError naming the first file that cannot be decoded, or any that cannot be read.
    """
    images = torch.empty(len(paths), 3, side, side, dtype=torch.uint8)
    corrupt = Corrupt(split, len(paths), skip_corrupt)
    kept: list[int] = []
    targets: list[T] = []
    found: dict[int, Found] = {}  # by place among those kept

    def tried(number: int) -> tuple[Tensor, T, Found] | CorruptError:
        try:
            return read(number)
        except CorruptError as error:
            return error

    with ThreadPoolExecutor() as pool, reporter.track(f"{split} pictures", len(paths), "decoded") as advance:
        for number, result in enumerate(pool.map(tried, range(len(paths)))):
            if isinstance(result, CorruptError):
                corrupt.note(number, paths[number], str(result))
            else:
                images[number], target, what = result
                if what != Found():
                    found[len(kept)] = what
                kept.append(number)
                targets.append(target)
            advance("")
    corrupt.say(reporter)
    if corrupt:
        images = images[kept]
    Remarks(split, reporter, enough=len(kept)).take(images, [paths[number] for number in kept], found)
    return images, targets


def check_memory(spec: str, split: str, count: int, side: int, channels: int) -> None:
    """Raises InputError if so many pictures would take more than half of the memory that is free.

    Args:
        channels: bytes a pixel, with those of its target.
    """
    needed, free = count * channels * side**2, free_memory(torch.device("cpu"))
    if free is not None and needed > SHARE_OF_FREE * free:
        raise InputError(
            f"`data` {spec}: {count:,} {split} pictures of {side} pixels need {needed / 2**30:.1f} GiB of memory, more "
            f"than half of the {free / 2**30:.1f} GiB that are free; choose a smaller resolution or fewer pictures"
        )
