"""The components of AZ-NAS (arXiv:2403.19232, section 3), from what every block makes of Gaussian noise."""

import itertools

import torch
from torch import Tensor, nn

from evaluators.zero_cost.registry import register
from search_space.network import Network


@register("expressivity")
def expressivity(network: Network, images: Tensor, labels: Tensor) -> float:
    """How evenly features use their channels: entropy of their principal components' shares, summed over blocks."""
    return sum(_entropies(network, images))


@register("progressivity")
def progressivity(network: Network, images: Tensor, labels: Tensor) -> float:
    """The least growth of the features' entropy from one block to the next."""
    entropies = _entropies(network, images)
    return min(after - before for before, after in itertools.pairwise(entropies))


@register("trainability")
def trainability(network: Network, images: Tensor, labels: Tensor) -> float:
    """How nearly gradients keep their size through a block: the mean over blocks of 2 - σ - 1/σ, at most 0.

    σ is the spectral norm of the matrix that the block's transposed Jacobian amounts to on average over positions:
    the mean of g_in·g_outᵀ, where g_out is of random signs and g_in is what the block sends back for it. Before a
    block with a stride, the positions that make one of its output stand together as channels.
    """
    features, blocks = _noise(network, images)
    terms = []
    for block in blocks:
        before = features.requires_grad_()
        after = block(before)
        features = after.detach()
        signs = torch.randint_like(after, 2) * 2 - 1
        (back,) = torch.autograd.grad(after, before, signs)
        stride = -(-back.shape[-1] // after.shape[-1])
        # An odd side is padded to a multiple of the stride.
        right, bottom = (stride * out - side for out, side in zip(after.shape[:1:-1], back.shape[:1:-1], strict=True))
        back = nn.functional.pixel_unshuffle(nn.functional.pad(back, (0, right, 0, bottom)), stride)
        mean = _by_position(back).T @ _by_position(signs) / signs[:, 0].numel()
        norm = float(torch.linalg.matrix_norm(mean, 2))
        terms.append(2 - norm - 1 / norm)
    return sum(terms) / len(terms)


def _entropies(network: Network, images: Tensor) -> list[float]:
    """Of the stem and of every block: the entropy (nats) of the shares of its features' principal components."""
    with torch.no_grad():
        features, blocks = _noise(network, images)
        entropies = [_entropy(features)]
        for block in blocks:
            features = block(features)
            entropies.append(_entropy(features))
    return entropies


def _entropy(features: Tensor) -> float:
    variances = torch.linalg.eigvalsh(torch.cov(_by_position(features).T.double(), correction=0)).clamp(min=0)
    return float(torch.special.entr(variances / variances.sum()).sum())


def _noise(network: Network, images: Tensor) -> tuple[Tensor, list[nn.Module]]:
    """What the stem makes of noise of the images' shape, and the blocks that follow.

    The noise is drawn on the CPU, as the weights were, so that it is the same on every device.
    """
    noise = torch.randn_like(images, device="cpu").to(images.device)
    with torch.no_grad():
        features = network.stemmed(noise)
    return features, list(network.blocks())


def _by_position(features: Tensor) -> Tensor:
    """N×C×H×W to NHW×C."""
    return features.movedim(1, -1).flatten(0, -2)
