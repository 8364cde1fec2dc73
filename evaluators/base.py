"""What the search loop needs of an evaluator. The loop never sees a tensor."""

from collections.abc import Iterator
from typing import Any, Protocol, cast, runtime_checkable

from evaluators.halving import Halving
from foundation import distributed
from foundation.errors import InputError
from foundation.metric import ACCURACY, Measured, Metric, metric
from search_space.architecture import Architecture

__all__ = [
    "CollectiveEvaluator",
    "Evaluator",
    "Measured",
    "Metric",
    "Metrics",
    "Score",
    "StagedEvaluator",
    "adopted",
    "prepare",
]


class Metrics(Measured):
    """Top-1 accuracy in 0 to 1, and mean cross-entropy in nats: what evaluators of before there were metrics return."""

    def __init__(self, accuracy: float, loss: float):
        super().__init__(ACCURACY, accuracy, {"loss": loss})

    def __iter__(self) -> Iterator[float]:
        return iter((self.accuracy, self.loss))

    @property
    def accuracy(self) -> float:
        """The value."""
        return self.value

    @property
    def loss(self) -> float:
        """What is measured beside it."""
        return self.beside["loss"]


class Score(Measured):
    """The value of the metric of that name; of an unknown one a number without a unit, the higher the better."""

    def __init__(self, name: str, value: float):
        super().__init__(metric(name), value)

    @property
    def name(self) -> str:
        """The metric's."""
        return self.metric.name


class Evaluator(Protocol):
    """Scores candidates.

    A score is a function of the architecture and of `identity()`, never of what was scored before; so a killed search
    that is started again scores alike.
    """

    @property
    def metric(self) -> Metric:
        """What ranks the candidates: of all that is measured."""
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

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        """What the candidate comes to; `thorough` on all validation pictures, else on as many as rank the many."""
        ...


def adopted(evaluator: Any) -> Evaluator:
    """The evaluator; one of a user's own that names what it ranks by, as `objective`, gets the metric of that name."""
    if not hasattr(evaluator, "metric"):
        try:
            object.__setattr__(evaluator, "metric", metric(evaluator.objective))  # also of a frozen dataclass
        except AttributeError:
            kind = type(evaluator).__name__
            raise InputError(f"evaluator {kind}: says no metric; give it one (docs/evaluator.md)") from None
    return cast(Evaluator, evaluator)


@runtime_checkable
class CollectiveEvaluator(Evaluator, Protocol):
    """One whose shared work is done by all processes that train together (`foundation.distributed`)."""

    def prepare_together(self) -> object:
        """That work, which every process calls, before the first alone calls `prepare`."""
        ...


def prepare(evaluator: Evaluator) -> None:
    """Prepares an evaluator: what all processes do together by all of them, the rest by the first alone.

    The processes have left each other afterwards; the first can score.
    """
    first = distributed.rank() == 0
    if isinstance(evaluator, CollectiveEvaluator):
        evaluator.prepare_together()
    # Now and not after the first one's lone work: on GPUs leaving is done by all together.
    distributed.leave()
    if first:
        evaluator.prepare()


@runtime_checkable
class StagedEvaluator(Evaluator, Protocol):
    """Scores candidates by rungs of training, of which the search loop has only the promising take the next."""

    @property
    def halving(self) -> Halving:
        """Rungs and promotions."""
        ...

    def rung(self, architecture: Architecture, rung: int) -> Measured:
        """The candidate's value after a rung (from 0), which goes on from where the rung before ended.

        A function of the architecture and the rung, also after a kill; what is known already is not trained again.
        """
        ...

    def drop(self, architecture: Architecture) -> None:
        """The candidate takes no further rung."""
        ...
