"""What can be built, and what it costs."""

from search_space import attention, backbones, further_attention
from search_space.architecture import Architecture, Attention, Stage
from search_space.cost import Budget, Cost, measure
from search_space.errors import InputError
from search_space.network import Network, build
from search_space.priced_space import PricedSpace
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
    "attention",
    "backbones",
    "build",
    "further_attention",
    "measure",
]
