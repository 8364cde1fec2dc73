"""The networks that were trained by themselves, as the folders of their trainings have them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from foundation.errors import InputError
from foundation.json_files import MAX_OF_A_RUN, parse_json, read_json, read_text, shown
from foundation.metric import ACCURACY, Metric
from reports.kept_tests import KeptTest, read_test
from reports.recorded_command import RETRAINING, recorded_command
from reports.run_objects import inner, metric_of, pictures_of, read_object
from reports.terminal.comparison import Lead
from search_space.architecture import Architecture
from search_space.cost.cost import Cost
from studies.runs.run_folder import CONFIG, RESULTS
from training.specs import METHOD
from training.standalone import MAX_METRICS, METRICS, folder_name

RETRAIN = "retrain"
COMPARISON = "comparison.json"


class Retrained(NamedTuple):
    """A network trained by itself with a seed, its value on the test pictures, and the `Place` of its training.

    What else is kept of its test is in `test`; None where nothing is.
    """

    network: str
    architecture: Architecture
    cost: Cost
    seed: int
    value: float
    place: str = RETRAIN
    test: KeptTest | None = None


@dataclass(frozen=True)
class Place:
    """A folder of trainings, all by one recipe.

    Attributes:
        recipe: the recipe's fields, where the first weights came from (`init`) and the teacher; empty if unknown.
        epochs: of its trainings; 0 if unknown.
        written: when its results were, in seconds since 1970.
        leads: how far the best network is ahead of those trained beside it, by name, where that was tested.
        metric: of its results.
        method, method_settings: by which they were trained, and what was set of it alone.
        pictures: to test on; None if unknown.
        command: the flags that make these trainings again, but for the run and the folder; None if unknown.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 0
    written: float = 0.0
    leads: Mapping[str, Lead] = field(default_factory=dict)
    metric: Metric = ACCURACY
    method: str = METHOD
    method_settings: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    pictures: int | None = None

    @property
    def shares_weights(self) -> bool:
        """Whether its networks began from shared weights, which no network of another space has."""
        return str(self.recipe.get("init")).startswith("supernet ")

    @property
    def begun(self) -> str:
        """How its trainings began, in words."""
        init = self.recipe.get("init")
        return "trained from scratch" if init in (None, "scratch") else f"trained from the weights {init}"


def place_name(folder: Path, place: Path) -> str:
    """What a folder of trainings is called: as it lies in the run's folder, or where it lies if elsewhere."""
    inside = place.resolve().is_relative_to(folder.resolve())
    return str(place.resolve().relative_to(folder.resolve()) if inside else place)


def read_place(place: Path, digest: object) -> Place:
    """What a folder of trainings says of how they were made, and of the network of that digest beside others."""
    config = read_object(place / CONFIG)
    identity, free = inner(config, "identity"), inner(config, "free")
    recipe = inner(identity, "recipe")
    epochs = recipe.get("epochs")
    if type(epochs) is not int:
        epochs = max((len(entries) for entries in read_curves([place]).values()), default=0)
    if recipe:
        recipe = {**recipe, "init": identity.get("init"), "teacher": identity.get("teacher")}
    results = place / RESULTS
    written = results.stat().st_mtime if results.exists() else 0.0
    method = identity.get("method", METHOD)
    if not isinstance(method, str):
        raise InputError(f"{place / CONFIG}: identity.method: expected a name, got {shown(method)}")
    metric, leads = metric_of(place / CONFIG, identity), _leads(place / COMPARISON, digest)
    own = inner(identity, "method_settings")
    return Place(
        recipe,
        epochs,
        written,
        leads,
        metric,
        method,
        own,
        recorded_command(free, RETRAINING),
        pictures_of(free, "test"),
    )


def read_retrained(path: Path, place: str, metric: Metric) -> tuple[Retrained, ...]:
    """The networks of a folder's table of results; none where there is no table."""
    if not path.exists():
        return ()
    found = []
    content = read_json(path, MAX_OF_A_RUN)
    for entry in content if isinstance(content, list) else ():
        try:
            cost = Cost.from_dict(entry["cost"])
            value = float(entry["test"][metric.name])
            architecture = Architecture.from_dict(entry["architecture"])
            if 0 <= value <= 1 or (math.isfinite(value) and not metric.is_share):
                found.append(Retrained(str(entry["network"]), architecture, cost, int(entry["seed"]), value, place))
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise InputError(f"{path}: not a table of results ({error}); remove it") from None
    return tuple(one._replace(test=read_test(path.parent / folder_name(one.network, one.seed))) for one in found)


def _leads(path: Path, digest: object) -> dict[str, Lead]:
    """What a comparison says of the others, if the network of that digest is at its head."""
    found: dict[str, Lead] = {}
    content = read_json(path, MAX_OF_A_RUN) if path.exists() else None
    try:
        if not content or content[0]["digest"] != digest:
            return {}
        for entry in content[1:]:
            lead = Lead(**entry["first_ahead"])
            numbers = [value for value in lead[:3] if value is not None]
            if all(type(value) in (int, float) and math.isfinite(value) for value in numbers):
                found[str(entry["network"])] = lead._replace(test=str(lead.test))
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path}: not a comparison ({error}); remove it") from None
    return found


def read_curves(places: Sequence[Path]) -> dict[str, list[dict[str, float]]]:
    """The finite numbers of every training's epochs, by the training's folder."""
    curves: dict[str, list[dict[str, float]]] = {}
    for path in [path for place in places for path in sorted(place.glob(f"*/{METRICS}"))]:
        entries = []
        for line in read_text(path, MAX_METRICS).splitlines():
            try:
                entry = parse_json(line, finite=False)
            except InputError:  # of a training that was killed, or is going on
                continue
            if isinstance(entry, dict):
                numbers = {k: float(v) for k, v in entry.items() if type(v) in (int, float) and math.isfinite(v)}
                entries.append(numbers)
        name = path.parent.name
        if entries:
            curves[name if name not in curves else f"{path.parent.parent.name}/{name}"] = entries
    return curves
