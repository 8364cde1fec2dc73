"""A run's study in its storage: made, or found there, if it is of the same run."""

import json
import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from foundation.errors import InputError
from studies.runs.identity import Asked, difference
from studies.samplers.base import Goal
from studies.storage.records import directions
from studies.storage.storages import open_storage, without_password
from studies.storage.study_names import FORMER_IDENTITY, IDENTITY, in_short, name_there

_COSTS = {"macs": "MACs", "params": "parameters", "latency_ns": "latency (ns)"}


def opened_study(
    url: str, name: str, goal: Goal, identity: Mapping[str, Any] | None, asked: Asked, *, own: bool
) -> optuna.Study:
    """The study of that name. Raises InputError, naming what differs, for that of another run.

    Args:
        identity: what makes two runs the same; None if nothing is checked.
        asked: in whose words.
        own: whether the storage is the run's own, where a study by another name is the run's too.
    """
    wanted, storage = directions(goal), open_storage(url)
    name = name_there(storage, name) if own else name
    study = optuna.create_study(study_name=name, storage=storage, directions=wanted, load_if_exists=True)
    if study.directions != wanted:
        raise InputError(
            f"{without_password(url)}: study {name!r} has {len(study.directions)} objectives, "
            f"this search {len(wanted)}; use another `out`, or give the same settings"
        )
    if identity is not None:
        here = json.loads(json.dumps(identity))
        there = study._storage.get_study_system_attrs(study._study_id)
        found = there.get(IDENTITY, study.user_attrs.get(FORMER_IDENTITY))
        if found is None:
            study._storage.set_study_system_attr(study._study_id, IDENTITY, here)
            for label, value in in_short(here).items():
                study.set_user_attr(label, value)
        elif other := difference(found, here):
            raise InputError(f"{without_password(url)}: study {name!r} is of another run: {other.told(asked=asked)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if study.metric_names is None:
            study.set_metric_names([goal.metric.words, *(_COSTS[cost] for cost in goal.costs)])
    return study
