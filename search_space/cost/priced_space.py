"""A space with what its architectures cost, and the budget that they are to meet."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import Architecture
from search_space.cost.cost import Budget, Cost, measure
from search_space.cost.cost_table import CostTable, cost_table
from search_space.cost.latency import LatencyTable
from search_space.cost.sampling import BudgetTable, Rng, below, budget_table
from search_space.head import ClassifierHead, Head, as_head, read_head
from search_space.space import SearchSpace


@dataclass(frozen=True)
class PricedSpace:
    """A space whose costs are known, and a budget within which its architectures are counted and drawn.

    Attributes:
        space: which architectures there are.
        num_classes: of the classifier, which costs as well; or a task's head.
        latency: what latencies are summed from; without one they are 0.
        budget: bounds nothing by default.

    Raises InputError for a number of classes out of range.
    """

    space: SearchSpace
    num_classes: Head | int = 1000
    latency: LatencyTable | None = field(default=None, repr=False)
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        if isinstance(self.head, ClassifierHead):  # one way to say it: spaces are compared
            object.__setattr__(self, "num_classes", self.head.num_classes)

    @cached_property
    def head(self) -> Head:
        """The head of every network."""
        return as_head(self.num_classes)

    def within(self, budget: Budget) -> Self:
        """The same prices with another budget."""
        return replace(self, budget=budget)

    @property
    def unbounded(self) -> Self:
        """The same prices without a budget."""
        return self.within(Budget())

    def cost(self, architecture: Architecture) -> Cost:
        """What an architecture costs, of the space or not."""
        try:
            return self.costs.cost(architecture)
        except (KeyError, ValueError):
            return measure(architecture, self.num_classes, self.latency)

    def allows(self, architecture: Architecture) -> bool:
        """Whether it is within the budget."""
        return self.budget.allows(self.cost(architecture))

    @cached_property
    def costs(self) -> CostTable:
        """The costs of all that the space holds; spaces of other budgets share it."""
        return cost_table(self.space, self.head, self.latency)

    @property
    def table(self) -> BudgetTable:
        """What counts and draws. Raises InputError, naming the smallest network, if nothing is within the budget."""
        return budget_table(self.costs, self.budget)

    def count(self) -> tuple[int, int]:
        """A lower and an upper bound on the number of architectures within the budget, equal where the count is exact.

        Without a budget it always is; with one, up to the table's resolution of the tightest bound.
        """
        return self.table.count()

    def sample(self, rng: Rng) -> Architecture:
        """An architecture drawn uniformly from those within the budget.

        Of spaces that are searched together each is drawn from as often as the others: else the one that happens to
        hold most architectures would be all that is seen. `rng` is a random.Random or a numpy Generator. Raises
        InputError if no architecture meets the budget.
        """
        if len(self.space.members) == 1:
            return self.table.sample(rng)
        return self.apart[below(rng, len(self.apart))].sample(rng)

    @cached_property
    def apart(self) -> "tuple[PricedSpace, ...]":
        """Of several spaces each by itself that has an architecture within the budget; of one, itself."""
        if len(self.space.members) == 1:
            return (self,)
        _ = self.table  # raises for a budget that none meets
        found = []
        for member in self.space.members:
            priced = PricedSpace(member, self.num_classes, self.latency, self.budget)
            try:
                _ = priced.table
            except InputError:
                continue
            found.append(priced)
        return tuple(found)

    @cached_property
    def smallest(self) -> Architecture:
        """The architecture of the fewest MACs, whatever the budget."""
        return self.cheapest("macs")

    @cached_property
    def largest(self) -> Architecture:
        """The architecture of the most MACs, whatever the budget."""
        return self.cheapest("macs", sign=-1)

    def cheapest(self, measure_name: str, sign: int = 1) -> Architecture:
        """The architecture with the lowest (`sign=-1`: highest) `macs`, `params` or `latency_ns`."""
        return self.costs.cheapest(measure_name, sign)

    def to_dict(self) -> dict[str, Any]:
        """The space and its number of classes, or its other head, in plain values; neither latencies nor the budget."""
        if isinstance(self.num_classes, int):
            return {**self.space.to_dict(), "num_classes": self.num_classes}
        return {**self.space.to_dict(), "head": self.head.to_dict()}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """What `to_dict` described. Raises InputError if it is none."""
        if not isinstance(data, dict):
            raise InputError(f"not a search space: {shown(data)}")
        described = {**data}
        num_classes = described.pop("num_classes", 1000)
        head = read_head(described.pop("head")) if "head" in described else num_classes
        return cls(SearchSpace.from_dict(described), head)
