"""What an architecture costs, counted and not guessed.

MACs are multiply-accumulates of convolutions and linear layers for one square image, from torch's own dispatch-level
counter, run once for each distinct part on the meta device; an architecture's cost is a sum over a table.
"""

import functools
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from search_space.architecture import Architecture
from search_space.blocks import LinearPart, Part
from search_space.errors import InputError
from search_space.network import parts


@dataclass(frozen=True, order=True)
class Cost:
    """MACs for one image, and trainable parameters. Plain integers."""

    macs: int = 0
    params: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.params + other.params)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.macs - other.macs, self.params - other.params)


@dataclass(frozen=True)
class Budget:
    """Upper bounds, inclusive; None where a cost is free."""

    max_macs: int | None = None
    max_params: int | None = None

    def __post_init__(self) -> None:
        for name, bound in (("max_macs", self.max_macs), ("max_params", self.max_params)):
            if bound is not None and (type(bound) is not int or bound < 1):
                raise InputError(f"{name}: expected a positive integer, got {bound!r}")

    def bounds(self) -> list[tuple[str, int]]:
        """The bounded costs: the Cost field's name and its bound."""
        named = (("macs", self.max_macs), ("params", self.max_params))
        return [(name, bound) for name, bound in named if bound is not None]

    def excess(self, cost: Cost) -> float:
        """How far over the budget, as a fraction of it: at most 0 exactly if every bound holds."""
        return max(((getattr(cost, name) - bound) / bound for name, bound in self.bounds()), default=0.0)

    def allows(self, cost: Cost) -> bool:
        """Whether every bound holds."""
        return all(getattr(cost, name) <= bound for name, bound in self.bounds())

    def __str__(self) -> str:
        units = {"macs": "MACs", "params": "parameters"}
        return " and ".join(f"{human(bound)} {units[name]}" for name, bound in self.bounds()) or "no bound"


@functools.lru_cache(maxsize=1 << 18)
def part_cost(part: Part, size: int) -> Cost:
    """Cost of one part on an input of `size`×`size` pixels (the classifier sees the mean over the map)."""
    with torch.device("meta"):
        module = part.create().eval()
        if isinstance(part, LinearPart):
            x = torch.empty(1, part.in_features)
        else:
            x = torch.empty(1, part.in_channels, size, size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    return Cost(counter.get_total_flops() // 2, sum(parameter.numel() for parameter in module.parameters()))


def measure(architecture: Architecture, num_classes: int = 1000) -> Cost:
    """Cost of the architecture at its own resolution, as a sum over the table of its parts."""
    total = Cost()
    size = architecture.resolution
    for _, part in parts(architecture, num_classes):
        total += part_cost(part, size)
        size = part.output_size(size)
    return total


def human(count: int) -> str:
    """A count as people read it: 300.8M, 3.51M, 64.1k."""
    for factor, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= factor:
            value = count / factor
            return f"{value:.2f}{unit}" if value < 10 else f"{value:.1f}{unit}"
    return str(count)
