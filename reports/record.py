"""What a run's folder says, read whole: files that are absent leave their part empty.

Everything a report shows comes from here. The study that is read is the folder's own, which stays as it is, or one
whose address the user has given: an address in the configuration is told, and nothing is opened there.
"""

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from evaluators.titles import Title, title_of
from foundation.errors import InputError
from foundation.json_files import shown
from foundation.metric import ACCURACY, Metric, read_measured
from reports.run_objects import check_kinds, inner, metric_of, pictures_of, read_object
from reports.trainings import RETRAIN, Place, Retrained, place_name, read_curves, read_place, read_retrained
from reports.uncertainty import measured_on
from search_space.architecture import Architecture
from search_space.cost.cost import Budget, Cost
from search_space.cost.priced_space import PricedSpace
from search_space.head import Head, read_head
from studies.finalists import Decided, read_finalists
from studies.runs.run_folder import BEST, CONFIG, FRONT, RESULTS, STUDY
from studies.storage.bulk_reading import read_trials
from studies.storage.own_study import own_study
from studies.storage.records import read_briefs, read_candidate
from studies.storage.storages import cause_of, close_storage, open_storage, without_password
from studies.storage.study_names import name_of_run, name_there
from studies.trials import Candidate

MOST_REASON = 80  # characters of why a proposal was rejected


class Evaluated(NamedTuple):
    """A candidate as the study holds it; `seconds` since its search began, 0 where the study does not say."""

    number: int
    trial_id: int
    candidate: Candidate
    seconds: float


@dataclass(frozen=True)
class Record:
    """What is known of a run.

    Attributes:
        metric: what candidates are ranked by.
        rejected: proposals that were not evaluated, by reason.
        places: the folders of `retrained`, by the name that it calls them.
        curves: of each training by the name of its folder, an entry an epoch.
        decided: what the finalists came to; None if there were none.
        without_study: why there are no trials; None if there are.
        storage: the study's address, without a password; `study_id` is its number there, if it can be read.
    """

    folder: Path
    identity: Mapping[str, Any] = field(default_factory=dict)
    free: Mapping[str, Any] = field(default_factory=dict)
    metric: Metric = ACCURACY
    best: Candidate | None = None
    data: str | None = None
    classes: tuple[str, ...] = ()
    front: tuple[Candidate, ...] = ()
    evaluated: tuple[Evaluated, ...] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    retrained: tuple[Retrained, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    curves: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    decided: Decided | None = None
    without_study: str | None = None
    storage: str = ""
    study_id: int | None = None

    def pictures(self, split: str) -> int | None:
        """How many pictures the split has, where the run says it."""
        return pictures_of(self.free, split)

    @property
    def scored_pictures(self) -> int | None:
        """How many pictures the front's scores are of; None where it is not known, or they are of none."""
        return measured_on(self.identity.get("evaluator") or {}, self.metric, self.pictures("validation"))

    @property
    def num_classes(self) -> int | None:
        """Of the data, where they are known."""
        count = len(self.classes) or (self.identity.get("space") or {}).get("num_classes")
        return count if type(count) is int and count > 0 else None

    @cached_property
    def trials(self) -> dict[str, int]:
        """The number of each candidate's trial in the study, by digest: how it is found in the dashboard."""
        return {one.candidate.architecture.digest(): one.number for one in reversed(self.evaluated)}

    @cached_property
    def scored_again(self) -> dict[int, Candidate]:
        """The candidates that came to another value when they were looked at thoroughly, by their trials' numbers."""
        finals = [final.candidate for final in self.decided.finals] if self.decided else []
        later = {one.architecture.digest(): one for one in (*finals, *self.front, *filter(None, [self.best]))}
        pairs = [(one, later.get(one.candidate.architecture.digest())) for one in self.evaluated]
        return {one.number: now for one, now in pairs if now is not None and now.measured != one.candidate.measured}

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def place(self, name: str) -> Place:
        """The folder of trainings that is called so."""
        return self.places.get(name, Place())

    def longest(self, names: Iterable[str]) -> list[str]:
        """The folders of trainings that are called so, that of the most epochs first, and of these the newest."""
        return sorted(set(names), key=lambda name: (-self.place(name).epochs, -self.place(name).written, name))

    @property
    def space(self) -> PricedSpace | None:
        """The space that was searched, with the data's number of classes."""
        described = self.identity.get("space")
        return None if described is None else PricedSpace.from_dict(described)

    @property
    def title(self) -> Title:
        """How the search's scores are told."""
        return title_of(self.identity.get("evaluator") or {}, self.metric, recorded=self.free.get("title"))

    @property
    def retraining(self) -> str:
        """The flags and the folder of `retrain.py` that come next: with a comparison, where there can be one.

        One that begins from another run's shared weights has none: they have no network of another space.
        """
        init = self.free.get("init")
        shared = isinstance(init, dict) and str(init.get("name")).startswith("supernet ")
        return f"{shlex.quote(str(self.folder))}{'' if shared else ' --compare'}"

    @property
    def bounds(self) -> dict[str, int]:
        """The budget: bounds by the Cost field's name."""
        budget = self.identity.get("budget") or {}
        return {name.removeprefix("max_"): bound for name, bound in budget.items() if bound is not None}

    @property
    def head(self) -> Head | int | None:
        """What follows each backbone: a task's own head, or the number of the data's classes, where it is known."""
        described = self.identity.get("space") or {}
        if "head" in described:
            return read_head(described["head"])
        return len(self.classes) or described.get("num_classes")


def read_record(folder: Path, storage: str | None = None, retrained: Path | None = None) -> Record:
    """Reads a run's folder. Raises InputError for a file that is there and is no run's.

    Args:
        storage: the study's address, where the user has given one; None for the folder's own.
        retrained: where its networks were trained by themselves, beside the folder's `retrain` and `retrain-…`.
    """
    config = read_object(folder / CONFIG)
    identity, free = inner(config, "identity"), inner(config, "free")
    _check_configuration(folder / CONFIG, identity, free)
    metric = metric_of(folder / CONFIG, identity)
    best = read_object(folder / BEST)
    check_kinds(folder / BEST, best, data=str, classes=list, digest=str)
    front = read_object(folder / FRONT)
    check_kinds(folder / FRONT, front, front=list)
    classes = best.get("classes")
    shared = free.get("storage")
    own = f"sqlite:///{folder / STUDY}"
    kept = shared if isinstance(shared, str) else own
    trials, study_id, why = _stored(folder, storage, shared if isinstance(shared, str) else None)
    evaluated, rejected, failed = _told(trials, metric)
    places = [path.parent for path in folder.glob(f"{RETRAIN}*/{RESULTS}")]
    if retrained is not None and retrained.resolve() not in [place.resolve() for place in places]:
        places.append(retrained)
    trainings = sorted(places)
    names = {place: place_name(folder, place) for place in trainings}
    placed = {name: read_place(place, best.get("digest")) for place, name in names.items()}
    return Record(
        folder=folder,
        identity=identity,
        free=free,
        metric=metric,
        best=_candidate(best, metric, folder / BEST) if best else None,
        data=best.get("data") or identity.get("data"),
        classes=tuple(map(str, classes)) if isinstance(classes, list) else (),
        front=tuple(_candidate(entry, metric, folder / FRONT) for entry in front.get("front") or ()),
        evaluated=evaluated,
        rejected=rejected,
        failed=failed,
        retrained=tuple(
            one for place, name in names.items() for one in read_retrained(place / RESULTS, name, placed[name].metric)
        ),
        places=placed,
        curves=read_curves(trainings),
        decided=_decided(folder, metric, best.get("digest")),
        storage=kept,
        study_id=study_id,
        without_study=why,
    )


def _decided(folder: Path, metric: Metric, best: object) -> Decided | None:
    """What the finalists came to, where the best is their winner: a search that goes on may have another one since."""
    found = read_finalists(folder, metric)
    return found if found and found.finals[0].candidate.architecture.digest() == best else None


def _check_configuration(path: Path, identity: Mapping[str, Any], free: Mapping[str, Any]) -> None:
    """Raises InputError, naming the field, where what a report reads of a configuration is of another kind."""
    check_kinds(path, identity, space=dict, budget=dict, evaluator=dict, sampler=dict, data=str)
    check_kinds(path, free, data=str, command=str, storage=str)
    name = inner(identity, "evaluator").get("name")
    if name is not None and not isinstance(name, str):
        raise InputError(f"{path}: identity.evaluator.name: expected a name, got {shown(name)}")
    try:
        title_of({}, ACCURACY, recorded=free.get("title"))
    except InputError as error:
        raise InputError(f"{path}: free.{error}") from None
    try:
        Budget(**inner(identity, "budget"))
    except (TypeError, InputError) as error:
        raise InputError(f"{path}: identity.budget: {error}") from None


def _candidate(entry: Any, metric: Metric, path: Path) -> Candidate:
    try:
        cost = Cost.from_dict(entry["cost"])
        return Candidate(Architecture.from_dict(entry["architecture"]), cost, read_measured(metric, entry["metrics"]))
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{path}: not a run's result ({error}); remove it, and run the search again") from None


def _stored(
    folder: Path, given: str | None, recorded: str | None
) -> tuple[Sequence[FrozenTrial], int | None, str | None]:
    """The study's trials and its number in the storage, or why there are none."""
    own = folder / STUDY
    if given is None and not own.exists():
        if recorded is not None:
            return (
                (),
                None,
                f"the study is at {without_password(recorded)[:200]}, and is read from there with --storage ADDRESS",
            )
        return (), None, "the folder holds no study"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with own_study(own) if given is None else _given(given) as storage:
            name = name_of_run(folder, shared=recorded is not None)
            study_id = storage.get_study_id_from_name(name if recorded else name_there(storage, name))
            return read_trials(storage, study_id), study_id, None
    except Exception as error:  # whatever a storage out of reach raises: a report does without
        return (), None, f"the study cannot be read from here ({cause_of(error)})"


@contextmanager
def _given(url: str) -> Iterator[BaseStorage]:
    storage = open_storage(url)
    try:
        yield storage
    finally:
        close_storage(storage)


def _told(trials: Sequence[FrozenTrial], metric: Metric) -> tuple[tuple[Evaluated, ...], dict[str, int], int]:
    """The candidates in the order they were told, and the numbers of proposals rejected and of evaluations failed."""
    starts = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    first = min(starts, default=None)
    evaluated = []
    rejected: Counter[str] = Counter()
    failed = 0
    for trial in trials:
        attributes = trial.user_attrs
        rejected.update(str(brief[0])[:MOST_REASON] for brief in read_briefs(trial))
        failed += "failed" in attributes and "withdrawn" not in attributes
        if trial.state != TrialState.COMPLETE or "digest" not in attributes:
            continue
        try:
            candidate = read_candidate(trial, metric)
        except InputError as error:
            raise InputError(f"the study's {error}") from None
        if math.isfinite(candidate.score):
            evaluated.append(
                Evaluated(trial.number, trial._trial_id, candidate, _since(first, trial.datetime_complete))
            )
    return tuple(evaluated), dict(rejected), failed


def _since(first: datetime | None, then: datetime | None) -> float:
    return 0.0 if first is None or then is None else max(0.0, (then - first).total_seconds())
