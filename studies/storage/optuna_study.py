"""A study kept in Optuna storage, where the dashboard reads it.

Alone in its folder, a process writes each trial once, whole, when it has been told: a kill leaves no half-told trial,
and what is proposed depends on nothing but the seed and the trials told. Where several processes share a study, an
architecture is claimed before it is evaluated: by a running trial with its digest, written in one transaction, so that
its number says who came first. A process that is lost is known by its lease (`studies.storage.leases`), and its
architecture is claimed again by another.

What the sampler learns from is kept in memory: proposing does not slow down with the storage. A proposal that was not
evaluated, being over the budget or a repeat, is no trial of its own: the next trial has an attribute that lists them.
"""

import random
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from foundation.errors import InputError, first_line
from foundation.files import no_room_left
from search_space.architecture import Architecture
from studies.runs.identity import IN_PLACES, Asked
from studies.samplers.base import REJECTIONS, Goal, Proposal, Sampler, Told
from studies.storage.bulk_reading import read_trials
from studies.storage.enqueued import Enqueued
from studies.storage.leases import ATTRIBUTE as LEASE
from studies.storage.leases import SECONDS, Leases
from studies.storage.opening import opened_study
from studies.storage.parameter_names import counted_from
from studies.storage.records import (
    brief,
    check_names,
    described,
    is_ours,
    new_trial,
    numbers_beside,
    occupies,
    read_brief,
    read_briefs,
    read_cost,
    read_proposal,
    read_told,
    stored_values,
)
from studies.storage.storages import close_storage, collecting_later, is_away, patiently, without_password
from studies.storage.storing import end_trial, store
from studies.storage.study_names import FORMER
from studies.trials import Candidate, Claim

MAX_RETRIES = 2
"""Times that an architecture is claimed again after its process was lost; then it may be what kills them."""


class OptunaStudy:
    """Opens the study in `storage`, or makes it.

    Args:
        sampler: proposes; its goal says for what.
        name: of the study in its storage.
        own: whether the storage is the run's own, where a study by another name is the run's too.
        identity: what makes two runs the same; a study of another identity is refused, naming the first difference.
        asked: in whose words.
        shared: whether other processes may work on the study as well.
        lease: seconds without a sign after which another process's trial counts as lost.
        say: is told, in a line, what was queued by a user and is not evaluated.
    """

    def __init__(
        self,
        sampler: Sampler,
        storage: str,
        *,
        name: str = FORMER,
        own: bool = False,
        identity: Mapping[str, Any] | None = None,
        asked: Asked = IN_PLACES,
        shared: bool = False,
        lease: float = SECONDS,
        say: Callable[[str], None] = lambda line: None,
    ):
        check_names(sampler.goal.metric)
        self.sampler = sampler
        self.shared = shared
        # Processes that share a study and know the same would propose the same, and only one of them could have it.
        self._first_turn = random.SystemRandom().getrandbits(48) if shared else 0
        self._told: list[Told] = []
        self._rejected: list[Told] = []  # since a trial was stored
        self._in_a_row = 0  # rejected since the last proposal that was not
        self._candidates: list[Candidate] = []
        self._digests: set[str] = set()  # evaluated or failed
        self._claims: dict[str, Claim] = {}
        self._elsewhere: dict[str, FrozenTrial] = {}  # running in other processes, by digest
        self._lost: deque[FrozenTrial] = deque()
        self._predecessors: dict[str, FrozenTrial] = {}  # of claims, by digest: the trials of lost processes
        self._taken: set[int] = set()  # numbers of the stored trials that have been taken in
        self._untold: deque[FrozenTrial] = deque()
        self._leases: Leases | None = None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            with collecting_later():
                study = opened_study(storage, name, self.goal, identity, asked, own=own)
                self._storage, self._study_id = study._storage, study._study_id
                self._first = counted_from(study)
                self._take_in(read_trials(self._storage, self._study_id))
        except InputError as error:
            if str(error).startswith(("trial ", "attribute ")):
                raise InputError(f"{without_password(storage)}: {error}; use another `out`") from None
            raise
        except Exception as error:
            if no_room_left(error):
                raise
            if is_away(error) and not storage.startswith("sqlite"):
                raise InputError(f"{without_password(storage)}: cannot be reached ({first_line(error)})") from None
            if isinstance(error, OSError | ImportError):
                raise
            # A database of another program, or of another version of Optuna, raises nearly anything.
            raise InputError(
                f"{without_password(storage)}: not this run's study ({first_line(error)}); move it away, or "
                "use another `out`"
            ) from None
        self._enqueued = Enqueued(self._storage, self._study_id, self.goal, self._first, say)
        if shared:
            self._leases = Leases(self._storage, self._study_id, lease)
            self._leases.beat()

    @property
    def goal(self) -> Goal:
        """What is proposed for."""
        return self.sampler.goal

    @property
    def asks(self) -> int:
        """Proposals in a row that may be rejected, before one is drawn from the budget."""
        return self.sampler.asks

    def close(self) -> None:
        """Ends what runs beside the search, and gives up the storage."""
        if self._leases is not None:
            self._leases.close()
        close_storage(self._storage)

    # What is known

    def keep_whole(self, generation: int) -> None:
        """Forgets what was told of a generation of so many candidates that was not told to its end.

        Its trials stay in the storage, and are not written a second time.
        """
        if generation == 1 or self.shared:
            return
        stored = [trial for trial in self._storage.get_all_trials(self._study_id, deepcopy=False) if is_ours(trial)]
        kept = len(stored) // generation * generation
        self._told, self._candidates, self._digests = [], [], set()
        self.sampler = type(self.sampler)(self.goal)
        for trial in stored[:kept]:
            self._take(trial)
        self._untold = deque(stored[kept:])

    def refresh(self) -> None:
        """Takes in what other processes told, and what a user queued."""
        if self.shared:
            self._take_in(patiently(lambda: self._storage.get_all_trials(self._study_id, deepcopy=False)))
        # A generation that was not told to its end had no part of what was queued since.
        only = [trial.params for trial in self._untold] if self._untold else None
        self._enqueued.look(self.known, self.running(), self._candidates, only)

    def candidates(self) -> list[Candidate]:
        """Every evaluated candidate, in the order they were told."""
        return list(self._candidates)

    def numbers(self) -> dict[str, int]:
        """The numbers of the evaluated trials, by their architectures' digests."""
        known = {candidate.architecture.digest() for candidate in self._candidates}
        trials = patiently(lambda: read_trials(self._storage, self._study_id))
        ended = ((t.user_attrs.get("digest"), t) for t in trials if t.state == TrialState.COMPLETE and is_ours(t))
        return {digest: t.number for digest, t in ended if isinstance(digest, str) and digest in known}

    def told(self) -> int:
        """Number of proposals told so far, evaluated or not."""
        return len(self._told)

    def turn(self) -> int:
        """A number for the next proposal's random numbers that no other proposal of the search has had."""
        return self._first_turn + len(self._told) + len(self.running())

    def rejected_in_a_row(self) -> int:
        """Number of proposals rejected since the last one that was not."""
        return self._in_a_row

    def running(self) -> Sequence[str]:
        """Digests of what is being evaluated, here or by another process that is alive."""
        return [*self._claims, *self._elsewhere]

    def known(self, digest: str) -> bool:
        """Whether an architecture has been evaluated, has failed, or is being evaluated."""
        return digest in self._digests or digest in self._claims or digest in self._elsewhere

    # What is proposed, and what becomes of it

    def orphan(self) -> Proposal | None:
        """A proposal whose process was lost before it told; None if there is none."""
        while self._lost:
            trial = self._lost.popleft()
            digest = trial.user_attrs["digest"]
            if self.known(digest):
                self._end_lost(trial)
            elif trial.user_attrs.get("retries", 0) >= MAX_RETRIES:
                reason = f"its process was lost {MAX_RETRIES + 1} times"
                if self._end_lost(trial, failed=reason):
                    excess = trial.constraints["budget"]
                    self._tell(Told(read_proposal(trial), read_cost(trial), None, excess, f"failed: {reason}"))
            else:
                self._predecessors[digest] = trial
                return read_proposal(trial)
        return None

    def queued(self) -> Proposal | None:
        """The next proposal that a user queued; None if there is none."""
        return self._enqueued.next(self.known)

    def waiting(self) -> int:
        """How many proposals of a user's wait in the queue."""
        return len(self._enqueued)

    def ask(self) -> Proposal:
        """The sampler's next proposal."""
        running = [claim.architecture for claim in self._claims.values()]
        running += [Architecture.from_json(trial.user_attrs["architecture"]) for trial in self._elsewhere.values()]
        return self.sampler.propose(self.turn(), running)

    def reject(self, proposal: Proposal, reason: str) -> None:
        """Tells the sampler that the proposal is infeasible or a repeat."""
        told = self._of(proposal, None, reason)
        self._rejected.append(told)
        self._in_a_row += 1
        self._tell(told)

    def claim(self, proposal: Proposal, limit: int | None) -> Claim | None:
        """The right to evaluate it; None if another process has that, or if there are `limit` candidates already."""
        cost = self.goal.priced.cost(proposal.architecture)
        digest = proposal.architecture.digest()
        if not self.shared:
            return self._claimed(Claim(proposal, cost))
        token = uuid.uuid4().hex
        lost = [trial for trial in self._stored() if self._is_lost(trial) and trial.user_attrs["digest"] == digest]
        attributes = {**described(proposal.architecture, cost), "claim": token, LEASE: 0}
        if lost:
            attributes["retries"] = 1 + max(trial.user_attrs.get("retries", 0) for trial in lost)
        trial_id = self._written(
            new_trial(self.goal, TrialState.RUNNING, self._of(proposal, None, None), attributes, first=self._first),
            token,
        )
        assert self._leases is not None
        self._leases.hold(trial_id)
        number = patiently(lambda: self._storage.get_trial_number_from_id(trial_id))
        lower = [trial for trial in self._stored() if trial.number < number and not self._is_lost(trial)]
        entered = [trial for trial in lower if trial.state in (TrialState.RUNNING, TrialState.COMPLETE)]
        rivals = [trial for trial in lower if trial.user_attrs["digest"] == digest and occupies(trial)]
        own = [trial for trial in rivals if trial.user_attrs.get("claim") == token]
        for twin in own:  # of an attempt of Optuna's own that took effect although the storage did not answer
            self._end(twin._trial_id, TrialState.FAIL, None, {"withdrawn": "written twice"})
        rivals = [trial for trial in rivals if trial not in own]
        entered = [trial for trial in entered if trial not in own]
        if rivals or (limit is not None and len(entered) >= limit):
            reason = f"claimed by trial {rivals[0].number}" if rivals else "there are enough"
            self._end(trial_id, TrialState.FAIL, None, {"withdrawn": reason})
            return None
        ended = [self._end_lost(trial) for trial in lost]
        if not all(ended):  # it was alive, and has just told
            self._end(trial_id, TrialState.FAIL, None, {"withdrawn": "its process was not lost"})
            return None
        if patiently(lambda: self._storage.get_trial(trial_id)).state != TrialState.RUNNING:
            return None  # so slow that another took it for lost
        self._predecessors.pop(digest, None)
        return self._claimed(Claim(proposal, cost, trial_id))

    def _claimed(self, claim: Claim) -> Claim:
        self._claims[claim.architecture.digest()] = claim
        self._in_a_row = 0
        return claim

    def accept(self, claim: Claim, candidate: Candidate) -> None:
        """Tells the sampler, and stores the trial."""
        told = self._of(claim.proposal, candidate.measured.merit, None)
        attributes: dict[str, Any] = {"rungs": list(candidate.rungs)} if candidate.rungs else {}
        self._finish(claim, TrialState.COMPLETE, told, {**numbers_beside(candidate.measured), **attributes}, candidate)

    def fail(self, claim: Claim, reason: str) -> None:
        """Tells that the evaluation failed, and why: stored as a failed trial."""
        self._finish(
            claim, TrialState.FAIL, self._of(claim.proposal, None, f"failed: {reason}"), {"failed": reason}, None
        )

    # The storage

    def _finish(
        self, claim: Claim, state: TrialState, told: Told, attributes: dict[str, Any], candidate: Candidate | None
    ) -> None:
        if self._rejected:
            attributes["rejected"] = [brief(self.goal, rejected) for rejected in self._rejected]
        if claim.trial_id is None:
            counts = described(claim.architecture, claim.cost)
            self._add(state, told, {**attributes, **counts}, claim.started)
            predecessor = self._predecessors.pop(counts["digest"], None)
            if predecessor is not None:
                self._end_lost(predecessor)
        else:
            values = stored_values(self.goal, told)
            if not self._end(claim.trial_id, state, values, attributes):
                # Not heard of for too long, this process was taken for lost: another evaluates it.
                del self._claims[claim.architecture.digest()]
                return
        del self._claims[claim.architecture.digest()]
        self._rejected = []
        self._tell(told, candidate)

    def _tell(self, told: Told, candidate: Candidate | None = None) -> None:
        self._told.append(told)
        if told.reason not in REJECTIONS:
            self._digests.add(told.architecture.digest())
        if candidate is not None:
            self._candidates.append(candidate)
        self.sampler.tell(told)

    def _of(self, proposal: Proposal, score: float | None, reason: str | None) -> Told:
        cost = self.goal.priced.cost(proposal.architecture)
        return Told(proposal, cost, score, self.goal.budget.excess(cost), reason)

    def _add(self, state: TrialState, told: Told, attributes: dict[str, Any], started: datetime | None = None) -> None:
        trial = new_trial(self.goal, state, told, attributes, started, first=self._first)
        if self._untold:
            if self._untold.popleft().params != trial.params:
                raise InputError(
                    f"trial {self.told()}: another than the one that this study was told before it was stopped; use "
                    "another `out`"
                )
            return
        self._taken.add(self._storage.get_trial_number_from_id(self._written(trial, None)))

    def _written(self, trial: FrozenTrial, token: str | None) -> int:
        if not self.shared:
            return self._storage.create_new_trial(self._study_id, trial)
        return store(self._storage, self._study_id, trial, token)

    def _end(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None, attributes: Mapping[str, Any]
    ) -> bool:
        """Ends a running trial; False if another process has ended it."""
        ended = end_trial(self._storage, trial_id, state, values, attributes)
        if self._leases is not None:
            self._leases.let_go(trial_id)
        if ended:
            self._taken.add(patiently(lambda: self._storage.get_trial_number_from_id(trial_id)))
        return ended

    def _end_lost(self, trial: FrozenTrial, **attributes: str) -> bool:
        return self._end(trial._trial_id, TrialState.FAIL, None, attributes or {"withdrawn": "its process was lost"})

    def _stored(self) -> list[FrozenTrial]:
        trials = patiently(lambda: self._storage.get_all_trials(self._study_id, deepcopy=False))
        return [trial for trial in trials if "digest" in trial.user_attrs]

    def _is_lost(self, trial: FrozenTrial) -> bool:
        if trial.state != TrialState.RUNNING:
            return False
        # Whoever is alone in a folder knows that whatever is running there is not.
        return self._leases.is_lost(trial) if self._leases is not None else not self.shared

    def _take_in(self, trials: Sequence[FrozenTrial]) -> None:
        """What has been told since the last time, and what is running elsewhere."""
        self._elsewhere = {}
        self._lost.clear()
        for trial in trials:
            if trial.state == TrialState.RUNNING and "digest" in trial.user_attrs:
                digest = trial.user_attrs["digest"]
                if digest in self._claims:
                    continue
                if self._is_lost(trial):
                    self._lost.append(trial)
                else:
                    self._elsewhere[digest] = trial
            elif trial.number not in self._taken and trial.state.is_finished():
                self._taken.add(trial.number)
                if is_ours(trial):
                    self._take(trial)

    def _take(self, trial: FrozenTrial) -> None:
        """A stored trial, and the proposals rejected before it, as what was told."""
        for rejected in read_briefs(trial):
            self._tell(read_brief(self.goal, rejected))
        self._tell(*read_told(trial, self.goal.metric))
