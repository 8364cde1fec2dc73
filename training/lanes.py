"""Two lanes of one process: work that lies side by side is done by two threads, which meet when both have ended.

PyTorch's wheels share the loops of a single operation among OpenMP's threads. Small networks have thousands of short
loops a second, after each of which the threads wait for each other, and GNU's library has them spin meanwhile: where
other work has a core, every wait lasts a turn of the scheduler. Here each lane takes whole networks or batches, with
operations of its own, and they meet once a step. So a command slows down by what the other work takes, and on an idle
machine it is faster too (`python -m benchmarks.busy_machine`).

What a lane computes does not depend on how many lanes there are, nor on which of them takes it: results have the same
bits with one lane and with two. They depend on how many threads each operation has, which is recorded with a run.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

MOST = 2
"""A step has one large network beside a few small ones, or two halves of a batch: more lanes would have no work."""

_T = TypeVar("_T")
_Targets = TypeVar("_Targets")


class _Lanes:
    """How many there are, and the thread of the second."""

    def __init__(self) -> None:
        self.count = 1
        self.pool: ThreadPoolExecutor | None = None


_LANES = _Lanes()
_HERE = threading.local()


def use_threads(count: int, *, lanes: bool = True) -> None:
    """Shares `count` threads among the lanes: each operation of a lane has its part of them, at least one.

    Args:
        lanes: whether there may be two; a GPU is kept busy by one.
    """
    _LANES.count = min(MOST, count) if lanes else 1
    torch.set_num_threads(max(1, count // _LANES.count))


def available() -> int:
    """How many lanes would take part in work that is begun here and now."""
    return 1 if current() is not None else _LANES.count


def current() -> int | None:
    """The lane, from 0, that this code runs in; None outside of `side_by_side`."""
    return getattr(_HERE, "lane", None)


def side_by_side(works: Sequence[Callable[[], _T]]) -> list[_T]:
    """What the works return, in their order; each is done by the lane that is free first.

    A work must not draw from torch's global random state, nor write what another one reads. It finds the caller's
    setting of gradients. Works within works are done one after the other. If some raise, the first of them in order is
    raised here, when all lanes have stopped; what ends the command (Ctrl-C, TERM) goes before errors.
    """
    if available() == 1 or len(works) < 2:
        return [work() for work in works]
    results: dict[int, _T] = {}
    errors: dict[int, BaseException] = {}
    turns = itertools.count()
    gradients, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    threads = torch.get_num_threads()

    def lane(number: int) -> None:
        _HERE.lane = number
        if torch.get_num_threads() != threads:  # what was set since this thread began
            torch.set_num_threads(threads)
        try:
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
                while not errors and (turn := next(turns)) < len(works):
                    try:
                        results[turn] = works[turn]()
                    except BaseException as error:
                        errors[turn] = error
        finally:
            _HERE.lane = None

    if _LANES.pool is None:
        _LANES.pool = ThreadPoolExecutor(1, thread_name_prefix="lane")
    other = _LANES.pool.submit(lane, 1)
    try:
        lane(0)
    finally:
        other.result()
    if errors:
        raise min(errors.items(), key=lambda one: (isinstance(one[1], Exception), one[0]))[1]
    return [results[turn] for turn in range(len(works))]


def each_batch(work: Callable[[Tensor, _Targets], _T], batches: Iterable[tuple[Tensor, _Targets]]) -> Iterator[_T]:
    """What the work makes of each batch of images and targets, in order; as many side by side as there are lanes."""
    remaining = iter(batches)
    while together := list(itertools.islice(remaining, available())):
        yield from side_by_side([partial(work, images, targets) for images, targets in together])
