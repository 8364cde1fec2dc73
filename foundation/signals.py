"""TERM and HUP end a command as Ctrl-C does: with a line, and with what it started."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class EndedError(BaseException):
    """The process was told to end by a signal; like `KeyboardInterrupt` no error that is handled anywhere."""

    def __init__(self, number: int):
        super().__init__(number)
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """As a shell tells it."""
        return 128 + self.signal.value


def raise_on_signals() -> None:
    """Has TERM and HUP raise `EndedError` in the main thread, once; a signal that is ignored stays so, as by `nohup`.

    What follows after the first is a clean-up of bounded length, which further ones do not disturb.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)
    if sys.unraisablehook is not _tell:
        _Others.tell = staticmethod(sys.unraisablehook)
        sys.unraisablehook = _tell


def end_at_once() -> None:
    """Has TERM and HUP end this process in the way of the system: for one that decodes and has nothing to say."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)


class _Held:
    """Whether signals wait, and the one that does; the one that was raised."""

    held = False
    waiting: int | None = None
    raised: int | None = None


def end_if_told() -> None:
    """Raises `EndedError` once more in the main thread, if it was raised already: whoever goes on has not seen it.

    A library that is being imported, or called back, may catch everything.
    """
    if _Held.raised is not None and threading.current_thread() is threading.main_thread():
        raise EndedError(_Held.raised)


class _Others:
    """What told of errors that nobody can be told of, before this did."""

    tell = staticmethod(sys.__unraisablehook__)


def _tell(unraisable: "sys.UnraisableHookArgs") -> None:
    """Says nothing of an end that a callback was told of: it is raised again where it is seen, by `end_if_told`."""
    if not isinstance(unraisable.exc_value, EndedError):
        _Others.tell(unraisable)


@contextmanager
def held() -> Iterator[None]:
    """Has TERM and HUP wait until the end of what must not be cut in two, such as starting a process and noting it."""
    _Held.held = True
    try:
        yield
    finally:
        _Held.held = False
        if _Held.waiting is not None:
            _raise(_Held.waiting, None)


def _raise(number: int, _frame: FrameType | None) -> None:
    if _Held.held:
        _Held.waiting = number
        return
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)
    _Held.raised = number
    raise EndedError(number)
