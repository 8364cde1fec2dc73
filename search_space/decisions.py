"""Decisions by name: what a search space is made of, and how a program of them is run."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol, TypeVar

_Option = TypeVar("_Option", bound=Hashable)
_Outcome = TypeVar("_Outcome")


class Choose(Protocol):
    """Decides: is given a decision's name and its options (at least two), returns one of them.

    A name always comes with the same options. Names are `resolution`, `stage{i}.{dimension}` and, where every block of
    a stage has an attention of its own, `stage{i}.block{j}.{dimension}`. The dimension is width, depth, expansion,
    kernel_size, attention (a kind) or that kind's reduction; where earlier decisions leave fewer options, these are
    part of the name.
    """

    def __call__(self, name: str, options: Sequence[_Option]) -> _Option: ...


def decide(choose: Choose, name: str, options: Sequence[_Option]) -> _Option:
    """What `choose` decides; it is not asked where there is nothing to decide."""
    return options[0] if len(options) == 1 else choose(name, options)


def every_outcome(program: Callable[[Choose], _Outcome]) -> Iterator[_Outcome]:
    """Every outcome of a decision program once, the last decision varying fastest."""
    path: list[int] = []
    while True:
        counts: list[int] = []

        def choose(name: str, options: Sequence[_Option], counts: list[int] = counts) -> _Option:  # noqa: ARG001
            if len(counts) == len(path):
                path.append(0)
            counts.append(len(options))
            return options[path[len(counts) - 1]]

        yield program(choose)
        while path and path[-1] + 1 == counts[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


def dimension(name: str) -> str:
    """What a decision is about: resolution, width, depth, expansion, kernel_size, attention or reduction."""
    last = name.partition("(")[0].rpartition(".")[2]  # options in brackets may have dots of their own
    return "reduction" if last.endswith("_reduction") else last
