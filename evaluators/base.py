"""What the search loop needs of an evaluator. The loop never sees a tensor."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from search_space.architecture import Architecture
from training.evaluation import Metrics

__all__ = ["Evaluator", "Metrics", "Score", "number", "numbers", "read_numbers"]


class Score(NamedTuple):
    """A number that ranks candidates and is no accuracy: what it is, and its value, the higher the better."""

    name: str
    value: float


def number(metrics: Metrics | Score) -> float:
    """What ranks candidates, the higher the better."""
    return metrics.value if isinstance(metrics, Score) else metrics.accuracy


def numbers(metrics: Metrics | Score) -> dict[str, float]:
    """The metrics by name."""
    return {metrics.name: metrics.value} if isinstance(metrics, Score) else metrics._asdict()


def read_numbers(objective: str, named: Mapping[str, Any]) -> Metrics | Score:
    """The opposite of `numbers`. Raises KeyError or TypeError where they are not what `objective` needs."""
    names = Metrics._fields if objective == "accuracy" else (objective,)
    values = [named[name] for name in names]
    if not all(type(value) is float for value in values):
        raise TypeError(f"{', '.join(names)}: expected numbers")
    return Metrics(*values) if objective == "accuracy" else Score(objective, *values)


class Evaluator(Protocol):
    """Scores candidates.

    A score is a function of the architecture and of `identity()`, never of what was scored before; so a killed search
    that is started again scores alike.
    """

    @property
    def objective(self) -> str:
        """What ranks the candidates: `accuracy`, or a score's name."""
        ...

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a score."""
        ...

    def about(self) -> str:
        """What is going to be done, in a line for the user who waits for it."""
        ...

    def prepare(self) -> None:
        """Does the work that all scores share, or goes on with it after a kill. Called once, before any score."""
        ...

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Metrics | Score:
        """The candidate's metrics; `thorough` on all validation pictures, else on as many as rank the many."""
        ...
