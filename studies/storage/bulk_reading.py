"""All trials of a study at once, with what a search reads of them.

Optuna makes an object for every parameter and attribute of every trial, a dozen of them in each of a search's trials:
with ten thousand, opening the study took many seconds. The search reads a trial's attributes alone, and these are
selected here from Optuna's own tables, as plain rows.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select

from foundation.errors import InputError
from foundation.json_files import parse_json, shown

MAX_CHARACTERS = 20_000_000  # of an attribute: proposals that were rejected can be many
FIXED = "fixed_params"  # the attribute that Optuna's `enqueue_trial` writes


@dataclass(frozen=True)
class Waiting:
    """A trial that waits to be evaluated, with the parameters that it is to have."""

    trial_id: int
    number: int
    params: dict[str, Any]


def uncached(storage: BaseStorage) -> BaseStorage:
    """The storage without Optuna's cache, which knows of a trial after it has read all of them."""
    database = getattr(storage, "_backend", storage)
    return database if isinstance(database, RDBStorage) else storage


def read_waiting(storage: BaseStorage, study_id: int) -> list[Waiting]:
    """The study's queued trials by number. Of a database, no other trial is read."""
    database = uncached(storage)
    if not isinstance(database, RDBStorage):
        trials = storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.WAITING,))
        return [Waiting(trial._trial_id, trial.number, trial.system_attrs.get(FIXED, {})) for trial in trials]
    trial, attribute = models.TrialModel, models.TrialSystemAttributeModel
    queued = (
        select(trial.trial_id, trial.number, attribute.value_json)
        .outerjoin(attribute, (attribute.trial_id == trial.trial_id) & (attribute.key == FIXED))
        .where(trial.study_id == study_id, trial.state == TrialState.WAITING)
        .order_by(trial.number)
    )
    with database.engine.connect() as connection:
        rows = connection.execute(queued).all()
    return [Waiting(trial_id, number, _value(trial_id, FIXED, text) if text else {}) for trial_id, number, text in rows]


def read_trials(storage: BaseStorage, study_id: int) -> list[FrozenTrial]:
    """The study's trials by number; of a database, without parameters, distributions and intermediate values."""
    database = uncached(storage)
    if not isinstance(database, RDBStorage):
        return storage.get_all_trials(study_id, deepcopy=False)
    trial, value = models.TrialModel, models.TrialValueModel
    times = trial.__table__.c
    of_study = trial.study_id == study_id
    with database.engine.connect() as connection:
        rows = connection.execute(
            select(trial.trial_id, trial.number, trial.state, times.datetime_start, times.datetime_complete)
            .where(of_study)
            .order_by(trial.number)
        ).all()
        values: dict[int, list[float]] = defaultdict(list)
        for trial_id, stored, kind in connection.execute(
            select(value.trial_id, value.value, value.value_type)
            .join(trial, trial.trial_id == value.trial_id)
            .where(of_study)
            .order_by(value.trial_id, value.objective)
        ):
            values[trial_id].append(value.stored_repr_to_value(stored, kind))
        attributes: list[dict[int, dict[str, Any]]] = []
        for model in (models.TrialUserAttributeModel, models.TrialSystemAttributeModel):
            found: dict[int, dict[str, Any]] = defaultdict(dict)
            for trial_id, key, text in connection.execute(
                select(model.trial_id, model.key, model.value_json)
                .join(trial, trial.trial_id == model.trial_id)
                .where(of_study)
            ):
                found[trial_id][key] = _value(trial_id, key, text)
            attributes.append(found)
    for trial_id, number, *_ in rows:
        if type(number) is not int:
            raise InputError(f"trial with id {trial_id}: number: expected a whole number, got {shown(number)}")
    user, system = attributes
    return [
        FrozenTrial(
            number=number,
            state=TrialState(state),
            value=None,
            values=values.get(trial_id),
            datetime_start=started,
            datetime_complete=ended,
            params={},
            distributions={},
            user_attrs=user.get(trial_id, {}),
            system_attrs=system.get(trial_id, {}),
            intermediate_values={},
            trial_id=trial_id,
        )
        for trial_id, number, state, started, ended in rows
    ]


def _value(trial_id: int, key: object, text: object) -> Any:
    """An attribute's value. Raises InputError naming it."""
    try:
        if not isinstance(key, str) or not isinstance(text, str):
            raise InputError(f"expected a name and a JSON text, got {shown(text)}")
        return parse_json(text, MAX_CHARACTERS, finite=False)
    except InputError as error:
        raise InputError(f"attribute {shown(key)} of the trial with id {trial_id}: {error}") from None
