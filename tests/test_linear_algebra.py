"""BLAS has one thread within a regression, unless the user says otherwise."""

import pytest
from threadpoolctl import ThreadpoolController

from training.linear_algebra import SET_BY_USERS, on_one_thread


def _blas_threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()}


_threads = on_one_thread(_blas_threads)


def test_one_thread_within_and_as_before_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SET_BY_USERS:
        monkeypatch.delenv(name, raising=False)
    _threads()  # has scipy loaded
    with ThreadpoolController().limit(limits=3, user_api="blas"):
        before = _blas_threads()
        assert before != {1}
        assert _threads() == {1}
        assert _blas_threads() == before


@pytest.mark.parametrize("name", SET_BY_USERS)
def test_what_the_user_sets_wins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "3")
    with ThreadpoolController().limit(limits=3, user_api="blas"):
        assert _threads() != {1}
