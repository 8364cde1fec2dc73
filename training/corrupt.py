"""Pictures that cannot be decoded: refused, or passed over, counted and named."""

import itertools
from typing import NoReturn

from search_space.errors import InputError
from training.progress import Reporter

NAMED = 3  # at most


class CorruptError(Exception):
    """A file's content is no picture that can be decoded."""


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
            raise InputError(f"cannot decode {path} ({reason}); mend or remove it, or give --skip-corrupt")
        self._paths[number] = path
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
        names = ", ".join(itertools.islice(self._paths.values(), NAMED))
        return f"{names}, …" if len(self) > NAMED else names
