"""The trained networks that a command line names, ready to classify pictures."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from deployment.onnx_session import OnnxNetwork
from foundation.errors import InputError, one_line
from training.data.datasets import Dataset
from training.model_file import ModelInfo, load_model

NAMES = ("weights.safetensors", "model.safetensors", "model.onnx", "model.int8.onnx")
"""Files that a folder is known by, the first that is there."""


@dataclass(frozen=True)
class Model:
    """A trained network from a file.

    Attributes:
        classify: N×3×H×W normalised pictures (float32) to N×classes logits (float32, on the CPU), without gradients.
    """

    path: Path
    info: ModelInfo
    classify: Callable[[Tensor], Tensor]


def find_models(source: str) -> dict[str, Path]:
    """The files of the networks that `source` names, by name.

    It is a file, the folder of one network, or the folder of a retraining or a run with several, each then named as its
    folder. Raises InputError if there is none.
    """
    path = Path(source)
    if path.is_file():
        return {path.name: path}
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    own = _model_in(path)
    if own is not None:
        return {path.resolve().name: own}
    for folder in (path, path / "retrain"):
        members = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
        found = {entry.name: file for entry in members if (file := _model_in(entry)) is not None}
        if found:
            return found
    raise InputError(f"{path}: holds no trained network ({NAMES[0]}); retrain.py makes them")


def find_model(source: str) -> Path:
    """The file of the one network that `source` names. Raises InputError if there is none, or several."""
    found = find_models(source)
    if len(found) > 1:
        names = ", ".join(str(path.parent) for path in found.values())
        raise InputError(f"{source}: holds {len(found)} networks; name one of them: {names}")
    return next(iter(found.values()))


def read_model(path: Path, device: torch.device) -> Model:
    """The network of a safetensors or ONNX file. An ONNX file is run in ONNX Runtime, on the CPU.

    Raises InputError for a broken file, or one that says nothing of its architecture and classes.
    """
    if path.suffix == ".onnx":
        session = OnnxNetwork(path)
        info = ModelInfo.from_metadata(session.metadata, str(path))
        return Model(path, info, _checked(session, info, path))
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: expected a network's folder, or a .safetensors or .onnx file")
    network, info = load_model(path)
    network.to(device)

    @torch.inference_mode()
    def classify(images: Tensor) -> Tensor:
        logits: Tensor = network(images.to(device))
        return logits.float().cpu()

    return Model(path, info, classify)


def _checked(session: OnnxNetwork, info: ModelInfo, path: Path) -> Callable[[Tensor], Tensor]:
    """The session, which may be of any graph: InputError where it fails, or gives other than a logit a class."""

    def classify(images: Tensor) -> Tensor:
        try:
            logits = session(images)
        except Exception as error:  # ONNX Runtime has an exception for each thing that a graph can do wrong
            raise InputError(f"{path}: cannot be run ({one_line(error)})") from None
        expected = (len(images), len(info.classes))
        if tuple(logits.shape) != expected or logits.dtype != torch.float32:
            raise InputError(
                f"{path}: gives {tuple(logits.shape)} of {logits.dtype} for {len(images)} pictures, and its metadata "
                f"names {len(info.classes)} classes"
            )
        return logits

    return classify


def check_classes(model: Model, data: Dataset) -> None:
    """Raises InputError where the network was trained for other classes than the data's."""
    own, theirs = model.info.classes, data.classes
    if own != theirs:
        pairs = itertools.zip_longest(theirs, own, fillvalue="none")
        number, (found, expected) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
        raise InputError(
            f"{model.path}: trained for {len(own)} classes, {data.name} has {len(theirs)}, and class {number} is "
            f"{expected} there but {found} here; give `data` with the classes of its training"
        )


def _model_in(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)
