"""A told proposal as a trial in Optuna storage, and back.

A trial's user attributes hold the architecture, its digest, its costs and its metrics, and the proposals that were
rejected since the trial before; its system attributes hold what the sampler wants to be told again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from evaluators.base import read_numbers
from search_space.architecture import Architecture
from search_space.cost import Cost
from studies.samplers.base import Proposal, Task, Told
from studies.samplers.optuna_samplers import decisions
from studies.trials import Candidate


def new_trial(
    task: Task, state: TrialState, told: Told, attributes: Mapping[str, Any], started: datetime | None = None
) -> FrozenTrial:
    """The trial that tells this."""
    params, distributions = decisions(task, told.architecture)
    trial = create_trial(
        state=state,
        values=told.values(task.objectives) if told.score is not None else None,
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


def described(architecture: Architecture, cost: Cost) -> dict[str, Any]:
    """The attributes of an architecture."""
    return {
        "architecture": architecture.to_json(),
        "digest": architecture.digest(),
        "attention": " ".join(stage.attention_label for stage in architecture.stages),
        **cost.to_dict(),
    }


def is_ours(trial: FrozenTrial) -> bool:
    """Whether the search told the trial; one that a user queued or told by hand is not."""
    if "digest" not in trial.user_attrs or "withdrawn" in trial.user_attrs:
        return False
    return trial.state == TrialState.COMPLETE or "failed" in trial.user_attrs


def occupies(trial: FrozenTrial) -> bool:
    """Whether the trial keeps others from evaluating its architecture."""
    return trial.state in (TrialState.RUNNING, TrialState.COMPLETE) or is_ours(trial)


def read_proposal(trial: FrozenTrial) -> Proposal:
    """What was proposed."""
    memo = {name: value for name, value in trial.system_attrs.items() if not name.startswith("constraints")}
    return Proposal(Architecture.from_json(trial.user_attrs["architecture"]), memo)


def read_told(trial: FrozenTrial, objective: str) -> tuple[Told, Candidate | None]:
    """What one of our trials tells, and the candidate if it was evaluated."""
    proposal, candidate = read_proposal(trial), None
    if trial.state == TrialState.COMPLETE:
        candidate = _candidate(trial, proposal.architecture, objective)
    reason = None if candidate else f"failed: {trial.user_attrs['failed']}"
    score = candidate.score if candidate else None
    return Told(proposal, read_cost(trial), score, trial.constraints["budget"], reason), candidate


def read_cost(trial: FrozenTrial) -> Cost:
    """What the architecture costs."""
    attributes = trial.user_attrs
    return Cost(attributes["macs"], attributes["params"], latency_ns=attributes.get("latency_ns", 0))


def brief(task: Task, told: Told) -> list[Any]:
    """A rejected proposal as plain values: why, its decisions in the program's order, and the sampler's memo."""
    memo = dict(told.proposal.memo)
    return [told.reason, list(task.space.choices(told.architecture).values()), *([memo] if memo else ())]


def read_brief(task: Task, values: Sequence[Any]) -> Told:
    """The rejected proposal that `brief` made plain."""
    reason, decided, *memo = values
    following = iter(decided)
    architecture = task.space.assemble(lambda name, options: next(following))
    cost = task.space.cost(architecture)
    proposal = Proposal(architecture, memo[0] if memo else {})
    return Told(proposal, cost, None, task.budget.excess(cost), reason)


def _candidate(trial: FrozenTrial, architecture: Architecture, objective: str) -> Candidate:
    attributes = trial.user_attrs
    named = attributes if objective == "accuracy" else {objective: trial.values[0]}
    rungs = tuple(attributes.get("rungs", ()))
    return Candidate(architecture, read_cost(trial), read_numbers(objective, named), rungs)
