"""What there is to retrain: a run's best, the network of a training, a file, or a hand-designed one."""

import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.json_files import read_json, shown
from search_space.architecture import Architecture
from search_space.backbones import hand_designed
from search_space.cost.cost import Budget
from search_space.cost.latency import read_latency_table
from search_space.cost.priced_space import PricedSpace
from search_space.dilation import dilated, with_network_dilated
from search_space.head import Head
from search_space.network import check
from studies.runs.run_folder import (
    BEST,
    CONFIG,
    FRONT,
    LATENCY,
    front_architecture,
    front_architectures,
    kept_identity,
)
from training.data.dataset import Dataset
from training.recorded_data import changed, named_alike, recorded_data, trained_on
from training.specs import PRETRAINING, TASK
from training.standalone import ARCHITECTURE, RECIPE


@dataclass(frozen=True)
class Source:
    """An architecture, the data to train it on, where results go, and the run it was found in, if it was.

    Attributes:
        priced: the run's space and its budget, with the times that the run keeps, where its budget is of latency.
        run: the run's folder.
        pictures: the identity of the run's data, if these are named as they were then.
        preset: the run's, if that was recorded.
        task: the name of the one that the network was found for, if a run says so.
        init: path and name of the first weights that the search began from, where they were another run's.
        recorded: whether `data` is what a file says, and not the user: it is read where it lies, and never downloaded.
    """

    architecture: Architecture
    data: str
    folder: Path
    priced: PricedSpace | None
    classes: tuple[str, ...] | None
    run: Path | None = None
    pictures: str | None = None
    preset: str | None = None
    task: str = TASK
    recorded: bool = False
    init: tuple[str, str] | None = None

    def dilated(self, output_stride: int | None) -> "Source":
        """With the architecture, and the run's space, whose maps are no coarser than that; None for as they are."""
        if output_stride is None:
            return self
        priced = self.priced
        if priced is not None:
            priced = replace(priced, space=with_network_dilated(priced.space, self.architecture, output_stride))
        return replace(self, architecture=dilated(self.architecture, output_stride), priced=priced)

    def changed(self, data: Dataset) -> bool:
        """Whether the pictures are not those of the search any more, though they are named alike."""
        return changed(self.pictures, data)

    def check(self, data: Dataset, head: Head) -> None:
        """Raises InputError if the network with the head cannot be built, or was found for other classes."""
        try:
            check(self.architecture, head)
        except InputError as error:
            raise InputError(f"{self.folder}: {error}") from None
        if self.classes is not None and self.classes != data.classes:
            raise InputError(
                f"`data` {data.name}: {_told(data.classes)}, but the architecture was found for "
                f"{_told(self.classes)}; give the data it was found on, or a file that holds the architecture alone"
            )


def _told(classes: tuple[str, ...]) -> str:
    return f"{len(classes)} classes ({classes[0]}, …)" if classes else "no classes"


def read_source(text: str, data: str | None, network: int | None = None) -> Source:
    """The source that a command line names; `data` overrides what the source says.

    Args:
        network: the number, from 1, of one on the front of a run's folder or of a `front.json`; None for the best.

    Raises InputError for a missing or broken file, a run that has not finished, a number that is not there, or no word
    on the data.
    """
    path = Path(text)
    if path.name == FRONT and (path.parent / BEST).exists():  # the front of a run's folder, which says more
        path = path.parent
    if (path / BEST).exists():
        return _of_run(text, path, data, network)
    if path.is_dir() and not (path / ARCHITECTURE).exists():
        raise InputError(f"{path}: holds no {BEST}; finish its search first (the same search.py command again)")
    content = read_json(path) if path.is_file() else None
    if isinstance(content, dict) and "front" in content:
        architecture, spec, of = front_architecture(path, network), _data(text, data, content), _task(path, content)
        return Source(architecture, spec, path.with_suffix(""), None, None, task=of, recorded=data is None)
    designed = None if path.exists() else hand_designed(text)
    if network is not None and (designed or path.exists()):
        raise InputError(f"`network` {network}: {text} is one network, no run's folder and no {FRONT}; leave it out")
    if designed:
        return Source(designed, _data(text, data, {}), Path("runs") / text, None, None)
    if path.is_dir():  # of one training
        architecture, _ = _read(path / ARCHITECTURE)
        spec = _data(text, data, {"data": recorded_data(path)})
        recipe = path / RECIPE
        of = _task(recipe, read_json(recipe)) if recipe.exists() else TASK
        pictures = trained_on(path) if named_alike(spec, recorded_data(path)) else None
        return Source(architecture, spec, path, None, None, pictures=pictures, task=of, recorded=data is None)
    architecture, rest = _read(path)
    spec, of = _data(text, data, rest), _task(path, rest)
    return Source(architecture, spec, path.with_suffix(""), None, _classes(path, rest), task=of, recorded=data is None)


def _of_run(text: str, path: Path, data: str | None, network: int | None) -> Source:
    architecture, rest = _read(path / BEST)
    if network is not None:
        architecture = front_architecture(path / FRONT, network)
    config = read_json(path / CONFIG)
    if not isinstance(config, dict) or not isinstance(config.get("identity"), dict):
        raise InputError(f"{path / CONFIG}: not a run's configuration")
    try:
        priced = PricedSpace.from_dict(config["identity"].get("space", {}))
    except InputError as error:
        raise InputError(f"{path / CONFIG}: {error}") from None
    # The result names the kind of the data, the configuration where it lies.
    free = config.get("free")
    free = free if isinstance(free, dict) else {}
    spec = _data(text, data, free)
    pictures = config["identity"].get("data") if named_alike(spec, free.get("data")) else None
    priced = priced.within(_budget(path / CONFIG, config["identity"].get("budget")))
    if priced.budget.max_latency_ns is not None and (path / LATENCY).exists():
        table = read_latency_table(path / LATENCY)
        if table.digest != config["identity"].get("latency"):
            raise InputError(f"{path / LATENCY}: not the table that the search began with; put that one back")
        priced = replace(priced, latency=table)
    preset = free.get("preset")
    preset = preset if isinstance(preset, str) else None
    classes = _classes(path / BEST, rest)
    task = _task(path / CONFIG, config["identity"])
    init = _init(free.get("init"))
    recorded = data is None
    return Source(architecture, spec, path, priced, classes, path, pictures, preset, task, recorded, init)


def check_former(out: Path, keeps: tuple[str, ...], source: Source) -> None:
    """Raises InputError, saying what to do, if `out` holds the retraining of another network than the source's.

    That is how it is when more trials have changed the best of a search.

    Args:
        keeps: patterns of what a retraining is worth keeping for.
    """
    former = kept_identity(out, keeps).get("architecture")
    if former in (None, source.architecture.digest()):
        return
    why = f" (more trials may have changed the best of {source.run})" if source.run is not None else ""
    remedy = "use another `out` for this one"
    files = [file for file in sorted(out.glob(f"*/{ARCHITECTURE}")) if _read(file)[0].digest() == former]
    front = front_architectures(source.run / FRONT) if source.run is not None else []
    numbers = [number for number, one in enumerate(front, 1) if one.digest() == former]
    if numbers:
        remedy += f", or `network` {numbers[0]} `out` {out} to go on with that one"
    elif files:
        remedy += f"; that one is {files[0]}"
    raise InputError(f"`out` {out}: holds the retraining of another network{why}; {remedy}")


def _read(path: Path) -> tuple[Architecture, dict[str, Any]]:
    """The architecture of a `best.json`, or a bare one, and what else the file says."""
    content = read_json(path)
    try:
        if isinstance(content, dict) and "architecture" in content:
            return Architecture.from_dict(content["architecture"]), content
        return Architecture.from_dict(content), {}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _budget(path: Path, bounds: object) -> Budget:
    try:
        return Budget(**bounds)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"{path}: not a run's configuration") from None


def _data(source: str, given: str | None, rest: dict[str, Any]) -> str:
    spec = given or rest.get("data")
    if not isinstance(spec, str) or spec in ("folder", "imagenet"):
        raise InputError(f"{source}: does not say which data to train on; give `data`")
    return spec


def _init(recorded: object) -> tuple[str, str] | None:
    found = [recorded.get(name) for name in ("path", "name")] if isinstance(recorded, dict) else []
    match found:
        case [str(path), str(name)]:
            return path, name
    return None


def _task(path: Path, content: Any) -> str:
    """The task that a file's content names. Raises InputError for what is no name."""
    task = content.get("task", TASK) if isinstance(content, dict) else TASK
    if task == PRETRAINING:  # what a backbone is for is still to be said
        return TASK
    if not isinstance(task, str):
        raise InputError(f"{path}: task: expected a name, got {shown(task)}")
    return task


def _classes(path: Path, rest: dict[str, Any]) -> tuple[str, ...] | None:
    names = rest.get("classes")
    if names is None:
        return None
    whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not whole or (not names and _task(path, rest) == TASK):  # another task need not have any
        raise InputError(f"{path}: classes: expected a list of names")
    return tuple(unicodedata.normalize("NFC", name) for name in names)  # as folders' are
