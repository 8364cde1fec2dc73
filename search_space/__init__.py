"""What can be built, and what it costs."""

from search_space.architecture import Architecture, Attention, Stage
from search_space.cost import Budget, Cost, measure
from search_space.errors import InputError
from search_space.network import Network, build

__all__ = ["Architecture", "Attention", "Budget", "Cost", "InputError", "Network", "Stage", "build", "measure"]
