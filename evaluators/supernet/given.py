"""The finished shared weights of another run, for a search of the same space and data within another budget."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.supernet.settings import SupernetRecipe
from foundation.errors import InputError
from foundation.files import write_atomically
from foundation.json_files import parse_json
from search_space.cost.cost import Budget
from search_space.cost.priced_space import PricedSpace
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import load_weights
from training.data.datasets import Dataset
from training.specs import TASK
from training.task import Task

WEIGHTS = "supernet.safetensors"


@dataclass(frozen=True)
class GivenWeights:
    """Shared weights that are there already.

    Attributes:
        run: the folder that they were asked from.
        path: the file, there or as it was copied into the new run's folder.
        trained: on what and how, as the file says it; JSON.
        digest: of the file, which tells these weights from others.
    """

    run: Path
    path: Path
    trained: str
    digest: str

    @property
    def about(self) -> dict[str, Any]:
        """`trained`, parsed: space, data, recipe, seed, init; budget where it has a part in the training."""
        found: dict[str, Any] = parse_json(self.trained)
        return found

    @property
    def recipe(self) -> SupernetRecipe:
        """How they were trained."""
        return SupernetRecipe(**self.about["recipe"])

    def __str__(self) -> str:
        budget = self.about.get("budget")
        drawn = f", random networks within {Budget(**budget)}" if budget else ""
        return f"shared weights of {self.run} ({self.recipe.epochs} epochs, seed {self.about['seed']}{drawn})"

    def copy_to(self, path: Path) -> None:
        """Makes the new run whole by itself: its folder can be moved, and the other one removed."""
        if not path.exists():
            write_atomically(path, self._copy)

    def _copy(self, target: Path) -> None:
        shutil.copyfile(self.path, target)


def given_weights(
    run: Path, own: Path, priced: PricedSpace, data: Dataset, task: Task = CLASSIFICATION
) -> GivenWeights:
    """The weights of the run's folder, or what the own folder has of them where that one is gone.

    Raises InputError for a folder without finished weights, or weights of another space or task, other classes or other
    data.
    """
    named = f"`supernet` {run}"
    if run.resolve() == own.resolve():
        raise InputError(f"{named}: is this run's own folder; give another `out`")
    path = next((folder / WEIGHTS for folder in (run, own) if (folder / WEIGHTS).is_file()), None)
    if path is None:
        raise InputError(f"{named}: holds no {WEIGHTS}; give the folder of a search by `evaluator` supernet, finished")
    trained = load_weights(path)[1].get("trained", "")
    given = GivenWeights(run, path, trained, hashlib.sha256(path.read_bytes()).hexdigest())
    try:
        about = given.about
        theirs = PricedSpace.from_dict(about["space"])
        pictures = str(about["data"])
        _ = str(given)  # its recipe, budget and seed are there, and what they should be
    except (KeyError, TypeError, ValueError, AttributeError):  # InputError among them
        raise InputError(f"{path}: not a supernet's weights, or of another version; train them again") from None
    wanted = "give a run of the same space and data, or leave `supernet` out"
    if theirs.space.name != priced.space.name:
        raise InputError(f"{named}: its weights are of space {theirs.space.name}, not {priced.space.name}; {wanted}")
    if about.get("task", TASK) != task.name:
        raise InputError(f"{named}: its weights are of task {about.get('task', TASK)}, not {task.name}; {wanted}")
    if theirs.num_classes != priced.num_classes:
        raise InputError(
            f"{named}: its weights are for {theirs.num_classes} classes, not {priced.num_classes}; {wanted}"
        )
    if theirs.space != priced.space:
        raise InputError(f"{named}: its weights are of another version of space {priced.space.name}; {wanted}")
    # Whether pictures are held in memory is no difference between them.
    then, now = (identity.replace("streamed ", "") for identity in (pictures, data.identity))
    if then != now:
        kinds = [identity.partition(" ")[0] for identity in (then, now)]
        how = f"{kinds[0]}, not {kinds[1]}" if kinds[0] != kinds[1] else f"other pictures than those of {data.name} now"
        raise InputError(f"{named}: its weights were trained on {how}; {wanted}")
    return given
