"""Scores from the paths, the activations and the gradients of an untrained network."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from evaluators.zero_cost.registry import of_class_labels, register
from search_space.network import Network
from search_space.parts import ACTIVATIONS

ZICO_BATCHES = 4

_ACTIVATIONS = tuple(ACTIVATIONS.values())
_NORM = nn.modules.batchnorm._BatchNorm  # a group normalisation is part of a gate


@register("synflow")
def synflow(network: Network, images: Tensor, labels: Tensor) -> float:
    """Logarithm of the synaptic flow, Σ θ·∂R/∂θ with R = 1ᵀ f(1; |θ|) (SynFlow, arXiv:2006.05467).

    As those who rank architectures by it do (arXiv:2101.08134): over the weights of convolutions and
    linear layers, on one picture of ones, without normalisation, in double precision. Every signal is then positive,
    where ReLU is the identity; the bound of ReLU6 would cut all of them off, so no activation is applied. Signals grow
    from layer to layer, so the sigmoid of an attention's gate is as good as one: the score hardly sees attention. Layer
    normalisation is left out as well: of a positive signal alike at all places it leaves nothing. Tokens that are alike
    attend to each other alike, so softmax is a mean and self-attention counts by its values.
    """
    _merge(network)
    network.double().eval()
    _replace(network, (_NORM, nn.LayerNorm, *_ACTIVATIONS))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    _summed(network(torch.ones_like(images[:1], dtype=torch.float64))).backward()
    flow = sum(float((weight * gradient).sum()) for weight, gradient in _gradients(network))
    return math.log(flow)


def _summed(outputs: Any) -> Tensor:
    """The sum of all that a network says: of a detector of classes and boxes."""
    values = outputs.values() if isinstance(outputs, Mapping) else [outputs]
    total: Tensor = sum((value.sum() for value in values), torch.zeros(()))
    return total


@register("naswot")
def naswot(network: Network, images: Tensor, labels: Tensor) -> float:
    """Logarithm of the determinant of the kernel of activation patterns (NASWOT, arXiv:2006.04647), plus the identity.

    The kernel holds, for each two pictures, the number of units that are active for both or for neither. A unit is an
    input of an activation, and active where it is positive: which of ReLU's two pieces applies. ReLU6 has a third piece
    above 6, which normalised inputs hardly reach; SiLU and hard-swish have no pieces, and change their nature at
    zero as well. Activations inside an attention count. Its sigmoid gates do not: a gate is never shut, so it has no
    pattern.

    The paper adds nothing. Then two pictures of one pattern, such as copies in a folder, leave no determinant, nor does
    a transformer whose few patterns depend on each other. One unit more on the diagonal, where thousands are, leaves
    every other network what it was, to a ten-thousandth of it. A network whose answers are no numbers has no score.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        active = (inputs[0] > 0).flatten(1).float()
        both = (active @ active.T).double()
        each = both.diagonal()
        kernel.add_(active.shape[1] - each[:, None] - each + 2 * both)  # whole numbers, exact below 2²⁴ units

    for module in network.modules():
        if isinstance(module, _ACTIVATIONS):
            module.register_forward_pre_hook(count)
    with torch.no_grad():
        answers = _summed(network(images))
    if not answers.isfinite():
        return -math.inf
    return float(torch.linalg.slogdet(kernel + torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device))[1])


@register("zico")
@of_class_labels
def zico(network: Network, images: Tensor, labels: Tensor) -> float:
    """Gradients that are large for their variation, Σ_layers log Σ_θ E|∂L/∂θ| / σ(∂L/∂θ) (ZiCo, arXiv:2301.11300).

    Mean and deviation are over parts of the batch, and taken as the authors' code does: the deviation of the signed
    gradient; weights whose gradient does not vary (behind a unit that is never active) are left out.
    """
    _merge(network)
    gradients = []
    count = max(1, min(ZICO_BATCHES, len(images) // 2))  # one picture has no batch statistics
    for part, labels_of_part in zip(images.tensor_split(count), labels.tensor_split(count), strict=True):
        _backward(network, part, labels_of_part)
        gradients.append([gradient.double() for _, gradient in _gradients(network)])
    total, layers = 0.0, 0
    for layer in zip(*gradients, strict=True):
        stacked = torch.stack(layer).flatten(1)
        deviation = stacked.std(0, correction=0)
        varies = deviation > 0
        if varies.any():
            total += math.log(float((stacked.abs().mean(0)[varies] / deviation[varies]).sum()))
            layers += 1
    return total if layers else -math.inf


@register("snip")
@of_class_labels
def snip(network: Network, images: Tensor, labels: Tensor) -> float:
    """Logarithm of the loss's sensitivity to removing weights, Σ |θ·∂L/∂θ| (SNIP, arXiv:1810.02340)."""
    _merge(network)
    _backward(network, images, labels)
    return math.log(sum(float((weight * gradient).abs().sum()) for weight, gradient in _gradients(network)))


@register("grad_norm")
@of_class_labels
def grad_norm(network: Network, images: Tensor, labels: Tensor) -> float:
    """Euclidean norms of the gradients of the loss, summed over layers (arXiv:2101.08134)."""
    _merge(network)
    _backward(network, images, labels)
    return sum(float(gradient.norm()) for _, gradient in _gradients(network))


def _backward(network: Network, images: Tensor, labels: Tensor) -> None:
    network.zero_grad()
    nn.functional.cross_entropy(network(images), labels).backward()


def _gradients(network: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight and gradient of every convolution and linear layer, of whatever class: a norm's weight has one axis.

    A layer that the outputs do not depend on, as a probe without a gate, has no gradient and is left out.
    """
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1 and weight.grad is not None:
            yield weight.detach(), weight.grad


def _merge(network: nn.Module) -> None:
    """Makes weights that are computed from others (weight normalisation's of a length and a direction) plain ones.

    Scores are of the weights that pictures meet: else how a layer is parametrised would count.
    """
    for module in list(network.modules()):
        if is_parametrized(module):
            assert isinstance(module.parametrizations, nn.ModuleDict)
            for name in list(module.parametrizations):
                remove_parametrizations(module, name)


def _replace(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    """Puts the identity in the place of every module of these kinds."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, kinds):
                setattr(module, name, nn.Identity())
