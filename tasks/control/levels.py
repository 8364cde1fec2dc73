"""Levels of a game: which ones are trained on, and which ones are never seen in training."""

from dataclasses import dataclass

UNSEEN = {"validation": 100, "test": 200}
TRAINING = 50
SPLITS = ("train", *UNSEEN)
APART = 1_000_000
"""A level's number in its split, as a target, is added to its split's number times this."""


@dataclass(frozen=True)
class Levels:
    """So many levels of a split, the first ones of it."""

    split: str
    count: int


def levels_of(training: int) -> dict[str, Levels]:
    """The levels of each split, of which so many are trained on."""
    return {name: Levels(name, count) for name, count in {"train": training, **UNSEEN}.items()}
