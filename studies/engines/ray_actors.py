"""Candidates evaluated by Ray actors, side by side, on this machine or on a cluster; the search loop stays here."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from evaluators.base import Evaluator, metric_of
from foundation.errors import InputError
from foundation.metric import ACCURACY, Metric, checked, read_measured
from foundation.signals import raise_on_signals
from search_space.architecture import Architecture
from studies.engines.evaluation import Result
from studies.trials import Candidate, Claim, Failure, failure_reason

ROOM_SECONDS = 300.0
"""That a cluster may take to find a place for an actor; then the search goes on without it."""

MAX_RETRIES = 2
"""Times that a claim is given to another actor after its own has died; then it may be what kills them."""


class RayActors:
    """Evaluates by `count` actors, each of which makes the evaluator for itself.

    An actor that dies, alone or with its node, is replaced, and what it was evaluating is given to another.

    Args:
        make: makes the evaluator and prepares it; runs in every actor.
        metric: of what they evaluate.
        address: of a cluster; None for this machine alone.
        resources: what an actor needs: `num_cpus`, `num_gpus`.
        say: tells the user a line.

    Raises InputError where Ray is missing or cannot be reached, and if there is no room for a single actor.
    """

    whole = 1

    def __init__(
        self,
        make: Callable[[], Evaluator],
        count: int,
        *,
        metric: Metric = ACCURACY,
        address: str | None = None,
        resources: Mapping[str, float] | None = None,
        say: Callable[[str], None] = lambda line: None,
    ):
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError:
            raise InputError("`engine` ray: needs ray; pip install 'coordnas[ray]'") from None
        needs = {"num_cpus": 1.0, **(resources or {})}
        self._ray = ray
        self._metric = metric
        try:
            if not ray.is_initialized():
                local: dict[str, Any] = (
                    {"num_cpus": max(1, round(count * needs["num_cpus"])), "include_dashboard": False}
                    if address is None
                    else {}
                )
                # Without "local" Ray would join whatever cluster this machine has, or what is left of one.
                ray.init(address=address or "local", log_to_driver=False, **local)
                raise_on_signals()  # Ray takes TERM for itself
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"`engine` ray: {address or 'this machine'}: {failure_reason(error)}") from None
        self._make = make
        self._remote = ray.remote(**needs)(_Actor)
        self._needs = ", ".join(f"{value:g} {name.removeprefix('num_')}" for name, value in needs.items() if value)
        self._say = say
        self._waiting: list[tuple[Claim, int]] = []  # of actors that died, and how often so far
        self._idle = self._placed(count)
        if len(self._idle) < count:
            say(f"{len(self._idle)} of {count} Ray actors: there is no room for more of {self._needs} each")
        self._running: dict[Any, tuple[Claim, Any, int]] = {}  # by the reference of the result

    @property
    def room(self) -> int:
        """As many as actors are idle."""
        return max(0, len(self._idle) - len(self._waiting))

    def busy(self) -> bool:
        """Whether any actor is evaluating."""
        return bool(self._running or self._waiting)

    def begin(self, claims: Sequence[Claim]) -> None:
        """Gives each to an idle actor."""
        for claim in claims:
            self._give(claim, self._idle.pop(), 0)

    def finished(self) -> Iterator[Result]:
        """What has come back."""
        while self._waiting and self._idle:
            claim, retries = self._waiting.pop()
            self._give(claim, self._idle.pop(), retries)
        if not self._running:
            return
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        for reference in ready:
            claim, actor, retries = self._running.pop(reference)
            try:
                named = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                self._idle += self._placed(1, left=len(self._idle) + len(self._running))
                if retries < MAX_RETRIES:
                    self._waiting.append((claim, retries + 1))
                    continue
                yield (
                    claim,
                    Failure(claim.architecture, f"its actor died {retries + 1} times ({failure_reason(error)})"),
                )
            except self._ray.exceptions.RayTaskError as error:
                self._idle.append(actor)
                yield claim, Failure(claim.architecture, failure_reason(error.cause or error))
            else:
                self._idle.append(actor)
                yield claim, Candidate(claim.architecture, claim.cost, read_measured(self._metric, named))

    def close(self) -> None:
        """Ends the actors, and Ray on this machine."""
        self._ray.shutdown()

    def _placed(self, count: int, left: int = 0) -> list[Any]:
        """New actors for which there is room, at most `count`; raises InputError if there are none, and `left` is 0."""
        actors = [self._remote.remote(self._make) for _ in range(count)]
        alive = {actor.ready.remote(): actor for actor in actors}
        there, missing = self._ray.wait(list(alive), num_returns=count, timeout=ROOM_SECONDS)
        for reference in missing:
            self._ray.kill(alive[reference])
        if not there and not left:
            raise InputError(
                f"`engine` ray: no room within {ROOM_SECONDS:.0f} s for an actor of {self._needs}; "
                "lower `worker_gpus`, or add nodes"
            )
        return [alive[reference] for reference in there]

    def _give(self, claim: Claim, actor: Any, retries: int) -> None:
        self._running[actor.evaluate.remote(claim.architecture.to_json())] = claim, actor, retries


class _Actor:
    """An evaluator in a process of its own."""

    def __init__(self, make: Callable[[], Evaluator]):
        self._make = make
        self._evaluator: Evaluator | None = None

    def ready(self) -> None:
        """Nothing: that it answers says that it has a place."""

    def evaluate(self, architecture: str) -> dict[str, float]:
        if self._evaluator is None:
            self._evaluator = self._make()
        measured = self._evaluator.evaluate(Architecture.from_json(architecture))
        return checked(measured, metric_of(self._evaluator)).numbers()
