"""A told proposal as a trial in Optuna storage, and back.

A trial's user attributes hold the architecture, its digest, its costs and its metrics, and the proposals that were
rejected since the trial before; its system attributes hold what the sampler wants to be told again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from foundation.errors import InputError
from foundation.json_files import shown
from foundation.metric import Measured, Metric, read_measured
from search_space.architecture import Architecture
from search_space.cost.cost import Cost
from studies.samplers.base import REJECTIONS, Goal, Proposal, Told
from studies.storage.leases import ATTRIBUTE as LEASE
from studies.storage.parameter_names import parameters
from studies.trials import Candidate

KEPT = frozenset(
    {
        *("architecture", "digest", "attention", "rejected", "rungs", "failed", "withdrawn", "claim", "retries", LEASE),
        *(field.name for field in fields(Cost)),
    }
)
"""The attributes that a trial has for itself."""


def check_names(metric: Metric) -> None:
    """Raises InputError for a metric beside which something is named as an attribute that a trial has for itself.

    The metric itself may be: its values are a trial's, not an attribute.
    """
    for name in metric.beside:
        if name in KEPT:
            raise InputError(
                f"metric {metric.name}: beside: {name} is another attribute of trials; choose another name"
            )


def numbers_beside(measured: Measured) -> dict[str, float]:
    """The attributes of what was measured: all but a metric that is named as one that a trial has for itself."""
    return {name: value for name, value in measured.numbers().items() if name not in KEPT}


def new_trial(
    goal: Goal,
    state: TrialState,
    told: Told,
    attributes: Mapping[str, Any],
    started: datetime | None = None,
    *,
    first: int = 1,
) -> FrozenTrial:
    """The trial that tells this, in a study that counts stages from `first`."""
    params, distributions = parameters(goal, told.architecture, first)
    trial = create_trial(
        state=state,
        values=stored_values(goal, told),
        params=params,
        distributions=distributions,
        user_attrs=dict(attributes),
        system_attrs=dict(told.proposal.memo),
        # Optuna takes a trial without any constraint for feasible.
        constraints={"budget": told.excess},
    )
    if started is not None:
        trial.datetime_start = started
    return trial


def directions(goal: Goal) -> list[StudyDirection]:
    """Which way is better of the metric, and of each cost."""
    first = StudyDirection.MAXIMIZE if goal.metric.higher_is_better else StudyDirection.MINIMIZE
    return [first] + [StudyDirection.MINIMIZE] * len(goal.costs)


def stored_values(goal: Goal, told: Told) -> list[float] | None:
    """The metric's value and the costs, as a trial has them; None if it was not evaluated."""
    if told.score is None:
        return None
    merit, *costs = told.values(goal.objectives)
    return [goal.metric.merit(merit), *costs]


def described(architecture: Architecture, cost: Cost) -> dict[str, Any]:
    """The attributes of an architecture."""
    return {
        "architecture": architecture.to_json(),
        "digest": architecture.digest(),
        "attention": " ".join(row.attention_label for row in architecture.stage_rows()),
        **cost.to_dict(),
    }


def is_ours(trial: FrozenTrial) -> bool:
    """Whether the search told the trial; one that a user queued or told by hand is not."""
    if "digest" not in trial.user_attrs:
        return False
    # Another process may write on a trial, which it takes for lost, while its own process ends it.
    if trial.state == TrialState.COMPLETE:
        return True
    return "failed" in trial.user_attrs and "withdrawn" not in trial.user_attrs


def occupies(trial: FrozenTrial) -> bool:
    """Whether the trial keeps others from evaluating its architecture."""
    return trial.state in (TrialState.RUNNING, TrialState.COMPLETE) or is_ours(trial)


def read_proposal(trial: FrozenTrial) -> Proposal:
    """What was proposed."""
    with _told_of(trial):
        memo = {name: value for name, value in trial.system_attrs.items() if not name.startswith("constraints")}
        return Proposal(Architecture.from_json(trial.user_attrs["architecture"]), memo)


def read_told(trial: FrozenTrial, metric: Metric) -> tuple[Told, Candidate | None]:
    """What one of our trials tells, and the candidate if it was evaluated."""
    proposal, candidate = read_proposal(trial), None
    if trial.state == TrialState.COMPLETE:
        candidate = read_candidate(trial, metric)
    with _told_of(trial):
        reason = None if candidate else f"failed: {trial.user_attrs['failed']}"
        excess = trial.constraints["budget"]
        if type(excess) not in (int, float) or not math.isfinite(excess):
            raise InputError(f"constraints: expected a number, got {shown(excess)}")
    score = candidate.measured.merit if candidate else None
    return Told(proposal, read_cost(trial), score, excess, reason), candidate


def read_cost(trial: FrozenTrial) -> Cost:
    """What the architecture costs."""
    with _told_of(trial):
        return Cost.from_dict(trial.user_attrs)


def brief(goal: Goal, told: Told) -> list[Any]:
    """A rejected proposal as plain values: why, its decisions in the program's order, and the sampler's memo."""
    memo = dict(told.proposal.memo)
    return [told.reason, list(goal.space.choices(told.architecture).values()), *([memo] if memo else ())]


def read_brief(goal: Goal, values: Sequence[Any]) -> Told:
    """The rejected proposal that `brief` made plain."""
    reason, decided, *memo = values
    if reason not in REJECTIONS or not isinstance(decided, list):
        raise InputError(f"not a rejected proposal: {shown(values)}")
    following = iter(decided)
    architecture = goal.space.assemble(lambda name, options: next(following))
    cost = goal.priced.cost(architecture)
    proposal = Proposal(architecture, memo[0] if memo else {})
    return Told(proposal, cost, None, goal.budget.excess(cost), reason)


def read_briefs(trial: FrozenTrial) -> list[list[Any]]:
    """The rejected proposals that a trial lists, as `brief` made them plain."""
    found = trial.user_attrs.get("rejected", [])
    with _told_of(trial):
        if not isinstance(found, list) or not all(isinstance(one, list) and len(one) >= 2 for one in found):
            raise InputError(f"rejected: expected a list of proposals, got {shown(found)}")
    return found


def read_candidate(trial: FrozenTrial, metric: Metric) -> Candidate:
    """The candidate of a trial that is complete."""
    architecture, cost, attributes = read_proposal(trial).architecture, read_cost(trial), trial.user_attrs
    with _told_of(trial):
        named = {**attributes, metric.name: trial.values[0]}  # a score may be called as one of the counts
        rungs = attributes.get("rungs", [])
        if not isinstance(rungs, list) or not all(type(rung) is float for rung in rungs):
            raise InputError(f"rungs: expected a list of numbers, got {shown(rungs)}")
        return Candidate(architecture, cost, read_measured(metric, named), tuple(rungs))


@contextmanager
def _told_of(trial: FrozenTrial) -> Iterator[None]:
    """Whatever a trial lacks, or holds of another kind, is an InputError that names the trial."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        lacks = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"trial {trial.number} is not as a search stores it ({lacks})") from None
