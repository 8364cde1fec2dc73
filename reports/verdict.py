"""What the trainings of a run say of its best network: which of them leads, and whether they contradict the search."""

import shlex
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from reports.palette import FOUND
from reports.record import Record
from reports.recorded_command import RETRAINING
from reports.terminal.comparison import Lead, more_seeds
from reports.trainings import RETRAIN, Retrained

RANDOM = "random"


class Rival(NamedTuple):
    """A network that did better than the best of the search, where both were trained by one recipe.

    Attributes:
        ahead: by how much, of mean merits.
        lead: of the found network over it, as it was tested; None where it was not.
        seeds: of the found network.
        early: whether the search itself trained the found network longer.
    """

    name: str
    place: str
    value: float
    found: float
    ahead: float
    lead: Lead | None
    seeds: int
    early: bool

    @property
    def is_sure(self) -> bool:
        """Whether a test over several seeds tells the two apart: that of one seed speaks of two sets of weights."""
        half = None if self.lead is None else self.lead.half_width
        return self.seeds > 1 and half is not None and self.ahead > half


def places(record: Record) -> list[str]:
    """The folders in which the best was trained, or all where it was in none; that of the longest training first."""
    best = _digest(record)
    of_best = {one.place for one in record.retrained if one.architecture.digest() == best}
    return record.longest(of_best or {one.place for one in record.retrained})


def networks(record: Record, place: str) -> dict[str, list[Retrained]]:
    """What was trained in the folder, by name, one a seed. The best is named `found`."""
    best = _digest(record)
    front = {one.architecture.digest(): number for number, one in enumerate(record.front, 1)}
    found: dict[str, list[Retrained]] = defaultdict(list)
    for one in record.retrained:
        digest = one.architecture.digest()
        name = one.network
        if digest == best:
            name = FOUND
        elif record.identity and name in (FOUND, "given"):  # of another file, or of a search that has gone on since
            name = f"network {front[digest]} of the front" if digest in front else f"{name}, {digest[:6]}"
        if one.place == place:
            found[name].append(one)
    return dict(found)


def trained_beside(record: Record) -> tuple[str, dict[str, list[Retrained]]]:
    """The folder in which the best network was trained longest, and what was trained there, by name, one a seed.

    Of folders with as many epochs it is the newest; where the best has not been trained, any folder. Trainings of other
    folders can have other recipes, and are no more seeds.
    """
    known = places(record)
    return (known[0], networks(record, known[0])) if known else ("", {})


def finalist_epochs(record: Record) -> int:
    """For how many epochs the search trained its best by itself; 0 if it did not."""
    if record.decided is None:
        return 0
    return record.decided.epochs[len(record.decided.finals[0].rungs) - 1]


def is_early(record: Record, place: str) -> bool:
    """Whether the folder's trainings are shorter than what the search gave its best itself: a look, and no result."""
    return 0 < record.place(place).epochs < finalist_epochs(record)


def compared(record: Record) -> tuple[str, dict[str, list[Retrained]]]:
    """The folder in which the best was trained longest beside others, and these; nothing where it was always alone."""
    for place in places(record):
        found = networks(record, place)
        if FOUND in found and len(found) > 1:
            return place, found
    return "", {}


def rival(record: Record) -> Rival | None:
    """Who does better than the best of the search, of the networks that were trained beside it; None if none does."""
    place, found = compared(record)
    if not found:
        return None
    metric = record.place(place).metric
    values = means(found)
    name = max((name for name in values if name != FOUND), key=lambda name: metric.merit(values[name]))
    ahead = metric.merit(values[name]) - metric.merit(values[FOUND])
    if ahead <= 0:
        return None
    lead = record.place(place).leads.get(name)
    return Rival(name, place, values[name], values[FOUND], ahead, lead, len(found[FOUND]), is_early(record, place))


def means(found: Mapping[str, Sequence[Retrained]]) -> dict[str, float]:
    """The mean value of each over its seeds."""
    return {name: statistics.mean(one.value for one in runs) for name, runs in found.items()}


def comparing(record: Record, place: str) -> str | None:
    """The command that trains others beside the best as the folder's trainings were made; None where none is known.

    What began from shared weights cannot be compared so: there it is a comparison from scratch, in another folder.
    """
    trained, folder = record.place(place), shlex.quote(str(record.folder))
    if trained.shares_weights or "--compare" not in record.retraining:
        out = shlex.quote(str(record.folder / f"{RETRAIN}-compared"))
        return f"python retrain.py {folder} --init scratch --compare --out {out}"
    flags = (trained.command or "").removeprefix(shlex.join(RETRAINING))
    if place == "" or (place == RETRAIN and trained.command is not None):
        return f"python retrain.py {record.retraining}{flags}"
    if trained.command is None:
        return None
    return f"python retrain.py {folder}{flags} --out {shlex.quote(str(record.folder / place))} --compare"


def told(record: Record, against: Rival) -> str:
    """The rival in sentences: how far it is ahead, how sure that is, and what follows."""
    metric, epochs = record.place(against.place).metric, record.place(against.place).epochs
    after = f" for {epochs:,} epoch{'s' if epochs > 1 else ''}" if epochs else ""
    half = None if against.lead is None else against.lead.half_width
    interval = "" if half is None else f" (95 % interval ± {metric.number(half)})"
    ahead = f"{metric.difference(against.ahead)}{interval}"
    said = (
        f"Trained beside it by the same recipe{after}, {against.name} comes to {metric.written(against.value)} "
        f"({metric.words} on the test pictures), this one to {metric.written(against.found)}: {ahead}"
    )
    if against.early:
        longer = finalist_epochs(record)
        return f"{said} after a short look. The search trained this one for {longer} epochs: compare as long as that."
    if against.is_sure:
        return f"{said}. The comparison contradicts the search: of these networks take {against.name}."
    untold = "too few to tell them apart" if against.lead is None else "which does not tell them apart"
    why = "which another seed can turn" if against.seeds == 1 else untold
    return f"{said}, {why}. So the comparison does not confirm the search: train more ({more_seeds(against.seeds)})."


def _digest(record: Record) -> str | None:
    return record.best.architecture.digest() if record.best is not None else None
