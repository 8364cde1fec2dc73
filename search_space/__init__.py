"""What can be built, and what it costs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.errors import InputError
    from search_space.architecture import Architecture, Attention
    from search_space.cost.cost import Budget, Cost, measure
    from search_space.cost.priced_space import PricedSpace
    from search_space.families.mobile.architecture import Stage
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
    "Architecture": "search_space.architecture",
    "Attention": "search_space.architecture",
    "Stage": "search_space.families.mobile.architecture",
    "Budget": "search_space.cost.cost",
    "Cost": "search_space.cost.cost",
    "measure": "search_space.cost.cost",
    "InputError": "foundation.errors",
    "PricedSpace": "search_space.cost.priced_space",
    "Network": "search_space.network",
    "build": "search_space.network",
    "SearchSpace": "search_space.space",
}


def __getattr__(name: str) -> Any:
    """Imported when first asked for: most of it needs torch, and a command's help does not wait for that."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FROM[name]), name)
