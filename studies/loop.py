"""The one search loop: ask for architectures within the budget, have them evaluated, tell."""

import random
from collections.abc import Sequence

from evaluators.base import Evaluator, StagedEvaluator
from search_space.architecture import Architecture
from search_space.cost import Budget
from search_space.space import SearchSpace
from studies.halving import halve
from studies.trials import Candidate, Proposal, Study
from training.progress import Reporter
from training.seeds import derive

MAX_REJECTED = 20  # proposals in a row, before one is drawn from the budget
MAX_DRAWS = 2_000  # from the budget, before what is left is listed


def search(
    study: Study,
    evaluator: Evaluator,
    space: SearchSpace,
    budget: Budget,
    *,
    trials: int,
    startup: int,
    seed: int,
    reporter: Reporter,
) -> list[Candidate]:
    """Evaluates until `trials` distinct architectures within the budget have been, or there are no more.

    Cost is known before anything is evaluated, so a proposal over the budget, or seen before, costs no evaluation: the
    study is told, and asked again, a bounded number of times; then one is drawn uniformly from within the budget.

    An evaluator that trains in rungs gets whole generations of candidates, so there may be more than `trials`. The
    study is told a candidate once, when its generation is over.

    Args:
        startup: the first so many proposals are drawn from within the budget.
    """
    generation = evaluator.halving.generation if isinstance(evaluator, StagedEvaluator) else 1
    study.keep_whole(generation)
    candidates = study.candidates()
    seen = {candidate.architecture.digest() for candidate in candidates}
    with reporter.track("search", trials, "candidates", len(candidates)) as advance:
        while len(candidates) < trials:
            proposals: list[Proposal] = []
            while len(proposals) < generation:
                proposal = _asked(study, space, budget, seen) if len(candidates) >= startup else None
                if proposal is None:
                    rng = random.Random(derive(seed, "draw", study.told()))
                    drawn = _drawn(space, budget, seen, rng)
                    if drawn is None:
                        break
                    proposal = study.propose(drawn)
                proposals.append(proposal)
                seen.add(proposal.architecture.digest())
            if not proposals:
                reporter.say(f"all {len(candidates)} architectures within the budget have been evaluated")
                break
            evaluated = _evaluated(evaluator, space, proposals, reporter)
            for proposal, candidate in zip(proposals, evaluated, strict=True):
                study.accept(proposal, candidate, budget.excess(candidate.cost))
                candidates.append(candidate)
                advance(f"best {max(candidate.score for candidate in candidates):.3f}")
    return candidates


def _evaluated(
    evaluator: Evaluator, space: SearchSpace, proposals: Sequence[Proposal], reporter: Reporter
) -> list[Candidate]:
    """The proposals' candidates, in order."""
    entrants = [(proposal.architecture, space.cost(proposal.architecture)) for proposal in proposals]
    if isinstance(evaluator, StagedEvaluator):
        return halve(entrants, evaluator, reporter)
    return [Candidate(architecture, cost, evaluator.evaluate(architecture)) for architecture, cost in entrants]


def _asked(study: Study, space: SearchSpace, budget: Budget, seen: set[str]) -> Proposal | None:
    """The sampler's first proposal that is new and within the budget; None after too many that are not."""
    # Counted by the study, so that a run killed between two rejections goes on as if it had not been.
    while study.rejected_in_a_row() < MAX_REJECTED:
        proposal: Proposal = study.ask()
        excess = budget.excess(space.cost(proposal.architecture))
        if excess > 0:
            study.reject(proposal, "over budget", excess)
        elif proposal.architecture.digest() in seen:
            study.reject(proposal, "evaluated before", excess)
        else:
            return proposal
    return None


def _drawn(space: SearchSpace, budget: Budget, seen: set[str], rng: random.Random) -> Architecture | None:
    """An architecture within the budget that is new, uniformly; None if there is none."""
    for _ in range(MAX_DRAWS):
        architecture = space.sample(rng, budget)
        if architecture.digest() not in seen:
            return architecture
    # So many repeats: nearly all have been seen, and listing what is left takes no longer than the search did.
    left = [architecture for architecture in space.table(budget).all() if architecture.digest() not in seen]
    return rng.choice(left) if left else None
