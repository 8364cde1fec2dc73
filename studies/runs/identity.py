"""What makes two runs the same, compared, and said in words where the values are digests."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from foundation.amounts import milliseconds
from foundation.errors import InputError
from foundation.json_files import shown
from foundation.metric import Metric, read_metric
from training.data.dataset import PREPARED

PICTURES = "pictures"  # the numbers of them, by split, as a configuration records them beside its identity
FILES = "files"  # of each split, as a run's configuration records them beside its identity

_OTHERWISE = "use another `out`, or give the same settings"
_CHANGED = {
    "architecture": ("the network is not the one that is trained there", "use another `out`, or give that network"),
    "init": ("the first weights are not those that it began with", "use another `out`, or give `init` where those are"),
    "latency": (
        "the latency table is not the one that it began with: pieces or times differ",
        "use another `out`, or give that table",
    ),
    "table": (
        "the table of trained networks is not the one that it began with",
        "use another `out`, or give that table",
    ),
    "teacher": ("the teacher's file is not the one that it began with", "use another `out`, or give that file"),
    "weights": (
        "the shared weights are not those that it began with",
        "use another `out`, or give `supernet` the run that they came from",
    ),
}
"""What happened, and what to do, where only a digest tells two values apart: by the last part of the place."""


class Asked(NamedTuple):
    """How a run was asked for, in the words of what asks: a command has flags.

    Attributes:
        flags: from a recorded identity and another: the flags that make the recorded one of it, or nothing.
        named: what messages call a place in an identity, such as `budget.max_macs`.
    """

    flags: Callable[[dict[str, Any], dict[str, Any]], str] = lambda recorded, identity: ""
    named: Callable[[str], str] = str


IN_PLACES = Asked()
"""What asks calls things as identities do."""


def ranked_by(identity: Mapping[str, Any]) -> Metric:
    """The metric that a run's candidates are ranked by. Raises InputError, naming the field, for what is none."""
    sampler = identity.get("sampler")
    named = sampler.get("objectives") if isinstance(sampler, dict) else None
    if named is not None and (not isinstance(named, list) or not all(isinstance(name, str) for name in named)):
        raise InputError(f"sampler.objectives: expected a list of names, got {shown(named)}")
    return read_metric(identity, named[0] if named else None)


@dataclass(frozen=True)
class Difference:
    """The first place where two identities differ, with the value there and the value here."""

    place: str
    there: Any
    here: Any

    def told(self, there: object = None, here: object = None, asked: Asked = IN_PLACES) -> str:
        """What differs, and what to do about it.

        Args:
            there, here: how many files each split has, by its name; None where that is not known.
        """
        if self.place == "data" and isinstance(self.there, str) and isinstance(self.here, str):
            return self._of_data(there, here, asked.named(self.place))
        changed = _CHANGED.get(self.place.rpartition(".")[2])
        if changed and _without_digest(self.there) == _without_digest(self.here) is not None:
            return "; ".join(changed)
        was, now = (_shown(value, self.place) for value in (self.there, self.here))
        return f"{asked.named(self.place)} is {was} there and {now} here; {_OTHERWISE}"

    def _of_data(self, there: object, here: object, named: str) -> str:
        if self.here == f"{self.there} {PREPARED}":
            return (
                "data: begun when pictures were decoded and scaled otherwise (see CHANGELOG.md), so to other pixels; "
                "use another `out`"
            )
        was, given = (text.removesuffix(f" {PREPARED}") for text in (self.there, self.here))
        before, now = _without_digest(was), _without_digest(given)
        kinds = [text.partition(" ")[0] for text in (was, given)]
        if before is None or now is None or kinds[0] != kinds[1]:
            return f"{named} is {before or was!r} there and {now or given!r} here; {_OTHERWISE}"
        if was.rpartition(" ")[2] == given.rpartition(" ")[2]:
            return f"its pictures are prepared otherwise: {before!r} there and {now!r} here; {_OTHERWISE}"
        counts = f": {_counted(there)} then, {_counted(here)} now" if there and here and there != here else ""
        return (
            f"the pictures are not those that it began with (files were added, removed, renamed or changed{counts}); "
            "use another `out`, or bring the pictures back as they were"
        )


FIRST = ("name", "weights", "score")
"""What others follow from."""


def difference(old: Any, new: Any, place: str = "") -> Difference | None:
    """The first place where two plain values differ: a name and the like before what may follow from them."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys(), key=lambda name: (*(name != first for first in FIRST), name)):
            found = difference(old.get(name), new.get(name), f"{place}.{name}" if place else name)
            if found:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            found = difference(left, right, f"{place}[{index}]")
            if found:
                return found
        return None
    return None if old == new else Difference(place, old, new)


def _without_digest(value: object) -> str | None:
    """What a text says before the digest that it ends with; None for anything else."""
    found = re.fullmatch(r"(.*?) ?[0-9a-f]{16,64}", value) if isinstance(value, str) else None
    return found[1] if found else None


def _shown(value: object, place: str) -> str:
    """A value in a line; of a digest what stands before it."""
    if value is None:
        return "none"
    if isinstance(value, int) and place.endswith("_ns"):
        return milliseconds(value)
    named = _without_digest(value)
    return f"{value!r:.200}" if named is None else f"{named!r:.200}" if named else "given"


def _counted(files: object) -> str:
    """`70 train, 15 validation, 15 test`."""
    known = files if isinstance(files, Mapping) else {}
    return ", ".join(f"{known[split]} {split}" for split in ("train", "validation", "test") if split in known)
