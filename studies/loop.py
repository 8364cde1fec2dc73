"""The one search loop: propose architectures within the budget, have them evaluated, tell."""

import random
import time
from collections.abc import Callable

from evaluators.base import Evaluator
from foundation.errors import InputError
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture
from studies.engines.evaluation import Engine, Here
from studies.samplers.base import OVER_BUDGET, SEEN, Goal, Proposal
from studies.trials import Candidate, Claim, Study

MAX_DRAWS = 2_000  # from the budget, before what is left is listed
MAX_FAILURES = 3  # evaluations in a row
PAUSE = 1.0  # seconds between looks at what other processes are doing
MAX_LOST_CLAIMS = 1_000  # in a row, to other processes


def search(
    study: Study,
    evaluator: Evaluator,
    *,
    trials: int,
    reporter: Reporter,
    evaluation: Engine | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> list[Candidate]:
    """Evaluates until `trials` distinct architectures within the budget have been, or there are no more.

    Cost is known before anything is evaluated, so a proposal over the budget, or seen before, costs no evaluation: the
    study is told, and asked again, a bounded number of times; then one is drawn uniformly from within the budget. The
    first proposals, as many as the goal says, are drawn as well. What a user queued comes before both.

    An evaluator that trains in rungs gets whole generations of candidates, so there may be more than `trials`. The
    study is told a candidate once, when its generation is over.

    An evaluation that fails is told as failed, and the search goes on; after 3 in a row InputError says why.

    Args:
        evaluation: where candidates are evaluated; in this process if not said.
        is_over: whether no more candidates are to be begun; those that are running are waited for.
    """
    evaluation = evaluation or Here(evaluator, reporter)
    limit = trials if evaluation.whole == 1 else None
    study.keep_whole(evaluation.whole)
    failures, last = 0, ""
    with reporter.track("search", trials, "candidates", len(study.candidates())) as advance:
        shown = len(study.candidates())
        while True:
            study.refresh()
            evaluated = study.candidates()
            for _ in range(shown, len(evaluated)):
                best = min(evaluated, key=lambda candidate: candidate.merit)
                advance(f"best {best.measured.metric.told(best.score)}")
            shown = len(evaluated)
            if len(evaluated) >= trials and not evaluation.busy():
                return ended(study, reporter)
            if is_over() and not evaluation.busy():
                return evaluated
            wanted = 0 if is_over() else trials - len(evaluated) - len(study.running())
            exhausted = False
            if wanted > 0 and evaluation.room:
                count = evaluation.room if evaluation.whole > 1 else min(wanted, evaluation.room)
                claims = _claimed(study, count, limit)
                evaluation.begin(claims or [])
                exhausted = claims is None
            if not evaluation.busy():
                if exhausted and not study.running():
                    reporter.say(f"all {len(evaluated)} architectures within the budget have been evaluated")
                    return evaluated
                time.sleep(PAUSE)  # another process is at it; if it is lost, its candidate comes back
                continue
            for claim, result in evaluation.finished():
                if isinstance(result, Candidate):
                    study.accept(claim, result)
                    failures = 0
                    continue
                study.fail(claim, result.reason)
                reporter.say(f"{result.architecture.digest()[:12]} failed: {result.reason}")
                failures += 1
                last = result.reason
            if failures >= MAX_FAILURES:  # after the whole generation has been told
                raise InputError(f"the last {failures} evaluations failed: {last}")


def ended(study: Study, reporter: Reporter) -> list[Candidate]:
    """What was evaluated in a search that has as many candidates as wanted; says what waits in the queue still."""
    if study.waiting():
        reporter.say(f"enqueued trials that wait: {study.waiting()}; the same command with more `trials` goes on")
    return study.candidates()


def _claimed(study: Study, count: int, limit: int | None) -> list[Claim] | None:
    """At most `count` proposals that this process is to evaluate; None where there is nothing left to propose."""
    claims: list[Claim] = []
    lost = 0
    while len(claims) < count and lost < MAX_LOST_CLAIMS:
        proposal = study.orphan() or study.queued() or _asked(study) or _drawn(study)
        if proposal is None:
            return claims or None
        claim = study.claim(proposal, limit)
        if claim is not None:
            claims.append(claim)
            continue
        lost += 1
        study.refresh()
        if limit is not None and len(study.candidates()) + len(study.running()) >= limit:
            break
    return claims


def _asked(study: Study) -> Proposal | None:
    """The sampler's first proposal that is new and within the budget; None after too many that are not."""
    goal = study.goal
    if len(study.candidates()) < goal.startup:
        return None
    # Counted by the study, so that a run killed between two rejections goes on as if it had not been.
    while study.rejected_in_a_row() < study.asks:
        proposal = study.ask()
        if goal.budget.excess(goal.priced.cost(proposal.architecture)) > 0:
            study.reject(proposal, OVER_BUDGET)
        elif study.known(proposal.architecture.digest()):
            study.reject(proposal, SEEN)
        else:
            return proposal
    return None


def _drawn(study: Study) -> Proposal | None:
    """An architecture within the budget that is new, uniformly; None if there is none."""
    goal = study.goal
    rng = random.Random(derive(goal.seed, "draw", study.turn()))
    for _ in range(MAX_DRAWS):
        architecture = goal.priced.sample(rng)
        if not study.known(architecture.digest()):
            return Proposal(architecture)
    left = _left(goal, study)
    return Proposal(rng.choice(left)) if left else None


def _left(goal: Goal, study: Study) -> list[Architecture]:
    """What is not known yet. After so many repeats nearly all is, and listing takes no longer than the search did."""
    return [found for found in goal.priced.table.all() if not study.known(found.digest())]
