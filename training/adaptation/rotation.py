"""Telling by how many quarter turns a picture was rotated, from its features and those of what it was turned into."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.adaptation.hypothesis import WithFeatures
from training.methods.base import Method
from training.precision import autocast
from training.recipe import Recipe
from training.resize import resized
from training.targets import Targets

TURNS = 4


def rotated(images: Tensor, turns: Tensor) -> Tensor:
    """Each of N×C×S×S by its number of quarter turns (N, int64), anticlockwise."""
    turned = torch.stack([images.rot90(turn, (2, 3)) for turn in range(TURNS)])
    return turned[turns, torch.arange(len(images), device=images.device)].contiguous(memory_format=torch.channels_last)


def drawn_turns(images: Tensor) -> Tensor:
    """A number of quarter turns for each of N pictures, from torch's global random state: N, int64."""
    return torch.randint(TURNS, (len(images),)).to(images.device)


def turns_loss(classifier: nn.Module, features: Tensor, turned: Tensor, turns: Tensor) -> Tensor:
    """Cross-entropy of the turns (N) told from both features, N×d each; those of the picture itself learn nothing."""
    return F.cross_entropy(classifier(torch.cat([features.detach(), turned], 1)), turns)


class LearnTurns(Method):
    """Trains the classifier of turns alone, a linear layer 2d to 4; the network is in evaluation mode and stays."""

    def __init__(self, classifier: nn.Linear, network: WithFeatures, resolution: int, recipe: Recipe):
        super().__init__(classifier)
        self.network, self.resolution, self.precision = network, resolution, recipe.precision

    def begin_epoch(self, epoch: int) -> None:
        self.network.eval()

    def __call__(self, images: Tensor, targets: Targets, number: int) -> float:
        images = resized(images, self.resolution)
        turns = drawn_turns(images)
        with torch.no_grad(), autocast(images.device, self.precision):
            features, turned = (self.network.features(x).float() for x in (images, rotated(images, turns)))
        loss = turns_loss(self.model, features, turned, turns)
        loss.backward()
        return loss.item()

    def groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """All of it, with weight decay."""
        return [{"params": list(self.model.parameters()), "weight_decay": recipe.weight_decay}]
