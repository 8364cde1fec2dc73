"""Proposals drawn exactly uniformly from within the budget."""

from collections.abc import Sequence

from search_space.architecture import Architecture
from studies.samplers.base import Proposal, Sampler, register


@register("random")
class Uniform(Sampler):
    """Every architecture within the budget is equally likely."""

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        return Proposal(self.goal.priced.sample(self.rng(turn)))
