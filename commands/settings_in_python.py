"""The settings of a search that a program gives by name, instead of as flags."""

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from commands.search_settings import SearchSettings
from commands.values import typed
from foundation.errors import InputError

_NO_SETTINGS = (
    *("preset", "space", "data", "out", "quiet", "dry_run"),  # which have parameters of their own, or are no search
    *("workers", "engine", "storage", "nni_port", "ray_address", "worker_gpus"),  # other processes, without the data
)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a search, each read as its flag would be. Raises InputError naming the first that cannot be."""
    known = {one.name: one for one in fields(SearchSettings) if one.name not in _NO_SETTINGS}
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            told = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise InputError(f"{name}: no setting of a search from Python; {told}")
        if known[name].default is False:
            if not isinstance(value, bool):
                raise InputError(f"{name}: expected True or False, got {value!r:.60}")
            checked[name] = value
            continue
        try:
            checked[name] = None if value is None else known[name].metadata["parse"](typed(value))
        except ValueError as error:
            raise InputError(f"{name}: {value!r:.60}: {error}") from None
    return checked
