"""What a study calls the decisions of its trials: stages and blocks are counted from 1 there, as in every report.

Inside the program they are counted from 0. A study that began when its parameters were called so too goes on with them.
"""

import re
from typing import Any

import optuna
from optuna.distributions import BaseDistribution

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import Architecture
from studies.samplers.base import Goal
from studies.samplers.optuna_samplers import decisions

COUNTED = "coordnas:counted_from"
"""The study's system attribute that says so; one that has trials and does not say it counts from 0."""

_NUMBERED = re.compile(r"\b(stage|block)(\d+)(?=\.)")


def counted_from(study: optuna.Study) -> int:
    """The number of the first stage in the study's parameters. A study without trials is told 1.

    Raises InputError for an attribute that no search wrote.
    """
    storage, identity = study._storage, study._study_id
    found = storage.get_study_system_attrs(identity).get(COUNTED)
    if found is None and storage.get_n_trials(identity) > 0:
        return 0
    if found is None:
        storage.set_study_system_attr(identity, COUNTED, 1)
        return 1
    if type(found) is not int or found not in (0, 1):
        raise InputError(f"attribute {COUNTED}: expected 0 or 1, got {shown(found)}")
    return found


def name_in_study(name: str, first: int) -> str:
    """A decision's name in a study that counts from `first`: `stage1.block2.attention` of `stage0.block1.attention`."""
    return _NUMBERED.sub(lambda found: f"{found[1]}{int(found[2]) + first}", name)


def parameters(
    goal: Goal, architecture: Architecture, first: int
) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """The architecture as a trial's parameters and their distributions, in a study that counts from `first`."""
    chosen, distributions = decisions(goal, architecture)
    return (
        {name_in_study(name, first): value for name, value in chosen.items()},
        {name_in_study(name, first): one for name, one in distributions.items()},
    )
