"""Optuna's samplers.

Each works on a study in memory that holds what it was told, and is made afresh for every proposal, seeded by the turn:
so a proposal depends on nothing else. Where fitting gets slower with every trial, the study in memory is bounded.
"""

import importlib
import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from foundation.errors import InputError
from foundation.seeds import derive
from search_space.architecture import Architecture
from studies.samplers.base import REJECTIONS, Goal, Proposal, Sampler, Told, register

GENERATION = "NSGAIISampler:generation"


@lru_cache(maxsize=1 << 14)
def _categorical(options: tuple[Any, ...]) -> CategoricalDistribution:
    return CategoricalDistribution(options)


def decisions(goal: Goal, architecture: Architecture) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """The architecture as Optuna's parameters and their distributions, by the names of the space's decisions."""
    chosen = goal.space.choices(architecture)
    distributions: dict[str, BaseDistribution] = {}

    def choose(name: str, options: Sequence[Any]) -> Any:
        distributions[name] = _categorical(tuple(options))
        return chosen[name]

    goal.space.assemble(choose)
    return chosen, distributions


def directions(goal: Goal) -> list[StudyDirection]:
    """Of what a sampler is told: the first is maximised, the others are costs."""
    return [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * len(goal.costs)


class OptunaSampler(Sampler):
    """Proposes by one of Optuna's samplers.

    Attributes:
        learns_from_rejected: whether it is told rejected proposals, as pruned trials with their constraint. Some
            samplers ignore pruned trials.
        history: evaluated trials, and as many rejected ones, that it learns from at most; None for all.
    """

    learns_from_rejected: ClassVar[bool] = True
    history: ClassVar[int | None] = None

    def __init__(self, goal: Goal):
        super().__init__(goal)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._told: list[Told] = []
        self._study = self._empty()
        self._held = 0

    @abstractmethod
    def make(self, seed: int) -> BaseSampler:
        """Optuna's sampler."""

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        seed = derive(self.goal.seed, "sampler", turn) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = self.make(seed)
        trial = self._study.ask()

        def choose(name: str, options: Sequence[Any]) -> Any:
            return trial.suggest_categorical(name, options)

        architecture = self.goal.space.assemble(choose)
        # What it comes to is told as a trial of its own, whenever that is, and by whichever process.
        memo = self._study.tell(trial, state=TrialState.FAIL).system_attrs
        return Proposal(architecture, {name: value for name, value in memo.items() if not name.startswith("tpe:")})

    def tell(self, told: Told) -> None:
        if told.score is None and not (self.learns_from_rejected and told.reason in REJECTIONS):
            return
        self._told.append(told)
        self._add(told)
        if self.history is not None and self._held >= 2 * self.history:
            self._study = self._empty()
            self._held = 0
            for kept in self._most_telling(self.history):
                self._add(kept)

    def _empty(self) -> optuna.Study:
        return optuna.create_study(directions=directions(self.goal))

    def _add(self, told: Told) -> None:
        params, distributions = decisions(self.goal, told.architecture)
        evaluated = told.score is not None
        self._study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if evaluated else TrialState.PRUNED,
                values=told.values(self.goal.objectives) if evaluated else None,
                params=params,
                distributions=distributions,
                system_attrs=dict(told.proposal.memo),
                # Optuna takes a trial without any constraint for feasible.
                constraints={"budget": told.excess},
            )
        )
        self._held += 1

    def _most_telling(self, count: int) -> list[Told]:
        """So many of the evaluated, in their order: the best half by score, the latest of the rest."""
        evaluated = [(index, told) for index, told in enumerate(self._told) if told.score is not None]
        rejected = [(index, told) for index, told in enumerate(self._told) if told.score is None]
        best = sorted(evaluated, key=lambda pair: (-(pair[1].score or 0.0), pair[0]))[: count // 2]
        chosen = {index for index, _ in best}
        latest = [pair for pair in reversed(evaluated) if pair[0] not in chosen][: count - len(best)]
        kept = sorted([*best, *latest, *rejected[-count // 4 :]], key=lambda pair: pair[0])
        return [told for _, told in kept]


@register("tpe")
class TPE(OptunaSampler):
    """Tree-structured Parzen estimators, multivariate and grouped (arXiv:2304.11127)."""

    history = 200

    def make(self, seed: int) -> BaseSampler:
        return TPESampler(multivariate=True, group=True, n_startup_trials=self.goal.startup, seed=seed)


@register("nsga2")
class NSGA2(OptunaSampler):
    """NSGA-II (Deb et al., 2002) with a population of 20, which suits some hundreds of trials.

    Optuna counts its own proposals alone to a generation. Here those drawn from the budget are members as well: of the
    generation that is not yet full, so that the start-up's are the first parents.
    """

    learns_from_rejected = False
    population: ClassVar[int] = 20

    def __init__(self, goal: Goal):
        super().__init__(goal)
        self._members: Counter[int] = Counter()  # evaluated, by generation

    def make(self, seed: int) -> NSGAIISampler:
        return NSGAIISampler(population_size=self.population, seed=seed)

    def tell(self, told: Told) -> None:
        if told.score is None:
            return
        latest = max(self._members, default=0)
        following = latest + (self._members[latest] >= self.population)
        memo = {GENERATION: following, **told.proposal.memo}
        self._members[memo[GENERATION]] += 1
        super().tell(replace(told, proposal=replace(told.proposal, memo=memo)))
        if self._members[memo[GENERATION]] == self.population:
            # By this Optuna settles who the next parents are. When it settles, it has them in another order than ever
            # after: so it is to happen here, where it does in a run that was killed as well. If it happens for the
            # first time after thousands of trials, Optuna recurses too deep.
            self.propose(0, ())


@register("gp")
class GP(OptunaSampler):
    """Optuna's Gaussian process, for one objective and short runs: a proposal takes seconds after some hundred trials.

    It ignores pruned trials, and is misled by values made up for them: so after one rejected proposal the next is
    drawn from the budget. Decisions that not every architecture has, such as the reduction of an attention, it draws.
    """

    several_objectives = False
    learns_from_rejected = False
    asks = 1

    def make(self, seed: int) -> BaseSampler:
        return GPSampler(n_startup_trials=self.goal.startup, seed=seed, warn_independent_sampling=False)


@register("auto")
class Auto(OptunaSampler):
    """OptunaHub's AutoSampler, which chooses among Optuna's samplers. Needs the package `optunahub`."""

    def make(self, seed: int) -> BaseSampler:
        return self._class(seed=seed)

    def __init__(self, goal: Goal):
        super().__init__(goal)
        try:
            self._class = importlib.import_module("optunahub").load_module("samplers/auto_sampler").AutoSampler
        except ImportError as error:
            raise InputError(
                f"`sampler` auto: needs {error.name or 'optunahub'}; pip install 'coordnas[auto]'"
            ) from None
        except Exception as error:  # it fetches the sampler, and whatever comes of that is not there
            raise InputError(
                f"`sampler` auto: OptunaHub did not deliver it ({type(error).__name__}: {error})"
            ) from None
