"""What the search loop needs of an evaluator. The loop never sees a tensor."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, SupportsFloat, TypeVar, cast, runtime_checkable

from evaluators.halving import Halving
from foundation import distributed
from foundation.errors import InputError
from search_space.architecture import Architecture
from training.evaluation import Metrics

__all__ = [
    "CollectiveEvaluator",
    "Evaluator",
    "Metrics",
    "Score",
    "StagedEvaluator",
    "checked",
    "number",
    "numbers",
    "prepare",
    "read_numbers",
]

MOST = 1e6
"""Beyond it no accuracy is read: one of a user's own may be in percent, and none is larger."""


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
    """The opposite of `numbers`. Raises KeyError, TypeError or InputError where they are not what `objective` needs."""
    names = Metrics._fields if objective == "accuracy" else (objective,)
    values = [named[name] for name in names]
    if not all(type(value) is float for value in values):
        raise TypeError(f"{', '.join(names)}: expected numbers")
    if objective == "accuracy" and not abs(values[0]) <= MOST:  # a NaN is not
        raise InputError(f"accuracy: expected a share from 0 to 1, got {values[0]}")
    return Metrics(*values) if objective == "accuracy" else Score(objective, *values)


_Result = TypeVar("_Result", bound=Metrics | Score)


def checked(result: _Result) -> _Result:
    """What an evaluator returned, as floats. Raises InputError, naming it, for what is no finite number."""
    named = result._asdict()
    what = named.pop("name", None)
    for name, value in named.items():
        if not isinstance(value, SupportsFloat) or not math.isfinite(value):
            raise InputError(f"{what or name}: expected a finite number, got {value!r}")
        named[name] = float(value)
    return cast(_Result, result._replace(**named))


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

    def rung(self, architecture: Architecture, rung: int) -> Metrics:
        """The candidate's metrics after a rung (from 0), which goes on from where the rung before ended.

        A function of the architecture and the rung, also after a kill; what is known already is not trained again.
        """
        ...

    def drop(self, architecture: Architecture) -> None:
        """The candidate takes no further rung."""
        ...
