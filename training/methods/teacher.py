"""Networks that a student learns from: torchvision's, timm's, or one of this program's own files."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foundation.errors import InputError, first_line, one_line
from training.data.dataset import Dataset
from training.model_file import load_model
from training.resize import resized
from training.specs import TEACHERS

# What torchvision's and timm's published classifiers expect unless they say otherwise.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Teacher:
    """A trained network in evaluation mode that takes the student's batches.

    Args:
        ours, own: mean and std by which the student's and the teacher's pictures are normalised.
        resolution: at which the teacher sees the pictures, in pixels a side; None for the student's own.
    """

    def __init__(
        self,
        network: nn.Module,
        ours: tuple[tuple[float, ...], tuple[float, ...]],
        own: tuple[tuple[float, ...], tuple[float, ...]],
        device: torch.device,
        resolution: int | None = None,
    ):
        self.network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.resolution = resolution
        (our_mean, our_std), (mean, std) = (
            tuple(torch.tensor(values, device=device).view(1, -1, 1, 1) for values in pair) for pair in (ours, own)
        )
        # (x · our std + our mean - mean) / std, in one multiplication and one addition.
        self._scale = our_std / std
        self._shift = (our_mean - mean) / std
        self._same = ours == own

    def __call__(self, images: Tensor) -> Tensor:
        """N×3×H×W as the student gets them, to N×classes logits."""
        if not self._same:
            images = images * self._scale + self._shift
        if self.resolution is not None:
            images = resized(images, self.resolution)
        return self.network(images)


def load_teacher(spec: str, data: Dataset) -> Teacher:
    """The teacher that a spec names, for this data.

    Raises InputError for an unknown name, weights that cannot be had, or a teacher of other classes.
    """
    kind, _, rest = spec.partition(":")
    ours = (data.mean, data.std)
    if kind in ("torchvision", "timm"):
        name, _, file = rest.partition("=")
        make = _torchvision if kind == "torchvision" else _timm
        network = make(spec, name, file, data.num_classes)
        own = _normalisation(network)
        outputs = _outputs(network)
        resolution = _fixed_resolution(network)
    else:
        if not Path(spec).is_file():
            raise InputError(f"`teacher` {spec}: no such file; expected {TEACHERS}")
        network, info = load_model(Path(spec))
        if not info.class_labels:
            raise InputError(f"`teacher` {spec}: of task {info.task}, without class labels; expected {TEACHERS}")
        own, outputs, resolution = (info.mean, info.std), len(info.classes), info.architecture.resolution
        if info.classes != data.classes:
            raise InputError(f"`teacher` {spec}: trained for other classes ({info.classes[0]}, …) than {data.name}'s")
    if outputs != data.num_classes:
        raise InputError(f"`teacher` {spec}: has {outputs} classes, {data.name} has {data.num_classes}")
    teacher = Teacher(network, ours, own, data.device, resolution)
    try:
        with torch.no_grad():
            teacher(torch.zeros(1, 3, *data.train.size, device=data.device))
    except (RuntimeError, AssertionError, ValueError) as error:
        size = "×".join(map(str, data.train.size))
        raise InputError(f"`teacher` {spec}: does not take pictures of {size} pixels ({first_line(error)})") from None
    return teacher


def _torchvision(spec: str, name: str, file: str, num_classes: int) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise InputError(f"`teacher` {spec}: torchvision has no classifier {name!r}; expected {TEACHERS}")
    if file:
        return _filled(spec, models.get_model(name, num_classes=num_classes), file)
    try:
        return models.get_model(name, weights="DEFAULT")
    except OSError as error:
        raise InputError(f"`teacher` {spec}: its weights cannot be fetched ({error}); give {spec}=FILE") from None


def _timm(spec: str, name: str, file: str, num_classes: int) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise InputError(f"`teacher` {spec}: timm is not installed; get it by: pip install timm") from None
    if not timm.is_model(name):
        raise InputError(f"`teacher` {spec}: timm has no model {name!r}; expected {TEACHERS}")
    if file:
        return _filled(spec, timm.create_model(name, num_classes=num_classes), file)
    try:
        return timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        reason = first_line(error)
        raise InputError(f"`teacher` {spec}: its weights cannot be fetched ({reason}); give {spec}=FILE") from None


def _filled(spec: str, network: nn.Module, file: str) -> nn.Module:
    """The network with the weights of a state dict's file: safetensors, or torch's, of tensors only."""
    path = Path(file)
    if not path.exists():
        raise InputError(f"`teacher` {spec}: {file}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".safetensors":
                from safetensors.torch import load_file

                tensors = load_file(path)
            else:
                tensors = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(tensors)
    except Exception as error:  # a broken file raises nearly anything
        reason = one_line(error)
        raise InputError(f"`teacher` {spec}: {file} does not hold its weights ({reason})") from None
    return network


def _normalisation(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    config: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    return tuple(config.get("mean", _MEAN)), tuple(config.get("std", _STD))


def _fixed_resolution(network: nn.Module) -> int | None:
    """The only resolution that the network takes, in pixels a side; None if it takes any."""
    config: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    if config.get("fixed_input_size"):
        return int(config["input_size"][-1])
    side: object = getattr(network, "image_size", None)  # torchvision's vision transformers
    return side if isinstance(side, int) else None


def _outputs(network: nn.Module) -> int:
    """Classes of a classifier: the size of its last linear layer or convolution."""
    classes: object = getattr(network, "num_classes", None)
    if isinstance(classes, int):
        return classes
    sizes = [
        m.out_features if isinstance(m, nn.Linear) else m.out_channels
        for m in network.modules()
        if isinstance(m, nn.Linear | nn.Conv2d)
    ]
    return sizes[-1]
