"""Trials written once, although a storage can go away before it answers: an attempt may have taken effect."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from studies.storage.storages import patiently


def store(storage: BaseStorage, study_id: int, trial: FrozenTrial, token: str | None) -> int:
    """Stores the trial, and returns its id.

    Args:
        token: what the trial's claim is known by; None for one that is known by when it started.
    """
    attempts = itertools.count()

    def write() -> int:
        if next(attempts):
            for stored in reversed(storage.get_all_trials(study_id, deepcopy=False)):
                same = stored.user_attrs.get("claim") == token if token else stored.datetime_start == started
                if same and stored.params == trial.params:
                    return stored._trial_id
        return storage.create_new_trial(study_id, trial)

    started = trial.datetime_start
    return patiently(write)


def end_trial(
    storage: BaseStorage,
    trial_id: int,
    state: TrialState,
    values: Sequence[float] | None,
    attributes: Mapping[str, Any],
) -> bool:
    """Ends a running trial; False if another process has ended it."""

    def end() -> bool:
        before = storage.get_trial(trial_id)
        if before.state.is_finished():
            # By this process, if an attempt took effect although the storage did not answer.
            return before.state == state and all(before.user_attrs.get(k) == v for k, v in attributes.items())
        for name, value in attributes.items():
            storage.set_trial_user_attr(trial_id, name, value)
        storage.set_trial_state_values(trial_id, state, values)
        return True

    try:
        return patiently(end)
    except UpdateFinishedTrialError:
        return False
