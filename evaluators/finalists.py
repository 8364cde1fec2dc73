"""Candidates trained by themselves, rung by rung, by the recipe that what is found is retrained with.

Their trainings are the retraining's own: same folder, same seed, same bits. What goes on to the last rung, or wins,
need not be trained again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from evaluators.forecast import epoch_seconds
from evaluators.halving import Halving, entrants_by_rung
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_json
from foundation.json_files import read_json
from foundation.metric import Measured, checked, read_measured
from foundation.progress import Advance, PartReporter, Reporter
from search_space.architecture import Architecture
from search_space.first_weights import SCRATCH, FirstWeights
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.procedure import Procedure
from training.recipe import Recipe
from training.sizing import epoch_steps
from training.standalone import CHECKPOINT, WEIGHTS, train_part
from training.task import Task

FOLDER, RUNGS = "finalists", "rungs.json"
SHARES = (0.4, 0.7, 1.0)
"""Of the recipe's epochs, by the end of each rung: what networks come to then is known by their smoothed weights.

The last is the whole training: of two networks that come to the same before it, the deeper one gains more by its end.
"""
ETA = 2
SEED = 0
"""The first seed of a retraining, unless it is given another."""


@dataclass(frozen=True)
class FinalistSettings:
    """How many finalists are trained by themselves, and how.

    Attributes:
        recipe: the retraining's, for the pictures there are.
        init: where first weights come from.
    """

    count: int
    recipe: Recipe
    init: FirstWeights = SCRATCH

    @property
    def halving(self) -> Halving:
        """One group, of which half goes on after each rung, while there are two to tell apart."""
        last = self.recipe.epochs
        epochs = tuple(sorted({max(1, round(share * last)) for share in SHARES}))
        whole = Halving(generation=max(1, self.count), epochs=epochs, eta=ETA, bins=1)
        decisive = sum(entrants > 1 for entrants in entrants_by_rung(whole))
        return replace(whole, epochs=epochs[: max(1, decisive)])

    def described(self) -> dict[str, Any]:
        """Plain values that tell one choice of the winner from another."""
        return {
            "count": self.count,
            "epochs": list(self.halving.epochs),
            "recipe": self.recipe.described(),
            "init": self.init.name,
            "seed": SEED,
        }

    def about(self) -> str:
        """What is done, for the user who waits for it."""
        rungs = self.halving.epochs
        going_on = ", the better half going on after each" if len(rungs) > 1 else ""
        return f"{self.count} finalists trained by themselves, {', '.join(map(str, rungs))} epochs{going_on}"


class FinalistTraining:
    """Trains finalists; the search has the better half of them go on after each rung.

    What a rung gave stays in the finalist's folder, so nothing is trained twice, also after a kill. Those that do not
    take every rung keep their numbers, not their weights.

    Args:
        data: the pictures of a side, as a retraining has them; `pictures` of them are to train on.
        advance: called for each of `steps`.
    """

    def __init__(
        self,
        data: Callable[[int], Dataset],
        pictures: int,
        task: Task,
        settings: FinalistSettings,
        folder: Path,
        reporter: Reporter,
        advance: Advance = lambda note: None,
    ):
        self._load = cache(data)
        self._pictures = pictures
        self.task, self.metric = task, task.metric
        self.settings = settings
        self.folder = folder
        self.reporter = reporter
        self.advance = advance

    @property
    def halving(self) -> Halving:
        """Rungs and promotions."""
        return self.settings.halving

    @property
    def _steps(self) -> int:
        """Of an epoch."""
        return epoch_steps(self._pictures, self.settings.recipe.batch_size)

    @property
    def first_steps(self) -> int:
        """Of a network's first rung."""
        return self.halving.epochs[0] * self._steps

    @property
    def steps(self) -> int:
        """Of all trainings."""
        return self._epochs * self._steps

    @property
    def _epochs(self) -> int:
        """Of all trainings."""
        rungs = zip(entrants_by_rung(self.halving), self.halving.epochs, (0, *self.halving.epochs), strict=False)
        return sum(count * (end - begin) for count, end, begin in rungs)

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change what a finalist comes to."""
        return self.settings.described()

    def about(self) -> str:
        """What is done, for the user who waits for it."""
        return self.settings.about()

    def prepare(self) -> None:
        """Nothing that all share."""

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        """What it comes to after the first rung; `thorough` after the last one."""
        for rung in range(len(self.halving.epochs) if thorough else 1):
            measured = self.rung(architecture, rung)
        return measured

    def rung(self, architecture: Architecture, rung: int) -> Measured:
        """What the finalist comes to after a rung (from 0), which goes on from the rung before it."""
        folder = self._folder(architecture)
        remove_leftovers(folder, (RUNGS,))
        known = self._known(folder)
        epochs = self.halving.epochs[rung]
        begin = self.halving.epochs[rung - 1] if rung else 0
        part = PartReporter(self.reporter, self.advance)
        if str(epochs) not in known:
            measured = train_part(
                architecture,
                self._load(architecture.resolution),
                Procedure(self.settings.recipe, self.task, start=self.settings.init),
                until=epochs,
                seed=SEED,
                folder=folder,
                reporter=part,
                what=f"{architecture.digest()[:12]}, to epoch {epochs}",
            )
            known[str(epochs)] = checked(measured, self.metric).numbers()
            write_json(folder / RUNGS, known)
        part.up_to((epochs - begin) * self._steps)
        return self._told(folder, known, epochs)

    def known(self, architecture: Architecture, rung: int) -> Measured | None:
        """What `rung` gave before; None if it has not been asked for. Leaves the folder as it is."""
        folder, epochs = self._folder(architecture), self.halving.epochs[rung]
        known = self._known(folder)
        return self._told(folder, known, epochs) if str(epochs) in known else None

    def _told(self, folder: Path, known: dict[str, Any], epochs: int) -> Measured:
        try:
            return read_measured(self.metric, known[str(epochs)])
        except (KeyError, TypeError, InputError) as error:
            raise InputError(f"{folder / RUNGS}: epoch {epochs} is not told ({error}); remove {folder}") from None

    def drop(self, architecture: Architecture) -> None:
        """Removes the finalist's weights, unless it has taken every rung: it goes no further."""
        if str(self.halving.epochs[-1]) not in self._known(self._folder(architecture)):
            self.remove_weights(architecture)

    def remove_weights(self, architecture: Architecture) -> None:
        """Leaves of a training what its rungs gave."""
        folder = self._folder(architecture)
        remove_checkpoints(folder / CHECKPOINT)
        (folder / WEIGHTS).unlink(missing_ok=True)

    def _folder(self, architecture: Architecture) -> Path:
        """Of the architecture's training, by its recipe on these pictures: one of another kind stays as it is."""
        told = self.settings.described()
        kind = {name: told[name] for name in ("recipe", "init", "seed")} | {
            "data": self._load(architecture.resolution).identity
        }
        own = hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:8]
        return self.folder / FOLDER / f"{architecture.digest()[:16]}-{own}"

    def _known(self, folder: Path) -> dict[str, Any]:
        """What its rungs gave, by the epoch."""
        path = folder / RUNGS
        content = read_json(path) if path.exists() else {}
        if not isinstance(content, dict):
            raise InputError(f"{path}: not a finalist's rungs; remove {folder}")
        return content

    def seconds(self, architectures: Sequence[Architecture]) -> float:
        """Of all rungs, from a few steps of the architectures' trainings. Leaves no file."""
        each = 0.0
        for architecture in architectures:
            data = self._load(architecture.resolution)
            training, validation = epoch_seconds(
                architecture, architecture.resolution, data, data.train, self.settings.recipe, task=self.task
            )
            each += (training + validation) / len(architectures)
        return self._epochs * each


def begun(run: Path, architecture: Architecture) -> list[Path]:
    """The folders in a run's in which the architecture was trained as a finalist."""
    return sorted((run / FOLDER).glob(f"{architecture.digest()[:16]}-*"))
