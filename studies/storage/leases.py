"""Which of a study's running trials are alive: each worker renews its own, and watches the others'.

A lease is a counter in the trial's attributes. A trial whose counter has not changed for a number of seconds by the
watcher's own clock is lost: clocks of different hosts are never compared, and a process id says nothing on another
host. Time in which the storage could not be read does not count, for then nobody could renew.
"""

import threading
import time
from collections.abc import Callable

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

ATTRIBUTE = "lease"
SECONDS = 60.0
BEATS = 4
"""Renewals in the time after which a trial counts as lost."""


class Leases:
    """Renews the leases of this process's trials and watches those of others, in a thread.

    Args:
        seconds: without a change, after which a trial is lost.
        now: the watcher's clock.
    """

    def __init__(
        self, storage: BaseStorage, study_id: int, seconds: float = SECONDS, now: Callable[[], float] = time.monotonic
    ):
        self._storage = storage
        self._study_id = study_id
        self.seconds = seconds
        self._now = now
        self._own: dict[int, int] = {}  # trial id → counter
        self._seen: dict[int, tuple[int, float]] = {}  # trial id → its counter, and since when
        self._watched: float | None = None
        self._away = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._thread.start()

    def hold(self, trial_id: int) -> None:
        """Renews this trial's lease from now on."""
        with self._lock:
            self._own[trial_id] = 0

    def let_go(self, trial_id: int) -> None:
        """Renews it no longer."""
        with self._lock:
            self._own.pop(trial_id, None)

    def is_lost(self, trial: FrozenTrial) -> bool:
        """Whether the running trial's worker has not been heard of for too long."""
        with self._lock:
            if trial._trial_id in self._own or trial._trial_id not in self._seen or self._watched is None:
                return False
            return self._watched - self._seen[trial._trial_id][1] >= self.seconds

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join(self.seconds)

    def beat(self) -> None:
        """Renews and watches once."""
        try:
            with self._lock:
                own = {trial_id: counter + 1 for trial_id, counter in self._own.items()}
            for trial_id, renewed in own.items():
                self._renew(trial_id, renewed)
            running = self._storage.get_all_trials(self._study_id, deepcopy=False, states=(TrialState.RUNNING,))
        except Exception:  # the storage is away; whoever needs it says so
            self._away = True
            return
        now = self._now()
        with self._lock:
            # Once the storage is back, everyone has a full term to renew again.
            gap, self._away = self._away, False
            self._watched = now
            before, self._seen = self._seen, {}
            for trial in running:
                counter = trial.user_attrs.get(ATTRIBUTE)
                if type(counter) is not int:
                    continue
                known = before.get(trial._trial_id)
                since = now if gap or known is None or known[0] != counter else known[1]
                self._seen[trial._trial_id] = counter, since

    def _renew(self, trial_id: int, counter: int) -> None:
        with self._lock:
            if trial_id not in self._own:
                return
            self._own[trial_id] = counter
        try:
            self._storage.set_trial_user_attr(trial_id, ATTRIBUTE, counter)
        except (UpdateFinishedTrialError, KeyError):  # it has just ended
            self.let_go(trial_id)

    def _run(self) -> None:
        while not self._stop.wait(self.seconds / BEATS):
            self.beat()
