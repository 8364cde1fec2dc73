"""How many threads BLAS has for the matrices of a regression: one."""

import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

SET_BY_USERS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")

_P = ParamSpec("_P")
_T = TypeVar("_T")


def on_one_thread(work: Callable[_P, _T]) -> Callable[_P, _T]:
    """A function whose linear algebra has one thread, unless the user has set BLAS's number of threads.

    The regressions here have matrices of a few hundred rows. OpenBLAS shares each of their operations among all
    processors, and its threads wait for each other: a proposal then takes twice its time on an idle machine, and five
    times beside a busy loop (`python -m benchmarks.busy_machine`). The function has to import what it uses, or have it
    imported: libraries that are loaded later are not known.
    """

    @functools.wraps(work)
    def alone(*arguments: _P.args, **options: _P.kwargs) -> _T:
        if any(name in os.environ for name in SET_BY_USERS):
            return work(*arguments, **options)
        with _controller().limit(limits=1, user_api="blas"):
            return work(*arguments, **options)

    return alone


@functools.cache
def _controller() -> ThreadpoolController:
    """Looks once at what is loaded: that takes some milliseconds."""
    import scipy.linalg  # has a BLAS of its own, beside numpy's

    assert scipy.linalg
    return ThreadpoolController()
