"""The Pareto front of evaluated candidates, and the second, thorough look at the best of them."""

from collections.abc import Sequence

from evaluators.base import Evaluator
from foundation.errors import InputError
from foundation.files import no_room_left
from foundation.metric import checked
from foundation.progress import Reporter
from search_space.cost.cost import FULL, Budget
from studies.trials import Candidate, failure_reason


def pareto_front(candidates: Sequence[Candidate], costs: Sequence[str] = ("macs",)) -> list[Candidate]:
    """The candidates that none is both at least as good and at most as costly as, cheapest first.

    Of candidates equal in all, the first by merit stays.

    Args:
        costs: fields of Cost that are held against the score.
    """
    front: list[tuple[tuple[int, ...], Candidate]] = []
    for candidate in sorted(
        candidates, key=lambda c: (-c.measured.merit, *(getattr(c.cost, name) for name in costs), c.merit)
    ):
        own = tuple(getattr(candidate.cost, name) for name in costs)
        # Whoever is on the front already is at least as good.
        if not any(all(a <= b for a, b in zip(other, own, strict=True)) for other, _ in front):
            front.append((own, candidate))
    return sorted((candidate for _, candidate in front), key=lambda c: (c.cost.macs, *c.merit))


def promising(
    candidates: Sequence[Candidate], count: int, costs: Sequence[str] = ("macs",), budget: Budget | None = None
) -> list[Candidate]:
    """At least `count` candidates (or all): half of them the best, the rest by fronts, outermost first.

    Args:
        budget: where it is given, half of the best are the best of those that fill it.
    """
    ranked = sorted(candidates, key=lambda c: c.merit)
    best = count // 2 if budget is None else count // 4
    chosen, rest = ranked[:best], ranked[best:]
    if budget is not None:
        full = filling(rest, budget)[: count // 2 - best]
        chosen += full
        rest = _without(full, rest)
    while rest and len(chosen) < count:
        front = pareto_front(rest, costs)
        chosen += front
        rest = _without(front, rest)
    return chosen


def filling(candidates: Sequence[Candidate], budget: Budget) -> list[Candidate]:
    """Those that fill the budget, in their order; where none comes near, those that are near to the fullest."""
    shares = [1 + budget.excess(candidate.cost) for candidate in candidates]
    least = FULL * max(shares, default=0.0)
    return [one for one, share in zip(candidates, shares, strict=True) if share >= least]


def _without(some: Sequence[Candidate], candidates: Sequence[Candidate]) -> list[Candidate]:
    taken = {id(candidate) for candidate in some}  # comparing thousands with thousands takes seconds
    return [candidate for candidate in candidates if id(candidate) not in taken]


def rescore(
    candidates: Sequence[Candidate],
    evaluator: Evaluator,
    count: int,
    reporter: Reporter,
    costs: Sequence[str] = ("macs",),
    budget: Budget | None = None,
) -> list[Candidate]:
    """The promising candidates with thorough metrics, without those whose thorough evaluation fails.

    The quick scores of the many lie close together; a front made of them would be one of lucky draws.

    Raises InputError if all of them fail.
    """
    chosen, wanted = promising(candidates, count, costs, budget), evaluator.metric
    rescored = []
    failed = ""
    with reporter.track("scoring the best again", len(chosen), "candidates") as advance:
        for candidate in chosen:
            try:
                measured = checked(evaluator.evaluate(candidate.architecture, thorough=True), wanted)
            except Exception as error:
                if no_room_left(error):
                    raise
                failed = failure_reason(error)
                reporter.say(f"{candidate.architecture.digest()[:12]} failed, and is left out: {failed}")
            else:
                rescored.append(Candidate(candidate.architecture, candidate.cost, measured))
            advance("")
    if not rescored:
        raise InputError(f"the thorough evaluation of all {len(chosen)} best candidates failed: {failed}")
    return rescored
