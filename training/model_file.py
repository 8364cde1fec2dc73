"""A trained network as one safetensors file that says by itself what it is: nothing else is needed to use it."""

import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from search_space.architecture import Architecture
from search_space.errors import InputError
from search_space.network import Network, build
from training.checkpoint import load_weights, save_weights


@dataclass(frozen=True)
class ModelInfo:
    """What a network was trained for.

    Attributes:
        classes: names, in the order of the logits.
        mean, std: of each of the pictures' channels (one or three), in 0 to 1.
        data: kind of the data, without any path.
    """

    architecture: Architecture
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data: str

    def to_metadata(self) -> dict[str, str]:
        """The strings of a safetensors file's header."""
        return {
            "architecture": self.architecture.to_json(),
            "classes": json.dumps(self.classes, ensure_ascii=False),
            "normalisation": json.dumps({"mean": self.mean, "std": self.std}),
            "data": self.data,
        }

    @classmethod
    def from_metadata(cls, metadata: dict[str, str], where: str) -> "ModelInfo":
        """Reads a header. Raises InputError naming the file and what it lacks."""
        try:
            classes = json.loads(metadata["classes"])
            normalisation = json.loads(metadata["normalisation"])
            mean, std = normalisation["mean"], normalisation["std"]
            architecture = Architecture.from_json(metadata["architecture"])
            if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
                raise InputError("classes: expected a list of names")
            if not _channels(mean) or not _channels(std) or len(mean) != len(std) or min(std) <= 0:
                raise InputError("normalisation: expected mean and std of one or three channels")
            names = tuple(unicodedata.normalize("NFC", name) for name in classes)  # as folders' are
            return cls(architecture, names, tuple(mean), tuple(std), metadata["data"])
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise InputError(f"{where}: not a trained network's file ({error}); retrain.py writes them") from None


def _channels(values: object) -> bool:
    return isinstance(values, list) and len(values) in (1, 3) and all(type(value) in (int, float) for value in values)


def save_model(path: Path, tensors: dict[str, Tensor], info: ModelInfo) -> None:
    """Writes weights and what they are for, atomically."""
    save_weights(path, tensors, info.to_metadata())


def load_model(path: Path) -> tuple[Network, ModelInfo]:
    """The network in evaluation mode, on the CPU. Raises InputError for a broken file or weights that do not fit."""
    tensors, metadata = load_weights(path)
    info = ModelInfo.from_metadata(metadata, str(path))
    network = build(info.architecture, len(info.classes))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: its weights are not of its architecture ({reason})") from None
    return network.eval(), info
