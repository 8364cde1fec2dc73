"""Regularized evolution: the oldest die, not the worst."""

from collections import deque
from collections.abc import Sequence

from search_space.architecture import Architecture
from search_space.variation import mutate
from studies.samplers.base import Goal, Proposal, Sampler, Told, register

POPULATION = 50
TOURNAMENT = 10


@register("regularized-evolution")
class RegularizedEvolution(Sampler):
    """Mutates the winner of a tournament among the latest candidates (arXiv:1802.01548, section 3).

    With several objectives a random one of the tournament's Pareto front wins. A mutant is within the budget.
    """

    def __init__(self, goal: Goal):
        super().__init__(goal)
        self._population: deque[Told] = deque(maxlen=POPULATION)

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        rng = self.rng(turn)
        goal = self.goal
        if not self._population:
            return Proposal(goal.priced.sample(rng))
        drawn = rng.sample(list(self._population), min(TOURNAMENT, len(self._population)))
        values = [(-told.values(goal.objectives)[0], *told.values(goal.objectives)[1:]) for told in drawn]
        front = [
            told
            for told, own in zip(drawn, values, strict=True)
            if not any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in values)
        ]
        return Proposal(mutate(goal.priced, rng.choice(front).architecture, rng))

    def tell(self, told: Told) -> None:
        if told.score is not None:
            self._population.append(told)
