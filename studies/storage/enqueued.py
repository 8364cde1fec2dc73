"""Trials that a user queued by Optuna's own `study.enqueue_trial`, from another process or the dashboard.

A queued trial's architecture is evaluated as any other one, by a trial of the search's own, which the sampler learns
from and a killed run replays. Then the queued trial is completed with the same values. So nothing depends on where in
the study it stood; and an architecture that was evaluated before is not evaluated twice.
"""

import itertools
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from foundation.amounts import with_unit
from foundation.errors import InputError
from search_space.architecture import Architecture
from studies.samplers.base import Goal, Proposal
from studies.storage.bulk_reading import Waiting, read_waiting, uncached
from studies.storage.parameter_names import name_in_study, parameters
from studies.storage.storages import patiently
from studies.trials import Candidate

EVALUATED_AS, REFUSED = "evaluated_as", "refused"
"""Attributes of a queued trial that has ended: the digest of its architecture, or why it was not evaluated."""


class Enqueued:
    """The queue of a study.

    Args:
        first: the number of the first stage in its parameters.
        say: is told, in a line, what is not evaluated.
    """

    def __init__(self, storage: BaseStorage, study_id: int, goal: Goal, first: int, say: Callable[[str], None]):
        self._storage = uncached(storage)
        self._study_id = study_id
        self._goal = goal
        self._first = first
        self._say = say
        self._proposals: deque[Proposal] = deque()

    def __len__(self) -> int:
        return len(self._proposals)

    def next(self, known: Callable[[str], bool]) -> Proposal | None:
        """The first in the queue that is not known by now; None if there is none."""
        while self._proposals:
            proposal = self._proposals.popleft()
            if not known(proposal.architecture.digest()):
                return proposal
        return None

    def look(
        self,
        known: Callable[[str], bool],
        running: Collection[str],
        candidates: Sequence[Candidate],
        only: Sequence[Mapping[str, Any]] | None,
    ) -> None:
        """Reads the queue, and ends the trials in it of which it is known what they come to.

        Args:
            known: whether an architecture of that digest has been evaluated, has failed, or is being evaluated.
            running: digests of those that are being evaluated.
            candidates: what has been evaluated.
            only: the parameters of what may be proposed; None for any.
        """
        self._proposals.clear()
        for trial in patiently(lambda: read_waiting(self._storage, self._study_id)):
            try:
                architecture = self._architecture(trial.params)
            except InputError as error:
                self._end(trial, None, str(error))
                continue
            digest = architecture.digest()
            if not known(digest):
                if only is None or trial.params in only:
                    self._proposals.append(Proposal(architecture))
            elif digest not in running:
                found = next((one for one in candidates if one.architecture.digest() == digest), None)
                self._end(trial, found, "its evaluation has failed before")

    def _architecture(self, params: Mapping[str, Any]) -> Architecture:
        """Raises InputError for parameters that are not the decisions of an architecture within the budget."""
        goal, left = self._goal, dict(params)

        def choose(name: str, options: Sequence[Any]) -> Any:
            name = name_in_study(name, self._first)
            if name not in left:
                raise InputError(f"{name} is missing: one of {', '.join(map(str, options))}")
            value = left.pop(name)
            if value not in options:
                raise InputError(f"{name} is {value!r}: expected one of {', '.join(map(str, options))}")
            return options[list(options).index(value)]

        architecture = goal.space.assemble(choose)
        if left:
            raise InputError(f"{next(iter(left))} is nothing that is decided for this architecture; leave it out")
        cost = goal.priced.cost(architecture)
        if goal.budget.excess(cost) > 0:
            costs = ", ".join(with_unit(name, getattr(cost, name)) for name, _ in goal.budget.bounds())
            raise InputError(f"{costs}: over the budget of {goal.budget}")
        return architecture

    def _end(self, trial: Waiting, candidate: Candidate | None, reason: str) -> None:
        """Completes the trial with the candidate's values, or lets it fail for the reason, and says so."""
        storage, attempts = self._storage, itertools.count()
        values: list[float] | None = None
        state, note = TrialState.FAIL, (REFUSED, reason)
        params: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        if candidate is not None:
            params, distributions = parameters(self._goal, candidate.architecture, self._first)
            values = [candidate.score, *(float(getattr(candidate.cost, name)) for name in self._goal.costs)]
            state, note = TrialState.COMPLETE, (EVALUATED_AS, candidate.architecture.digest())

        def end() -> bool:
            for name, distribution in distributions.items():
                value = distribution.to_internal_repr(params[name])
                storage.set_trial_param(trial.trial_id, name, value, distribution)
            storage.set_trial_user_attr(trial.trial_id, *note)
            # Optuna wants a trial to have run; of several processes one begins it, at its first attempt.
            if not storage.set_trial_state_values(trial.trial_id, TrialState.RUNNING) and not next(attempts):
                return False
            return storage.set_trial_state_values(trial.trial_id, state, values)

        try:
            ended = patiently(end)
        except UpdateFinishedTrialError:  # by another process
            return
        if ended and candidate is None:
            self._say(f"enqueued trial {trial.number}: not evaluated: {reason}")
