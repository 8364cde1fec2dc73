"""Processes that decode pictures beside a training."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from foundation.errors import InputError, one_line
from foundation.library_warnings import ignored
from foundation.signals import end_at_once, held
from training.augmentation.draws import Draws
from training.data.corrupt import CorruptError
from training.data.decoding import training_crop
from training.data.preparation import Found, View, prepared, read_file

AHEAD = 4  # works that wait for each process, or their results


class Work(NamedTuple):
    """Pictures to decode.

    Attributes:
        paths: N files.
        view: what is seen of them.
        draws: of random-resized-crops; without crops in them, pictures are prepared as for an evaluation.
    """

    paths: Sequence[str]
    view: View
    draws: Draws


class Decoded(NamedTuple):
    """What became of a `Work`.

    Attributes:
        images: N×3×resolution×resolution, uint8, channels last; of a failed picture undefined.
        corrupt: reasons by place in the work; only for pictures whose content cannot be decoded.
        found: by place, of those files that are not upright pictures of 8 bits.
        unreadable: what the user is to be told of a file that cannot be read at all, if there is one.
    """

    images: Tensor
    corrupt: dict[int, str]
    found: dict[int, Found]
    unreadable: str | None


def decode(work: Work) -> Decoded:
    """Decodes picture by picture. Fails in words, so that nothing but words has to come from another process."""
    side = work.view.resolution
    images = torch.empty(len(work.paths), side, side, 3, dtype=torch.uint8).permute(0, 3, 1, 2)
    crops = None if work.draws.crops is None else work.draws.crops.tolist()
    mirrored = [] if work.draws.mirrored is None else work.draws.mirrored.tolist()
    corrupt: dict[int, str] = {}
    found: dict[int, Found] = {}
    for place, path in enumerate(work.paths):
        try:
            content = read_file(path)
            if crops is None:
                images[place], what = prepared(content, work.view)
            else:
                image, what = training_crop(content, side, crops[place], upright=work.view.upright)
                images[place] = image.flip(-1) if mirrored[place] else image
            if what != Found():
                found[place] = what
        except CorruptError as error:
            corrupt[place] = str(error)
        except InputError as error:
            return Decoded(images, corrupt, found, str(error))
    return Decoded(images, corrupt, found, None)


class Loaders:
    """Processes that decode, kept from one pass over the pictures to the next.

    They end with it, however it ends, or when this object is gone.

    Args:
        count: of processes; with 0 everything is decoded in this one.
        pinned: whether results lie in memory that a GPU copies from while it computes.
    """

    def __init__(self, count: int, *, pinned: bool = False):
        self.count = count
        self._pinned = pinned
        self._kept: tuple[_Feed, DataLoader[Decoded]] | None = None
        self._busy = False

    def results(self, works: Iterator[Work]) -> Iterator[Decoded]:
        """The results in order, a few of them ahead of what is taken. May be given up before the end.

        The kept processes serve one pass at a time; one that begins beside it has its own, which end with it. Raises
        InputError if one of them is killed, or a file cannot be read.
        """
        for result in self._decoded(works):
            if result.unreadable is not None:
                raise InputError(result.unreadable)
            yield result

    def _decoded(self, works: Iterator[Work]) -> Iterator[Decoded]:
        if self.count == 0:
            yield from map(decode, works)
        elif self._busy:
            yield from _served(*self._made(kept=False), works)
        else:
            self._busy = True
            try:
                self._kept = self._kept or self._made(kept=True)
                yield from _served(*self._kept, works)
            except InputError:
                self._kept = None
                raise
            finally:
                self._busy = False

    def _made(self, *, kept: bool) -> "tuple[_Feed, DataLoader[Decoded]]":
        feed = _Feed()
        loader = DataLoader(
            _Decoding(),
            batch_size=None,
            sampler=feed,
            num_workers=self.count,
            collate_fn=_same,
            pin_memory=self._pinned,
            # Forks start at once, and import nothing. A fork server stays, with all that it made, if this is killed.
            multiprocessing_context="fork" if sys.platform == "linux" else None,
            worker_init_fn=partial(_bound, os.getpid()),
            prefetch_factor=AHEAD,
            persistent_workers=kept,
            generator=torch.Generator(),  # else each pass would take a number from torch's own
        )
        return feed, loader


class _Decoding(Dataset[Decoded]):
    """`decode` as a DataLoader wants it: what it is asked for is the work itself."""

    def __getitem__(self, work: Work) -> Decoded:
        return decode(work)


class _Feed(Iterator[Work]):
    """The works of the pass that goes on.

    A loader holds this instead of the works themselves: they hold the split, which holds the loader, and processes of
    loaders that go in such a circle end late.
    """

    works: Iterator[Work] = iter(())

    def __next__(self) -> Work:
        return next(self.works)


def _same(result: Any) -> Any:
    return result


def _bound(parent: int, _number: int) -> None:
    """Ends this process in the same moment as its parent, whose open files and locks it holds.

    On Linux the parent is a thread: the one that began the first pass.
    """
    end_at_once()
    sys.excepthook = _unless_hung_up
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it was gone before
            os._exit(1)


def _unless_hung_up(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's report of what no one caught, except that the other side of a connection is gone.

    The thread that hands a result's memory over reports so; the parent that hung up has said itself why it ends.
    """
    if not isinstance(error, EOFError | ConnectionError):
        sys.__excepthook__(kind, error, trace)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Has TERM and HUP wait until torch's iterator is whole: of one that is half made, torch complains as it goes.

    And leaves out torch's own signal handler, which raises an error at any point of a training when a process ends.
    That one is gone is found all the same, within seconds, where its results are waited for.
    """
    if threading.current_thread() is not threading.main_thread():  # which gets no signals
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        with held():
            yield
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _served(feed: _Feed, loader: DataLoader[Decoded], works: Iterator[Work]) -> Iterator[Decoded]:
    feed.works = works
    try:
        # That it has threads of its own is no harm to processes that decode and do nothing else.
        with ignored("This process .* is multi-threaded, use of fork", DeprecationWarning), _undisturbed():
            results = iter(loader)
        yield from results
    except (RuntimeError, OSError, EOFError) as error:
        # One that is gone is found missing, or does not answer when its results are fetched.
        if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker (pid"):
            raise
        reason = one_line(error)
        raise InputError(
            f"a process that decodes pictures was ended from outside ({reason}); too little memory? give fewer "
            "`loaders`, or 0"
        ) from None
    finally:
        feed.works = iter(())
