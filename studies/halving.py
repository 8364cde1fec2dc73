"""Successive halving: most of the training time goes to the promising candidates of a generation.

All candidates take the first rung, the best of each cost bin the next, and so on (arXiv:1502.07943; rungs and factor as
in Hyperband, arXiv:1603.06560). Optuna's pruners do not serve: they need `Trial.report`, which refuses several
objectives. Bins keep the cheap candidates in: ranked with the dear ones, they would all be dropped at the first rung.
"""

import itertools
from collections.abc import Sequence

from evaluators.base import Measured, StagedEvaluator
from foundation.files import no_room_left
from foundation.metric import checked
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.cost import Cost
from studies.trials import Candidate, Failure, failure_reason


def halve(
    entrants: Sequence[tuple[Architecture, Cost]], evaluator: StagedEvaluator, reporter: Reporter
) -> list[Candidate | Failure]:
    """The entrants in their order, each with the metrics of the last rung it took, or why it failed.

    Of each bin, the best `1 / eta` go on, rounded down, but at least one; ties go to the cheaper.
    """
    halving, wanted = evaluator.halving, evaluator.metric
    rungs: dict[str, list[Measured]] = {architecture.digest(): [] for architecture, _ in entrants}
    failed: dict[str, Failure] = {}

    def candidate(entrant: tuple[Architecture, Cost]) -> Candidate:
        taken = rungs[entrant[0].digest()]
        return Candidate(*entrant, taken[-1], tuple(measured.value for measured in taken))

    bins = cost_bins(entrants, halving.bins)
    for rung, epochs in enumerate(halving.epochs):
        running = [entrant for members in bins for entrant in members]
        for architecture, _ in running:
            try:
                rungs[architecture.digest()].append(checked(evaluator.rung(architecture, rung), wanted))
            except Exception as error:
                if no_room_left(error):
                    raise
                failed[architecture.digest()] = Failure(architecture, failure_reason(error))
        bins = [[entrant for entrant in members if entrant[0].digest() not in failed] for members in bins]
        best = max((taken[-1].merit for taken in rungs.values() if taken), default=0.0)
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


def cost_bins(entrants: Sequence[tuple[Architecture, Cost]], bins: int) -> list[list[tuple[Architecture, Cost]]]:
    """The entrants by MACs, cheapest first, in so many parts of equal size (give or take one); none is empty."""
    ordered = sorted(entrants, key=lambda entrant: (entrant[1].macs, entrant[1].params, entrant[0].digest()))
    bounds = [len(ordered) * index // bins for index in range(bins + 1)]
    return [ordered[start:end] for start, end in itertools.pairwise(bounds) if start < end]
