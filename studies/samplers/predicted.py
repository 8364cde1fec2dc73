"""Proposals by a regression on what has been evaluated so far."""

import random
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evaluators.best_predicted import best_within
from evaluators.predictor import FEWEST, Parameters, Predictor
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.cost import FULL
from search_space.cost.encoding import Codes, encoding
from studies.samplers.base import Goal, Proposal, Sampler, Told, register

DRAWS = 1000  # from the budget, once a search
CANDIDATES = 2000  # ranked for a proposal
GOOD = 16  # best candidates, whose neighbours are ranked beside the draws; with a cost, the whole front
BEYOND = 1.1  # of the dearest cost: up to where the front's area counts, or the best of the dearest would gain nothing
HISTORY = 200  # evaluations that the regression is fitted to at most: more make proposals slow

Merit = Callable[[Codes, NDArray[np.float64]], NDArray[np.float64]]


@register("predictor")
class Predicted(Sampler):
    """Proposes what would gain most, if it came to the upper confidence bound on its score.

    A share of the proposals, the goal's `front_share`, is for the area under the Pareto front of score and cost, which
    is known before; with the score as the only objective, for the score wherever it lies. The others are for the best
    score among the networks that fill the budget: more of it makes a network better once it is trained by itself, by
    more than shared weights say.
    While the predictor's own cross-validation shows no relation, architectures are drawn from the budget.
    """

    balances = True

    def __init__(self, goal: Goal):
        super().__init__(goal)
        self._evaluated: list[Told] = []
        self._known: set[Architecture] = set()
        self._earlier: tuple[int, Predictor] | None = None

    def tell(self, told: Told) -> None:
        if told.score is not None:
            self._evaluated.append(told)
            self._known.add(told.architecture)

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        """The next architecture. Not one of those evaluated or running, if another is found."""
        goal = self.goal
        rng = random.Random(derive(goal.seed, "predictor", turn))
        if len(self._evaluated) >= FEWEST:
            earlier = self._fitted_earlier()
            if not earlier.hopeless:
                telling = self._telling(self._evaluated)
                best = self._best(self._fitted(telling, earlier.parameters), telling, rng, running)
                if best:
                    return Proposal(best[0])
        return Proposal(goal.priced.sample(rng))

    def _fitted_earlier(self) -> Predictor:
        """A predictor of the first candidates; its parameters and test hold until there are a tenth more."""
        count = FEWEST
        while (more := count + max(1, count // 10)) <= len(self._evaluated):
            count = more
        if self._earlier is None or self._earlier[0] != count:
            self._earlier = count, self._fitted(self._telling(self._evaluated[:count]))
        return self._earlier[1]

    def _fitted(self, evaluated: Sequence[Told], parameters: Parameters | None = None) -> Predictor:
        scores = [told.score for told in evaluated if told.score is not None]
        predictor = Predictor(self.goal.priced, self.goal.seed, parameters)
        return predictor.fit([told.architecture for told in evaluated], scores)

    def _best(
        self, predictor: Predictor, telling: Sequence[Told], rng: random.Random, running: Sequence[Architecture]
    ) -> list[Architecture]:
        goal = self.goal
        good = [telling[index].architecture for index in _best_first(telling)[:GOOD]]
        merit: Merit | None = None
        if rng.random() >= goal.front_share:
            full = [told for told in telling if told.excess >= self._full - 1]
            good = [full[index].architecture for index in _best_first(full)[:GOOD]] or good
            merit = self._filling
        elif goal.costs:
            front = _Front(telling, predictor, self._cost)
            good, merit = front.architectures, front.gain
        return best_within(
            goal.priced,
            predictor,
            CANDIDATES,
            rng.getrandbits(62),
            draws=self._draws,
            good=good,
            known=self._known.union(running),
            merit=merit,
        )

    def _telling(self, evaluated: Sequence[Told]) -> Sequence[Told]:
        """At most HISTORY of them, in their order: the front and the best, and of the rest evenly over time."""
        if len(evaluated) <= HISTORY:
            return evaluated
        scores = np.array([told.score or 0.0 for told in evaluated])
        best = _best_first(evaluated)
        if self.goal.costs:
            name = self._cost
            costs = np.array([getattr(told.cost, name) for told in evaluated])
            best = np.concatenate([_front(costs, scores)[-HISTORY // 2 :], best])
        chosen = list(dict.fromkeys(best.tolist()))
        first, rest = chosen[: HISTORY // 2], sorted(chosen[HISTORY // 2 :])
        spread = [rest[index * len(rest) // (HISTORY - len(first))] for index in range(HISTORY - len(first))]
        return [evaluated[index] for index in sorted([*first, *spread])]

    def _filling(self, codes: Codes, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values of the codes that fill the budget; of the others, less than any."""
        return np.where(self._shares(codes) >= self._full, values, -np.inf)

    def _shares(self, codes: Codes) -> NDArray[np.float64]:
        """How much of the budget each takes, of the bound that it is nearest to; all of it where there is no bound."""
        own = encoding(self.goal.priced)
        costs = own.costs(codes)
        shares = [costs[:, own.columns.index(name)] / bound for name, bound in self.goal.budget.bounds()]
        return np.max(shares, axis=0) if shares else np.ones(len(codes))

    @cached_property
    def _full(self) -> float:
        """From which share of the budget a network fills it; less where no draw comes near."""
        return FULL * float(self._shares(self._draws).max())

    @property
    def _cost(self) -> str:
        """The cost that is weighed against the score."""
        return next(iter(self.goal.costs), "macs")

    @cached_property
    def _draws(self) -> Codes:
        goal = self.goal
        rng = random.Random(derive(goal.seed, "predictor's draws"))
        return encoding(goal.priced).encode(goal.priced.sample(rng) for _ in range(DRAWS))


def _best_first(evaluated: Sequence[Told]) -> NDArray[np.int64]:
    """Their numbers, by score; equal ones in their order."""
    return np.argsort([-(told.score or 0.0) for told in evaluated], kind="stable")


def _front(costs: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The numbers of those that score higher than all that cost no more, the cheapest first."""
    order = np.lexsort((-scores, costs))
    highest = np.maximum.accumulate(np.concatenate([[-np.inf], scores[order]]))
    return order[scores[order] > highest[:-1]]


class _Front:
    """The Pareto front of what has been evaluated, by what is predicted of it: scores are noisy."""

    def __init__(self, evaluated: Sequence[Told], predictor: Predictor, cost: str):
        means, _ = predictor.predict([told.architecture for told in evaluated])
        costs = np.array([getattr(told.cost, cost) for told in evaluated])
        front = _front(costs, means)
        self.architectures = [evaluated[index].architecture for index in front]
        self._encoding = encoding(predictor.priced)
        self._column = self._encoding.columns.index(cost)
        # From one edge to the next the best that costs no more has this value; below the cheapest, the lowest.
        self._edges = np.concatenate([[0], costs[front], [BEYOND * costs.max()]])
        self._values = np.concatenate([[means.min()], means[front]])

    def gain(self, codes: Codes, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much the area under the front would grow with each of the codes, if it had that value."""
        costs = self._encoding.costs(codes)[:, self._column]
        widths = np.maximum(self._edges[1:] - np.maximum(self._edges[:-1], costs[:, None]), 0)
        return (widths * np.maximum(values[:, None] - self._values, 0)).sum(axis=1)
