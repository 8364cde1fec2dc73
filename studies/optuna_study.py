"""Proposals by Optuna's samplers, with the study kept in Optuna storage.

The sampler works on a mirror of the study in memory; the storage gets each trial once, whole, when it and all before
it have been told. So a kill leaves no half-told trial, a trial costs one write, and proposing does not slow down with
the storage. At every proposal the sampler is made afresh, seeded by the run's seed and the number of trials so far:
what it proposes depends on nothing else.
"""

import itertools
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from evaluators.base import numbers, read_numbers
from search_space.architecture import Architecture
from search_space.cost import Budget, Cost
from search_space.errors import InputError
from search_space.space import SearchSpace
from studies.predictor_sampler import PredictorSampler
from studies.trials import Candidate
from training.files import no_room_left
from training.seeds import derive

STUDY_NAME = "coordnas"


def _tpe(seed: int, startup: int) -> BaseSampler:
    return TPESampler(multivariate=True, group=True, n_startup_trials=startup, seed=seed)


def _random(seed: int, _startup: int) -> BaseSampler:
    return RandomSampler(seed=seed)


PREDICTOR = "predictor"

# The predictor's proposals are enqueued whole: Optuna's own sampler decides nothing in them.
SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {"tpe": _tpe, "random": _random, PREDICTOR: _random}


def check_sampler(name: str) -> None:
    """Raises InputError for an unknown sampler."""
    if name not in SAMPLERS:
        raise InputError(f"--sampler {name}: unknown; known: {', '.join(SAMPLERS)}")


@dataclass(frozen=True)
class OptunaProposal:
    """An architecture, and the trial of the mirror that it came from."""

    architecture: Architecture
    trial: optuna.Trial


class OptunaStudy:
    """A study of two objectives: the evaluator's up, MACs down. Opens the one in `storage` or makes it."""

    def __init__(
        self,
        space: SearchSpace,
        storage: str,
        *,
        sampler: str,
        seed: int,
        startup: int,
        budget: Budget | None = None,
        objective: str = "accuracy",
    ):
        check_sampler(sampler)
        self.space = space
        self.seed = seed
        self.startup = startup
        self.objective = objective
        self._make_sampler = SAMPLERS[sampler]
        self._predictor = PredictorSampler(space, budget or Budget(), seed) if sampler == PREDICTOR else None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
        self._mirror = optuna.create_study(directions=directions)
        self._untold: deque[FrozenTrial] = deque()
        self._candidates: list[Candidate] = []
        self._open: dict[int, Architecture] = {}
        try:
            self._stored = optuna.create_study(
                study_name=STUDY_NAME, storage=storage, directions=directions, load_if_exists=True
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                if self._stored.metric_names is None:
                    self._stored.set_metric_names([objective, "MACs"])
            for trial in self._stored.get_trials(deepcopy=False):
                self._take(trial)
            self._written = self.told()
        except (SQLAlchemyError, OptunaError, InputError, ValueError, KeyError, TypeError) as error:
            if no_room_left(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{storage}: not this run's study ({reason}); move it away, or use another --out"
            ) from None

    def _take(self, trial: FrozenTrial) -> None:
        """A stored trial into the mirror; one that a user queued or told by hand is not this search's."""
        if trial.state == TrialState.COMPLETE and "digest" in trial.user_attrs:
            self._candidates.append(_candidate(trial, self.objective))
        elif trial.state != TrialState.PRUNED or "rejected" not in trial.user_attrs:
            return
        self._mirror.add_trial(trial)

    def keep_whole(self, generation: int) -> None:
        """Forgets what was told of a generation of so many candidates that was not told to its end.

        Its trials stay in the storage, and are not written a second time.
        """
        if generation == 1:
            return
        self._candidates = self._candidates[: len(self._candidates) // generation * generation]
        trials = self._mirror.get_trials(deepcopy=False)
        self._mirror = optuna.create_study(directions=self._mirror.directions)
        # A generation begins right after the last candidate of the one before.
        left = len(self._candidates)
        for trial in trials:
            if left:
                self._mirror.add_trial(trial)
                left -= trial.state == TrialState.COMPLETE
            else:
                self._untold.append(trial)
        self._written = self.told()

    def candidates(self) -> list[Candidate]:
        """Every evaluated candidate, in the order they were told."""
        return list(self._candidates)

    def told(self) -> int:
        """Number of proposals told so far, evaluated or rejected."""
        return len(self._mirror.get_trials(deepcopy=False))

    def rejected_in_a_row(self) -> int:
        """Number of proposals rejected since the last one that was evaluated."""
        trials = reversed(self._mirror.get_trials(deepcopy=False))
        return sum(1 for _ in itertools.takewhile(lambda trial: trial.state == TrialState.PRUNED, trials))

    def ask(self) -> OptunaProposal:
        """The sampler's next proposal."""
        if self._predictor is not None:
            return self.propose(self._predictor.architecture(self._candidates, self.told(), list(self._open.values())))
        return self._asked()

    def _asked(self) -> OptunaProposal:
        """The next trial of the mirror: one that was enqueued, or the sampler's own."""
        seed = derive(self.seed, "sampler", self.told()) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # TPE's group option
            self._mirror.sampler = self._make_sampler(seed, self.startup)
        trial = self._mirror.ask()

        def choose(name: str, options: Sequence[Any]) -> Any:
            return trial.suggest_categorical(name, options)

        proposal = OptunaProposal(self.space.assemble(choose), trial)
        self._open[trial.number] = proposal.architecture
        return proposal

    def propose(self, architecture: Architecture) -> OptunaProposal:
        """A proposal of this architecture, as if the sampler had made it."""
        self._mirror.enqueue_trial(self.space.choices(architecture))
        return self._asked()

    def reject(self, proposal: OptunaProposal, reason: str, excess: float) -> None:
        """Tells the sampler that the proposal is infeasible or a repeat, as a pruned trial with its constraint."""
        trial = proposal.trial
        trial.set_constraint("budget", excess)
        trial.set_user_attr("rejected", reason)
        self._mirror.tell(trial, state=TrialState.PRUNED)
        self._store()

    def accept(self, proposal: OptunaProposal, candidate: Candidate, excess: float) -> None:
        """Tells the sampler, and writes the trial to the storage."""
        trial = proposal.trial
        # Optuna takes a trial without any constraint for feasible.
        trial.set_constraint("budget", excess)
        attributes = {
            "architecture": candidate.architecture.to_json(),
            "digest": candidate.architecture.digest(),
            "attention": " ".join(stage.attention_label for stage in candidate.architecture.stages),
            **candidate.cost.to_dict(),
        }
        if candidate.rungs:
            attributes["rungs"] = list(candidate.rungs)
        attributes = {**numbers(candidate.metrics), **attributes}  # a score may be one of the counts
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        self._mirror.tell(trial, [candidate.score, candidate.cost.macs])
        self._store()
        self._candidates.append(candidate)

    def _store(self) -> None:
        """Writes the trials that have been told, in the mirror's order: none before one that is still open."""
        trials = self._mirror.get_trials(deepcopy=False)
        self._open = {number: found for number, found in self._open.items() if not trials[number].state.is_finished()}
        for trial in itertools.takewhile(lambda trial: trial.state.is_finished(), trials[self._written :]):
            if not self._untold:
                self._stored.add_trial(trial)
            elif self._untold.popleft().params != trial.params:
                raise InputError(
                    f"trial {trial.number}: another than the one that this study was told before it was stopped; use "
                    "another --out"
                )
            self._written += 1


def _candidate(trial: FrozenTrial, objective: str) -> Candidate:
    attributes = trial.user_attrs
    named = attributes if objective == "accuracy" else {objective: trial.values[0]}
    return Candidate(
        Architecture.from_json(attributes["architecture"]),
        Cost(attributes["macs"], attributes["params"], latency_ns=attributes.get("latency_ns", 0)),
        read_numbers(objective, named),
        tuple(attributes.get("rungs", ())),
    )
