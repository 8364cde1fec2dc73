"""The trained networks that a command line names, ready to be shown pictures."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from deployment.answers import See, Seen, answering, check_fit
from deployment.onnx_session import OnnxNetwork
from foundation.errors import InputError, one_line
from search_space.network import Network
from training.data.datasets import Dataset
from training.model_file import ModelInfo, load_model
from training.targets import in_float32
from training.task import Answering

NAMES = ("weights.safetensors", "model.safetensors", "model.onnx", "model.int8.onnx")
"""Files that a folder is known by, the first that is there."""


@dataclass(frozen=True)
class Model:
    """A trained network from a file.

    Attributes:
        see: what it makes of pictures: answers, and from a file of weights outputs as well, on its device.
        network: of a file of weights, in evaluation mode on its device: what gradients can be taken of.
    """

    path: Path
    info: ModelInfo
    see: See
    network: Network | None = None

    @property
    def task(self) -> Answering:
        """What it was trained for; see `deployment.answers.answering`."""
        return answering(self.info, str(self.path))


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
    for folder in (path / "retrain", path):  # beside its retraining a run may have a pretraining
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

    Raises InputError for a broken file, one that says nothing of its architecture and classes, or of a task that does
    not say what outputs mean.
    """
    if path.suffix == ".onnx":
        session = OnnxNetwork(path)
        info = ModelInfo.from_metadata(session.metadata, str(path))
        return Model(path, info, _checked(session, info, path))
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: expected a network's folder, or a .safetensors or .onnx file")
    network, info = load_model(path)
    network.to(device)
    task = answering(info, str(path))

    @torch.inference_mode()
    def see(images: Tensor) -> Seen:
        images = images.to(device)
        outputs = in_float32(network(images))
        answers = task.answers(outputs, (images.shape[2], images.shape[3]))
        return check_fit(task, Seen(answers, outputs), images, info, str(path))

    return Model(path, info, see, network)


def _checked(session: OnnxNetwork, info: ModelInfo, path: Path) -> See:
    """The session, which may be of any graph: InputError where it fails, or gives other than its task's answers."""
    task = answering(info, str(path))

    def see(images: Tensor) -> Seen:
        try:
            answers = session(images)
        except Exception as error:  # ONNX Runtime has an exception for each thing that a graph can do wrong
            raise InputError(f"{path}: cannot be run ({one_line(error)})") from None
        return check_fit(task, Seen(answers), images, info, str(path))

    return see


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
