"""What can be built, and what it costs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.errors import InputError
    from search_space.architecture import Architecture, Attention, Stage
    from search_space.cost.cost import Budget, Cost, measure
    from search_space.cost.priced_space import PricedSpace
    from search_space.network import Network, build
    from search_space.space import SearchSpace

__all__ = [
    "Architecture",
    "Attention",
    "Budget",
    "Cost",
    "InputError",
    "Network",
    "PricedSpace",
    "SearchSpace",
    "Stage",
    "build",
    "measure",
]

_FROM = {
    "Architecture": "architecture",
    "Attention": "architecture",
    "Stage": "architecture",
    "Budget": "cost",
    "Cost": "cost",
    "measure": "cost",
    "InputError": "errors",
    "PricedSpace": "priced_space",
    "Network": "network",
    "build": "network",
    "SearchSpace": "space",
}


def __getattr__(name: str) -> Any:
    """Imported when first asked for: most of it needs torch, and a command's help does not wait for that."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FROM[name]}"), name)
