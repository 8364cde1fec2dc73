"""Successive halving: most of the training time goes to the promising candidates of a generation.

All candidates take the first rung, the best of each cost bin the next, and so on (arXiv:1502.07943; rungs and factor as
in Hyperband, arXiv:1603.06560). Optuna's pruners do not serve: they need `Trial.report`, which refuses several
objectives. Bins keep the cheap candidates in: ranked with the dear ones, they would all be dropped at the first rung.
"""

import itertools
from collections.abc import Callable, Sequence

from evaluators.base import Measured, StagedEvaluator
from foundation.files import no_room_left
from foundation.metric import checked
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.cost import Cost
from studies.trials import Candidate, Failure, failure_reason

Entrant = tuple[Architecture, Cost]
Joining = Callable[[Sequence[Candidate]], Entrant | None]
"""Who joins next, from what those come to that have taken the first rung; None when nobody does."""


def halve(
    entrants: Sequence[Entrant], evaluator: StagedEvaluator, reporter: Reporter, joining: Joining = lambda taken: None
) -> list[Candidate | Failure]:
    """The entrants in their order, each with the metrics of the last rung it took, or why it failed.

    Of each bin, the best `1 / eta` go on, rounded down, but at least one; ties go to the cheaper.

    Args:
        joining: asked again and again at the first rung; who joins stands after the entrants in what is returned.
    """
    halving, wanted = evaluator.halving, evaluator.metric
    rungs: dict[str, list[Measured]] = {}
    failed: dict[str, Failure] = {}

    def take(entrant: Entrant, rung: int) -> None:
        architecture = entrant[0]
        try:
            measured = checked(evaluator.rung(architecture, rung), wanted)
        except Exception as error:
            if no_room_left(error):
                raise
            failed[architecture.digest()] = Failure(architecture, failure_reason(error))
        else:
            rungs.setdefault(architecture.digest(), []).append(measured)

    def candidate(entrant: Entrant) -> Candidate:
        taken = rungs[entrant[0].digest()]
        return Candidate(*entrant, taken[-1], tuple(measured.value for measured in taken))

    running = [entrant for members in cost_bins(entrants, halving.bins) for entrant in members]
    entrants = list(entrants)
    for entrant in running:
        take(entrant, 0)
    while one := joining([candidate(entrant) for entrant in entrants if entrant[0].digest() in rungs]):
        entrants.append(one)
        take(one, 0)
    bins = cost_bins(entrants, halving.bins)
    for rung, epochs in enumerate(halving.epochs):
        running = [entrant for members in bins for entrant in members]
        for entrant in running if rung else ():
            take(entrant, rung)
        bins = [[entrant for entrant in members if entrant[0].digest() not in failed] for members in bins]
        best = max((taken[-1].merit for taken in rungs.values()), default=0.0)
        one_or_more = "candidate" if len(running) == 1 else "candidates"
        reporter.say(f"rung of {epochs} epochs: {len(running)} {one_or_more}, best {wanted.told(wanted.merit(best))}")
        if rung + 1 == len(halving.epochs):
            bins = []
        for members in bins:
            members.sort(key=lambda entrant: candidate(entrant).merit)
            del members[max(1, len(members) // halving.eta) :]
        staying = {architecture.digest() for members in bins for architecture, _ in members}
        for architecture, _ in running:
            if architecture.digest() not in staying:
                evaluator.drop(architecture)
    return [failed.get(entrant[0].digest()) or candidate(entrant) for entrant in entrants]


def cost_bins(entrants: Sequence[Entrant], bins: int) -> list[list[Entrant]]:
    """The entrants by MACs, cheapest first, in so many parts of equal size (give or take one); none is empty."""
    ordered = sorted(entrants, key=lambda entrant: (entrant[1].macs, entrant[1].params, entrant[0].digest()))
    bounds = [len(ordered) * index // bins for index in range(bins + 1)]
    return [ordered[start:end] for start, end in itertools.pairwise(bounds) if start < end]
