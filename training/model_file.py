"""A trained network as one safetensors file that says by itself what it is: nothing else is needed to use it."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from foundation.errors import InputError, one_line
from foundation.json_files import parse_json, shown
from search_space.architecture import Architecture
from search_space.head import ClassifierHead, Head, read_head
from search_space.network import Network, build
from training.checkpoint import load_weights, save_weights
from training.specs import OF_CLASSES, TASK, named

MAX_CHARACTERS = 64_000_000  # of a million classes' names
LEAST_STD, MOST = 1e-6, 1e6  # of pictures' channels in 0 to 1, and in 0 to 255 as well


@dataclass(frozen=True)
class ModelInfo:
    """What a network was trained for.

    Attributes:
        classes: names, in the order of the network's outputs.
        mean, std: of each of the pictures' channels (one or three), in 0 to 1.
        data: kind of the data, without any path.
        task: its name.
        described: what a task other than classification says of it, see `Task.described`.
        head: what follows the backbone; by default a classifier of the classes.
    """

    architecture: Architecture
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data: str
    task: str = TASK
    described: Mapping[str, Any] = field(default_factory=dict)
    head: Head = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", self.head or ClassifierHead(len(self.classes)))

    @property
    def class_labels(self) -> bool:
        """Whether the network gives a picture a logit for each of its classes."""
        return self._plain or self.task.partition(":")[0] in OF_CLASSES

    @property
    def _plain(self) -> bool:
        """Whether it ends in a linear classifier of its classes; a file says so by saying no head."""
        return self.head == ClassifierHead(len(self.classes)) if self.classes else False

    def to_metadata(self) -> dict[str, str]:
        """The strings of a safetensors file's header."""
        other = {"task": self.task, "described": json.dumps(self.described, ensure_ascii=False)}
        return {
            "architecture": self.architecture.to_json(),
            "classes": json.dumps(self.classes, ensure_ascii=False),
            "normalisation": json.dumps({"mean": self.mean, "std": self.std}),
            "data": self.data,
            **(other if named("task", self.task) else {}),
            **({} if self._plain else {"head": json.dumps(self.head.to_dict())}),
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str], where: str) -> "ModelInfo":
        """Reads a header. Raises InputError naming the file and what it lacks."""
        try:
            for name in ("architecture", "classes", "normalisation", "data"):
                if name not in metadata:
                    raise InputError(f"lacks {name}")
            classes = _parsed("classes", metadata["classes"])
            normalisation = _parsed("normalisation", metadata["normalisation"])
            architecture = Architecture.from_json(metadata["architecture"])
            task = metadata.get("task", TASK)
            whole = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
            if not whole or (not classes and task == TASK):  # another task need not have any
                raise InputError(f"classes: expected a list of names, got {shown(classes)}")
            if not isinstance(normalisation, dict):
                raise InputError(f"normalisation: expected an object, got {shown(normalisation)}")
            mean = _channels("mean", normalisation.get("mean"), -MOST, MOST)
            std = _channels("std", normalisation.get("std"), LEAST_STD, MOST)
            if len(mean) != len(std):
                raise InputError(f"normalisation: mean is of {len(mean)} channels, std of {len(std)}")
            names = tuple(unicodedata.normalize("NFC", name) for name in classes)  # as folders' are
            described = _parsed("described", metadata.get("described", "{}"))
            if not isinstance(described, dict):
                raise InputError(f"described: expected an object, got {shown(described)}")
            if "head" not in metadata and not names:
                raise InputError("lacks head")
            head = read_head(_parsed("head", metadata["head"])) if "head" in metadata else ClassifierHead(len(names))
            return cls(architecture, names, mean, std, metadata["data"], task, described, head)
        except InputError as error:
            raise InputError(f"{where}: not a trained network's file ({error}); retrain.py writes them") from None


def _parsed(name: str, text: str) -> Any:
    try:
        return parse_json(text, MAX_CHARACTERS)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _channels(name: str, values: object, low: float, high: float) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) not in (1, 3):
        raise InputError(f"normalisation.{name}: expected numbers of one or three channels, got {shown(values)}")
    for index, value in enumerate(values):
        if type(value) not in (int, float) or not low <= value <= high:
            raise InputError(
                f"normalisation.{name}[{index}]: expected a number from {low:g} to {high:g}, got {shown(value)}"
            )
    return tuple(values)


def save_model(path: Path, tensors: dict[str, Tensor], info: ModelInfo) -> None:
    """Writes weights and what they are for, atomically."""
    save_weights(path, tensors, info.to_metadata())


def load_model(path: Path) -> tuple[Network, ModelInfo]:
    """A network of any task in evaluation mode, on the CPU.

    Raises InputError for a broken file, weights that do not fit, or a head that neither a task nor a plugin has.
    """
    tensors, metadata = load_weights(path)
    info = ModelInfo.from_metadata(metadata, str(path))
    network = build(info.architecture, info.head)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = one_line(error)
        raise InputError(f"{path}: its weights are not of its architecture ({reason})") from None
    return network.eval(), info
