"""What libraries warn of, kept from the user, by several threads at once."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Kept:
    """The filters as they were before the first thread came, and how many are within now."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.within = 0
        self.before = warnings.catch_warnings()

    def renew_lock(self) -> None:
        """In a forked process: who held the lock is not there."""
        self.lock = threading.Lock()


_KEPT = _Kept()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_KEPT.renew_lock)


@contextmanager
def ignored(message: str = "", category: type[Warning] = Warning) -> Iterator[None]:
    """Nothing is said of such warnings, in the whole process, as long as any thread is within.

    Of two threads within `warnings.catch_warnings` the last to leave puts back what it found: the other's filters,
    which then stay for good. Here the first to come keeps the filters, and the last to leave puts them back.

    Args:
        message: a regular expression that the warning's text begins with; all of them by default.
    """
    with _KEPT.lock:
        if not _KEPT.within:
            _KEPT.before = warnings.catch_warnings()
            _KEPT.before.__enter__()
        _KEPT.within += 1
        warnings.filterwarnings("ignore", message, category)
    try:
        yield
    finally:
        with _KEPT.lock:
            _KEPT.within -= 1
            if not _KEPT.within:
                _KEPT.before.__exit__(None, None, None)
