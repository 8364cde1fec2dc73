"""What the search loop needs of an evaluator. The loop never sees a tensor."""

from typing import Any, Protocol

from search_space.architecture import Architecture
from training.evaluation import Metrics

__all__ = ["Evaluator", "Metrics"]


class Evaluator(Protocol):
    """Scores candidates.

    A score is a function of the architecture and of `identity()`, never of what was scored before; so a killed search
    that is started again scores alike.
    """

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a score."""
        ...

    def prepare(self) -> None:
        """Does the work that all scores share, or goes on with it after a kill. Called once, before any score."""
        ...

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Metrics:
        """The candidate's metrics; `thorough` on all validation pictures, else on as many as rank the many."""
        ...
