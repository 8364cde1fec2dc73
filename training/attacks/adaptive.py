"""Projected gradient descent by someone who knows of a network's probes and of the gates that go by them.

A gate's choice of two classes has no gradient, and in the paper the gate gives its map none (CIFS, arXiv:2102.05311).
So descent on the network's own loss may be misled. Here it is led by the probes as well: their loss at several weights,
each of them alone, and the gate's gradient by what its probe makes of the map. What one way leaves, the next attacks.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from search_space.attention.probes import asked, probes
from training.attacks.box import Box
from training.attacks.joint import joint_losses
from training.attacks.pgd import Losses, pgd

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 10.0, 100.0)
"""β of the probes' loss, as `training.probe_loss` has it."""
UNDETACHED = (0.0, 2.0)
"""Those with which the gates' gradients are taken too."""
STEP = 0.1

Ways = Iterator[Callable[[Tensor], Losses]]
"""From labels to what is raised."""


def adaptive(network: nn.Module, images: Tensor, labels: Tensor, box: Box, *, steps: int) -> Tensor:
    """Images, N×C×H×W, changed within the box: of each the first that the network gets wrong, else the last tried.

    Args:
        network: of images to logits, in evaluation mode, with probes.
        labels: N (int64).
        steps: of each way, each of a tenth of epsilon.
    """
    attacked = images.clone()
    left = torch.arange(len(images), device=images.device)
    for way in _ways(network, images.shape[-1]):
        if not len(left):
            break
        own, own_labels = images[left], labels[left]
        changed = pgd(way(own_labels), own, box, steps=steps, step=STEP)
        attacked[left] = changed
        with torch.no_grad():
            left = left[network(changed).argmax(1) == own_labels]
    return attacked


def _ways(network: nn.Module, resolution: int) -> Ways:
    for weight in WEIGHTS:
        yield partial(_joint, network, resolution, weight, detached=True)
    for weight in UNDETACHED:
        yield partial(_joint, network, resolution, weight, detached=False)
    for number in range(len(probes(network))):
        yield partial(_of_probe, network, number)


def _joint(network: nn.Module, resolution: int, weight: float, labels: Tensor, *, detached: bool) -> Losses:
    return joint_losses(network, labels, resolution, weight=weight, detached=detached)


def _of_probe(network: nn.Module, number: int, labels: Tensor) -> Losses:
    def losses(images: Tensor) -> Tensor:
        with asked() as logits:
            network(images)
        return nn.functional.cross_entropy(logits[number].float(), labels, reduction="none")

    return losses
