"""The search spaces by name, of every family."""

import os.path
from collections.abc import Callable

from foundation.errors import InputError
from foundation.registry import Registry
from search_space.cost.priced_space import PricedSpace
from search_space.family import found_in, load_all
from search_space.space import SPACE_KINDS, SearchSpace
from search_space.space_file import read_space

SPACES: Registry[Callable[[], SearchSpace]] = Registry("space", ", or a file FILE.toml")
"""Registered in the file `spaces.py` of a family's room."""

CLASSES: dict[str, int] = {}
"""The usual number of classes of a space that is not for ImageNet's 1000."""


def priced_space(name: str) -> PricedSpace:
    """As `named_space`, priced for the usual number of classes, without latencies or a budget."""
    return PricedSpace(named_space(name), CLASSES.get(name.partition(",")[0], 1000))


def named_space(name: str) -> SearchSpace:
    """The space of that name, or the one that a `.toml` file describes; of several by comma all as one.

    Raises InputError for an unknown one, or for such as cannot be searched together.
    """
    if "," in name and not os.path.isfile(name):
        members = [one.strip() for one in name.split(",")]
        if "" in members:
            raise InputError(
                f"`space` {name}: a name is missing beside a comma; name spaces as in mobilenetv2-32,t2t-32"
            )
        return found_in(SPACE_KINDS, "mixed", "space")(tuple(named_space(one) for one in members))
    if name.endswith(".toml"):
        return read_space(name)
    if name not in SPACES:
        raise InputError(f"`space` {name}: unknown; known: {SPACES.known()}")
    return SPACES[name]()


def __getattr__(name: str) -> Callable[[], SearchSpace]:
    """A registered space's function by its name: plugins import `mobilenetv2` from here."""
    if name not in SPACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return SPACES[name]


load_all("spaces")
