"""The Pareto front of evaluated candidates, and the second, thorough look at the best of them."""

from collections.abc import Sequence

from evaluators.base import Evaluator, metric_of
from foundation.errors import InputError
from foundation.files import no_room_left
from foundation.metric import checked
from foundation.progress import Reporter
from studies.trials import Candidate, failure_reason


def pareto_front(candidates: Sequence[Candidate], costs: Sequence[str] = ("macs",)) -> list[Candidate]:
    """The candidates that none is both at least as good and at most as costly as, cheapest first.

    Of candidates equal in all, the first by merit stays.

    Args:
        costs: fields of Cost that are held against the score.
    """
    front: list[tuple[tuple[int, ...], Candidate]] = []
    for candidate in sorted(candidates, key=lambda c: c.merit):
        own = tuple(getattr(candidate.cost, name) for name in costs)
        # Whoever is on the front already is at least as good.
        if not any(all(a <= b for a, b in zip(other, own, strict=True)) for other, _ in front):
            front.append((own, candidate))
    return sorted((candidate for _, candidate in front), key=lambda c: (c.cost.macs, *c.merit))


def promising(candidates: Sequence[Candidate], count: int, costs: Sequence[str] = ("macs",)) -> list[Candidate]:
    """At least `count` candidates (or all): half of them the best, the rest by fronts, outermost first."""
    ranked = sorted(candidates, key=lambda c: c.merit)
    chosen, rest = ranked[: count // 2], ranked[count // 2 :]
    while rest and len(chosen) < count:
        front = pareto_front(rest, costs)
        chosen += front
        taken = {id(candidate) for candidate in front}  # comparing thousands with thousands takes seconds
        rest = [candidate for candidate in rest if id(candidate) not in taken]
    return chosen


def rescore(
    candidates: Sequence[Candidate],
    evaluator: Evaluator,
    count: int,
    reporter: Reporter,
    costs: Sequence[str] = ("macs",),
) -> list[Candidate]:
    """The promising candidates with thorough metrics, without those whose thorough evaluation fails.

    The quick scores of the many lie close together; a front made of them would be one of lucky draws.

    Raises InputError if all of them fail.
    """
    chosen, wanted = promising(candidates, count, costs), metric_of(evaluator)
    rescored = []
    failed = ""
    with reporter.track("best again", len(chosen), "candidates") as advance:
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
