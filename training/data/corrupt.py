"""Pictures that cannot be decoded: refused, or passed over, counted and named."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NoReturn

from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.opening import TOO_MANY

NAMED = 3  # at most
TRAINED = "train"  # the split that has to have every class


class CorruptError(Exception):
    """A file's content is no picture that can be decoded."""


def cannot_decode(what: str) -> InputError:
    """The line on a picture that cannot be decoded.

    Args:
        what: names it, and says why.
    """
    if TOO_MANY in what:
        return InputError(f"cannot decode {what}; scale it down or remove it, or give `skip_corrupt`")
    return InputError(f"cannot decode {what}; mend or remove it, or give `skip_corrupt`")


class Corrupt:
    """Those of a split, by number.

    Args:
        split: its name, and of how many pictures.
        skipped: whether they are passed over; else the first is refused.
    """

    def __init__(self, split: str, count: int, skipped: bool):
        self.split = split
        self.count = count
        self.skipped = skipped
        self._paths: dict[int, str] = {}
        self._said = 0  # how many of them the user knows

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, number: int) -> bool:
        return number in self._paths

    def note(self, number: int, path: str, reason: str) -> None:
        """Takes a picture down. Raises InputError naming it if none is to be passed over, or it is the last one."""
        if not self.skipped:
            raise cannot_decode(f"{path} ({reason})")
        self._paths[number] = f"{path} ({reason})" if TOO_MANY in reason else path
        if len(self) == self.count:
            self.refuse()

    def refuse(self) -> NoReturn:
        """Raises InputError for pictures of which none can be used."""
        raise InputError(f"{self.split}: not one picture can be decoded ({self._named()}); mend or replace them")

    def say(self, reporter: Reporter) -> None:
        """Tells the user of those that he does not know of yet."""
        if len(self) > self._said:
            self._said = len(self)
            reporter.say(
                f"{self.split}: {self._said} of {self.count} pictures cannot be decoded and are passed over: "
                f"{self._named()}"
            )

    def _named(self) -> str:
        return _first(self._paths.values())


def check_complete(split: str, labels: Tensor, classes: Sequence[str], reporter: Reporter) -> None:
    """Says which classes none of a split's pictures is of.

    Args:
        labels: of the pictures that there are, N, int64.

    Raises InputError if it is the split that is trained on.
    """
    counts = labels.bincount(minlength=len(classes)).tolist()
    lacking = [name for name, count in zip(classes, counts, strict=True) if not count]
    if not lacking:
        return
    if split == TRAINED:
        raise InputError(
            f"{split}: not one picture of class {lacking[0]} can be decoded; mend or replace them, or remove the class "
            "from every split"
        )
    reporter.say(
        f"{split}: no pictures of {len(lacking)} of {len(classes)} classes, which nothing can be said about: "
        f"{_first(lacking)}"
    )


def _first(names: Iterable[str]) -> str:
    some = list(itertools.islice(names, NAMED + 1))
    return ", ".join(some) if len(some) <= NAMED else ", ".join([*some[:NAMED], "…"])
