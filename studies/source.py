"""What there is to retrain: a run's best, the network of a training, a file, or a hand-designed one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_space.architecture import Architecture
from search_space.backbones import hand_designed
from search_space.cost import Budget
from search_space.errors import InputError
from search_space.json_files import read_json
from search_space.network import check
from search_space.space import SearchSpace
from studies.run_folder import BEST, CONFIG
from training.data import Dataset
from training.recorded_data import recorded_data
from training.standalone import ARCHITECTURE


@dataclass(frozen=True)
class Source:
    """An architecture, the data to train it on, where results go, and the run it was found in, if it was.

    Attributes:
        space, budget: the run's.
        run: the run's folder.
        pictures: the identity of the run's data, if these are named as they were then.
        recorded: whether `data` is what a file says, and not the user: it is read where it lies, and never downloaded.
    """

    architecture: Architecture
    data: str
    folder: Path
    space: SearchSpace | None
    classes: tuple[str, ...] | None
    budget: Budget | None = None
    run: Path | None = None
    pictures: str | None = None
    recorded: bool = False

    def changed(self, data: Dataset) -> bool:
        """Whether the pictures are not those of the search any more, though they are named alike."""
        # Whether pictures are held in memory is no difference between them.
        then, now = ((identity or "").replace("streamed ", "") for identity in (self.pictures, data.identity))
        return self.pictures is not None and then != now

    def check(self, data: Dataset) -> None:
        """Raises InputError if the network cannot be built, or was found for other classes than the data's."""
        try:
            check(self.architecture, data.num_classes)
        except InputError as error:
            raise InputError(f"{self.folder}: {error}") from None
        if self.classes is not None and self.classes != data.classes:
            raise InputError(
                f"--data {data.name}: {data.num_classes} classes ({data.classes[0]}, …), but the architecture was "
                f"found for {len(self.classes)} ({self.classes[0]}, …); give the data it was found on, or a file that "
                "holds the architecture alone"
            )


def read_source(text: str, data: str | None) -> Source:
    """The source that a command line names; `data` overrides what the source says.

    Raises InputError for a missing or broken file, a run that has not finished, or no word on the data.
    """
    path = Path(text)
    architecture = hand_designed(text)
    if architecture is not None and not path.exists():
        return Source(architecture, _data(text, data, {}), Path("runs") / text, None, None)
    if path.is_dir():
        if (path / ARCHITECTURE).exists() and not (path / BEST).exists():  # of one training
            architecture, _ = _read(path / ARCHITECTURE)
            spec = _data(text, data, {"data": recorded_data(path)})
            return Source(architecture, spec, path, None, None, recorded=data is None)
        if not (path / BEST).exists():
            raise InputError(f"{path}: holds no {BEST}; finish its search first (the same search.py command again)")
        architecture, rest = _read(path / BEST)
        config = read_json(path / CONFIG)
        if not isinstance(config, dict) or not isinstance(config.get("identity"), dict):
            raise InputError(f"{path / CONFIG}: not a run's configuration")
        space = SearchSpace.from_dict(config["identity"].get("space", {}))
        # The result names the kind of the data, the configuration where it lies.
        free = config.get("free")
        free = free if isinstance(free, dict) else {}
        spec = _data(text, data, free)
        pictures = config["identity"].get("data") if spec == free.get("data") else None
        budget = _budget(path / CONFIG, config["identity"].get("budget"))
        classes = _classes(path / BEST, rest)
        return Source(architecture, spec, path, space, classes, budget, path, pictures, recorded=data is None)
    architecture, rest = _read(path)
    spec = _data(text, data, rest)
    return Source(architecture, spec, path.with_suffix(""), None, _classes(path, rest), recorded=data is None)


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
        raise InputError(f"{source}: does not say which data to train on; give --data")
    return spec


def _classes(path: Path, rest: dict[str, Any]) -> tuple[str, ...] | None:
    names = rest.get("classes")
    if names is None:
        return None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: classes: expected a list of names")
    return tuple(names)
