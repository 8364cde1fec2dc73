"""What makes two runs the same, compared."""

from typing import Any


def difference(old: Any, new: Any, place: str = "") -> str | None:
    """The first place where two plain values differ, with both values; a name before what may follow from it."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys(), key=lambda name: (name != "name", name)):
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
    return None if old == new else f"{place} is {old!r:.200} there and {new!r:.200} here"
