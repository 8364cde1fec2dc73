"""A classifier in its two parts: the features of a picture, which adapt, and the hypothesis, which stays."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from search_space.network import Network
from training.data.split import Split
from training.evaluation import seen
from training.resize import resized_batches

BATCH = 256


def hypothesis(network: Network) -> nn.Module:
    """What makes logits of features: of a bottleneck its last layer, else the classifier as it is.

    Raises InputError for a network whose head does not tell the two apart.
    """
    if not (hasattr(network.classifier, "features") and hasattr(network.classifier, "logits")):
        raise InputError(f"head of {network.task_head.told}: no classifier of pictures; give a network that is one")
    return cast(nn.Module, getattr(network.classifier, "hypothesis", network.classifier))


class WithFeatures(nn.Module):
    """The network with what it makes its logits of: N×3×H×W to features N×d and logits N×K, by name."""

    def __init__(self, network: Network):
        super().__init__()
        hypothesis(network)
        self.network = network

    def features(self, images: Tensor) -> Tensor:
        """N×3×H×W to N×d."""
        features: Tensor = self.network.classifier.features(self.network.last_map(images))  # type: ignore[operator]
        return features

    def logits(self, features: Tensor) -> Tensor:
        """N×d to N×K."""
        logits: Tensor = self.network.classifier.logits(features)  # type: ignore[operator]
        return logits

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.features(images)
        return {"features": features, "logits": self.logits(features)}


class Seen(NamedTuple):
    """What a network makes of N pictures: features N×d and probabilities N×K, float64 on the CPU."""

    features: Tensor
    probabilities: Tensor


def look(network: WithFeatures, pictures: Split, resolution: int, precision: str) -> Seen:
    """The pictures in evaluation mode, in their order. The network is in the mode that it was in, afterwards."""
    training = network.training
    batches = resized_batches(pictures.batches(BATCH), resolution)
    parts = list(seen(network, batches, lambda outputs, _: _on_cpu(outputs), precision=precision))
    network.train(training)
    features, logits = (torch.cat(part) for part in zip(*parts, strict=True))
    return Seen(features, logits.softmax(1))


def _on_cpu(outputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return outputs["features"].double().cpu(), outputs["logits"].double().cpu()


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Their parameters have no gradients within."""
    parameters = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch normalisation takes the batch's statistics within, as in training, and does not keep them."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta: Sequence[float | None] = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
