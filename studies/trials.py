"""The records that pass between a study and the search loop."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from foundation.metric import Measured
from search_space.architecture import Architecture
from search_space.cost.cost import Cost
from studies.samplers.base import Goal, Proposal


@dataclass(frozen=True)
class Candidate:
    """An evaluated architecture.

    Attributes:
        measured: what it came to.
        rungs: the value after each rung of training, where there are rungs; the last is that of `measured`.
    """

    architecture: Architecture
    cost: Cost
    measured: Measured
    rungs: tuple[float, ...] = ()

    @property
    def score(self) -> float:
        """The value of what candidates are ranked by, whichever way is better."""
        return self.measured.value

    @property
    def merit(self) -> tuple[float, int, int, str]:
        """Sorts the best first: best score, then fewest MACs, fewest parameters, lowest digest."""
        return (-self.measured.merit, self.cost.macs, self.cost.params, self.architecture.digest())


@dataclass(frozen=True)
class Failure:
    """An architecture whose evaluation failed, and why."""

    architecture: Architecture
    reason: str


def failure_reason(error: Exception) -> str:
    """Why an evaluation failed, in a line: with the kind of the error, unless its text is meant for the user."""
    words = (str(error).splitlines() or [""])[0]
    kind = type(error).__name__
    return words if kind in ("InputError", "DivergedError") else f"{kind}: {words}" if words else kind


@dataclass(frozen=True)
class Claim:
    """A proposal that this process evaluates, and no other.

    Attributes:
        trial_id: of the storage's running trial, where several processes share a study.
    """

    proposal: Proposal
    cost: Cost
    trial_id: int | None = None
    started: datetime = field(default_factory=datetime.now)

    @property
    def architecture(self) -> Architecture:
        """What is evaluated."""
        return self.proposal.architecture


class Study(Protocol):
    """Proposes architectures and remembers what became of them.

    A proposal is a function of the run's seed and of what the study was told; a claim that was never told leaves no
    trace. Where several processes share a study, it depends on when each is told as well.
    """

    @property
    def goal(self) -> Goal:
        """What is proposed for."""
        ...

    @property
    def asks(self) -> int:
        """Proposals in a row that may be rejected, before one is drawn from the budget."""
        ...

    def keep_whole(self, generation: int) -> None:
        """Forgets what was told of a generation of so many candidates that was not told to its end.

        Asked as before it proposes as before, and is told the same. Called before anything else.
        """
        ...

    def refresh(self) -> None:
        """Takes in what other processes told, and what a user queued."""
        ...

    def candidates(self) -> list[Candidate]:
        """Every evaluated candidate, in the order they were told."""
        ...

    def told(self) -> int:
        """Number of proposals told so far, evaluated or not."""
        ...

    def turn(self) -> int:
        """A number for the next proposal's random numbers that no other proposal of the search has had."""
        ...

    def rejected_in_a_row(self) -> int:
        """Number of proposals rejected since the last one that was not."""
        ...

    def running(self) -> Sequence[str]:
        """Digests of what is being evaluated, here or by another process that is alive."""
        ...

    def known(self, digest: str) -> bool:
        """Whether an architecture has been evaluated, has failed, or is being evaluated."""
        ...

    def orphan(self) -> Proposal | None:
        """A proposal whose process was lost before it told; None if there is none."""
        ...

    def queued(self) -> Proposal | None:
        """The next proposal that a user queued; None if there is none."""
        ...

    def waiting(self) -> int:
        """How many proposals of a user's wait in the queue."""
        ...

    def ask(self) -> Proposal:
        """The sampler's next proposal."""
        ...

    def reject(self, proposal: Proposal, reason: str) -> None:
        """Tells that the proposal is not evaluated."""
        ...

    def claim(self, proposal: Proposal, limit: int | None) -> Claim | None:
        """The right to evaluate it; None if another process has that, or if there are `limit` candidates already."""
        ...

    def accept(self, claim: Claim, candidate: Candidate) -> None:
        """Tells what the claimed proposal was worth."""
        ...

    def fail(self, claim: Claim, reason: str) -> None:
        """Tells that the evaluation failed, and why."""
        ...
