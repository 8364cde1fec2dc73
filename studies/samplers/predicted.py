"""Proposals by a regression on what has been evaluated so far."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluators.best_predicted import best_within
from evaluators.predictor import FEWEST, Parameters, Predictor
from search_space.architecture import Architecture
from search_space.cost import Budget
from search_space.encoding import Codes, encoding
from studies.samplers.base import Proposal, Sampler, Task, Told, register
from training.seeds import derive

DRAWS = 1000  # from the budget, once a search
CANDIDATES = 2000  # ranked for a proposal
GOOD = 16  # best candidates within the aim, whose neighbours are ranked beside the draws
HISTORY = 200  # evaluations that the regression is fitted to at most: more make proposals slow, and are no better


@register("predictor")
class Predicted(Sampler):
    """Proposes the architecture of the highest predicted bound on its score, at or below some MACs.

    Half of the proposals aim at the whole budget, the others at MACs drawn evenly between the cheapest candidate's and
    the dearest's, so that they go along the whole front; with accuracy as the only objective all aim at the budget.
    While the predictor's own cross-validation shows no relation, architectures are drawn from the budget.
    """

    def __init__(self, task: Task):
        super().__init__(task)
        self._evaluated: list[Told] = []
        self._known: set[Architecture] = set()
        self._earlier: tuple[int, Predictor] | None = None

    def tell(self, told: Told) -> None:
        if told.score is not None:
            self._evaluated.append(told)
            self._known.add(told.architecture)

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        """The next architecture. Not one of those evaluated or running, if another is found."""
        task = self.task
        rng = random.Random(derive(task.seed, "predictor", turn))
        if len(self._evaluated) >= FEWEST:
            earlier = self._fitted_earlier()
            if not earlier.hopeless:
                predictor = self._fitted(_telling(self._evaluated), earlier.parameters)
                for budget in (self._aim(rng), task.budget):
                    best = self._best(predictor, budget, rng, running)
                    if best:
                        return Proposal(best[0])
        return Proposal(task.space.sample(rng, task.budget))

    def _fitted_earlier(self) -> Predictor:
        """A predictor of the first candidates; its parameters and test hold until there are a tenth more."""
        count = FEWEST
        while (more := count + max(1, count // 10)) <= len(self._evaluated):
            count = more
        if self._earlier is None or self._earlier[0] != count:
            self._earlier = count, self._fitted(_telling(self._evaluated[:count]))
        return self._earlier[1]

    def _fitted(self, evaluated: Sequence[Told], parameters: Parameters | None = None) -> Predictor:
        scores = [told.score for told in evaluated if told.score is not None]
        predictor = Predictor(self.task.space, self.task.seed, parameters)
        return predictor.fit([told.architecture for told in evaluated], scores)

    def _aim(self, rng: random.Random) -> Budget:
        if not self.task.costs or rng.random() < 0.5:
            return self.task.budget
        macs = [told.cost.macs for told in self._evaluated]
        return replace(self.task.budget, max_macs=rng.randint(min(macs), max(macs)))

    def _best(
        self, predictor: Predictor, budget: Budget, rng: random.Random, running: Sequence[Architecture]
    ) -> list[Architecture]:
        macs = np.array([told.cost.macs for told in self._evaluated])
        order = _best_first(self._evaluated)
        cheap = order if budget.max_macs is None else order[macs[order] <= budget.max_macs]
        evaluated = (self._evaluated[index] for index in cheap)
        good = itertools.islice((told.architecture for told in evaluated if budget.allows(told.cost)), GOOD)
        return best_within(
            self.task.space,
            budget,
            predictor,
            CANDIDATES,
            rng.getrandbits(62),
            draws=self._draws,
            good=list(good),
            known=self._known.union(running),
        )

    @cached_property
    def _draws(self) -> Codes:
        task = self.task
        rng = random.Random(derive(task.seed, "predictor's draws"))
        return encoding(task.space).encode(task.space.sample(rng, task.budget) for _ in range(DRAWS))


def _telling(evaluated: Sequence[Told]) -> Sequence[Told]:
    """At most HISTORY of them, in their order: the best half, and of the rest as many, evenly spread over time."""
    if len(evaluated) <= HISTORY:
        return evaluated
    order = _best_first(evaluated).tolist()
    best, rest = order[: HISTORY // 2], sorted(order[HISTORY // 2 :])
    spread = [rest[index * len(rest) // (HISTORY - len(best))] for index in range(HISTORY - len(best))]
    return [evaluated[index] for index in sorted([*best, *spread])]


def _best_first(evaluated: Sequence[Told]) -> NDArray[np.int64]:
    """Their numbers, by score; equal ones in their order."""
    return np.argsort([-(told.score or 0.0) for told in evaluated], kind="stable")
