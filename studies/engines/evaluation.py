"""Where claimed candidates are evaluated: here, one after the other, or side by side by another engine."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from evaluators.base import Evaluator, StagedEvaluator, metric_of
from foundation.files import no_room_left
from foundation.metric import checked
from foundation.progress import Reporter
from studies.halving import halve
from studies.trials import Candidate, Claim, Failure, failure_reason

Result = tuple[Claim, Candidate | Failure]


class Engine(Protocol):
    """Evaluates claims."""

    @property
    def room(self) -> int:
        """How many more claims it takes just now."""
        ...

    @property
    def whole(self) -> int:
        """How many claims belong together: those of a generation that competes; else 1."""
        ...

    def begin(self, claims: Sequence[Claim]) -> None:
        """Takes them on: at most `room`."""
        ...

    def finished(self) -> Iterator[Result]:
        """What has been evaluated; waits for one at least, if any has been taken on."""
        ...

    def busy(self) -> bool:
        """Whether claims have been taken on and not given back."""
        ...


class Here:
    """In this process, in order; a generation of a staged evaluator by successive halving."""

    def __init__(self, evaluator: Evaluator, reporter: Reporter):
        self.evaluator = evaluator
        self.reporter = reporter
        self._claims: list[Claim] = []

    @property
    def whole(self) -> int:
        """The generation, of a staged evaluator."""
        return self.evaluator.halving.generation if isinstance(self.evaluator, StagedEvaluator) else 1

    @property
    def room(self) -> int:
        """A generation, or one."""
        return self.whole - len(self._claims)

    def busy(self) -> bool:
        """Whether claims wait."""
        return bool(self._claims)

    def begin(self, claims: Sequence[Claim]) -> None:
        """Keeps them for `finished`."""
        self._claims += claims

    def finished(self) -> Iterator[Result]:
        """Evaluates them, and gives them back in order."""
        claims, self._claims = self._claims, []
        if isinstance(self.evaluator, StagedEvaluator):
            entrants = [(claim.architecture, claim.cost) for claim in claims]
            yield from zip(claims, halve(entrants, self.evaluator, self.reporter), strict=True)
            return
        for claim in claims:
            try:
                measured = checked(self.evaluator.evaluate(claim.architecture), metric_of(self.evaluator))
            except Exception as error:
                if no_room_left(error):
                    raise
                yield claim, Failure(claim.architecture, failure_reason(error))
            else:
                yield claim, Candidate(claim.architecture, claim.cost, measured)
