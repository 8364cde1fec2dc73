"""Families of networks: a room for each in `families/`, whose files register what the family brings.

By convention `architecture.py` has the value (without torch), `space.py` the decisions and `network.py` the modules;
where a family has them, `spaces.py` the named spaces, `space_file.py` the reading of a user's own, `backbones.py` the
hand-designed networks, `baselines.py` what a found one is compared with, and `pretrained.py` the published weights.
Each is imported when it is first asked for.
"""

import importlib
from pathlib import Path
from typing import TypeVar

from foundation.registry import Registry

T = TypeVar("T")

OR_A_PLUGIN = ", or one that a `plugin` registers"
"""Said after the families that are known."""

ROOMS = Path(__file__).parent / "families"


def families() -> tuple[str, ...]:
    """The families that have a room here."""
    return tuple(sorted(path.parent.name for path in ROOMS.glob("*/architecture.py")))


def found_in(registry: Registry[T], family: str, file: str) -> T:
    """What the family has registered, in that file of its room or in a plugin. Raises InputError for an unknown one."""
    if family not in registry:
        load_all(file)
    return registry.get(family)


def load_all(file: str) -> None:
    """Imports that file of every room that has one."""
    for path in sorted(ROOMS.glob(f"*/{file}.py")):
        importlib.import_module(f"search_space.families.{path.parent.name}.{file}")
