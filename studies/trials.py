"""The records that pass between a study and the search loop."""

from dataclasses import dataclass
from typing import Any, Protocol

from evaluators.base import Metrics, Score, number
from search_space.architecture import Architecture
from search_space.cost import Cost


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture.

    Attributes:
        rungs: accuracy after each rung of training, where there are rungs; the last is that of `metrics`.
    """

    architecture: Architecture
    cost: Cost
    metrics: Metrics | Score
    rungs: tuple[float, ...] = ()

    @property
    def score(self) -> float:
        """What candidates are ranked by: the accuracy, or a score's value."""
        return number(self.metrics)

    @property
    def merit(self) -> tuple[float, int, int, str]:
        """Sorts the best first: most accurate, then fewest MACs, fewest parameters, lowest digest."""
        return (-self.score, self.cost.macs, self.cost.params, self.architecture.digest())


class Proposal(Protocol):
    """An architecture that a study asks to have evaluated."""

    @property
    def architecture(self) -> Architecture: ...


class Study(Protocol):
    """Proposes architectures and remembers what became of them.

    A proposal is a function of the run's seed and of what the study was told and asked so far; a proposal that was
    never told leaves no trace.
    """

    def keep_whole(self, generation: int) -> None:
        """Forgets what was told of a generation of so many candidates that was not told to its end.

        Asked as before it proposes as before, and is told the same. Called before anything else.
        """
        ...

    def candidates(self) -> list[Candidate]:
        """Every evaluated candidate, in the order they were told."""
        ...

    def told(self) -> int:
        """Number of proposals told so far, evaluated or rejected."""
        ...

    def rejected_in_a_row(self) -> int:
        """Number of proposals rejected since the last one that was evaluated."""
        ...

    def ask(self) -> Any:
        """The sampler's next proposal."""
        ...

    def propose(self, architecture: Architecture) -> Any:
        """A proposal of this architecture, as if the sampler had made it."""
        ...

    def reject(self, proposal: Any, reason: str, excess: float) -> None:
        """Tells that the proposal is not evaluated; `excess` is how far over the budget it is, as a fraction."""
        ...

    def accept(self, proposal: Any, candidate: Candidate, excess: float) -> None:
        """Tells what the proposal was worth."""
        ...
