"""Proposals by a regression on what the study has evaluated so far."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from evaluators.best_predicted import best_within
from evaluators.predictor import FEWEST, Parameters, Predictor
from search_space.architecture import Architecture
from search_space.cost import Budget
from search_space.encoding import Codes, encoding
from search_space.space import SearchSpace
from studies.trials import Candidate
from training.seeds import derive

DRAWS = 2000  # from the budget, once a study
CANDIDATES = 4000  # ranked for a proposal
GOOD = 16  # best candidates within the aim, whose neighbours are ranked beside the draws


class PredictorSampler:
    """Proposes the architecture of the highest predicted bound on its score, at or below some MACs.

    Half of the proposals aim at the whole budget, the others at MACs drawn evenly between the cheapest candidate's and
    the dearest's, so that they go along the whole front. A proposal is a function of the seed, the candidates and the
    number told. While the predictor's own cross-validation shows no relation, architectures are drawn from the budget.
    """

    def __init__(self, space: SearchSpace, budget: Budget, seed: int):
        self.space = space
        self.budget = budget
        self.seed = seed
        self._earlier: tuple[int, Predictor] | None = None

    def architecture(
        self, candidates: Sequence[Candidate], told: int, proposed: Sequence[Architecture] = ()
    ) -> Architecture:
        """The next architecture, after so many proposals. Not one of the candidates, if another is found.

        Args:
            proposed: architectures that are being evaluated, which it is not either.
        """
        rng = random.Random(derive(self.seed, "predictor", told))
        if len(candidates) >= FEWEST:
            earlier = self._fitted_earlier(candidates)
            if not earlier.hopeless:
                predictor = _fitted(self.space, self.seed, candidates, earlier.parameters)
                for budget in (self._aim(candidates, rng), self.budget):
                    best = self._best(candidates, predictor, budget, rng, proposed)
                    if best:
                        return best[0]
        return self.space.sample(rng, self.budget)

    def _fitted_earlier(self, candidates: Sequence[Candidate]) -> Predictor:
        """A predictor of the first candidates; its parameters and test hold until there are a tenth more."""
        count = FEWEST
        while (more := count + max(1, count // 10)) <= len(candidates):
            count = more
        if self._earlier is None or self._earlier[0] != count:
            self._earlier = count, _fitted(self.space, self.seed, candidates[:count])
        return self._earlier[1]

    def _aim(self, candidates: Sequence[Candidate], rng: random.Random) -> Budget:
        if rng.random() < 0.5:
            return self.budget
        macs = [candidate.cost.macs for candidate in candidates]
        return replace(self.budget, max_macs=rng.randint(min(macs), max(macs)))

    def _best(
        self,
        candidates: Sequence[Candidate],
        predictor: Predictor,
        budget: Budget,
        rng: random.Random,
        proposed: Sequence[Architecture],
    ) -> list[Architecture]:
        within = [candidate for candidate in candidates if budget.allows(candidate.cost)]
        good = sorted(within, key=lambda candidate: -candidate.score)[:GOOD]
        return best_within(
            self.space,
            budget,
            predictor,
            CANDIDATES,
            rng.getrandbits(62),
            draws=self._draws,
            good=[candidate.architecture for candidate in good],
            known=[*(candidate.architecture for candidate in candidates), *proposed],
        )

    @cached_property
    def _draws(self) -> Codes:
        rng = random.Random(derive(self.seed, "predictor's draws"))
        return encoding(self.space).encode(self.space.sample(rng, self.budget) for _ in range(DRAWS))


def _fitted(
    space: SearchSpace, seed: int, candidates: Sequence[Candidate], parameters: Parameters | None = None
) -> Predictor:
    scores = [candidate.score for candidate in candidates]
    return Predictor(space, seed, parameters).fit([candidate.architecture for candidate in candidates], scores)
