"""SHOT: the features of pictures without labels move to where a classifier that stays is sure (arXiv:2012.07297)."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from training.adaptation.hypothesis import WithFeatures, frozen, hypothesis, look, statistics_kept
from training.adaptation.information import information_loss
from training.adaptation.pseudo_labels import pseudo_labels
from training.adaptation.rotation import drawn_turns, rotated, turns_loss
from training.adaptation.settings import Adaptation
from training.data.split import Split
from training.methods.base import Method
from training.precision import autocast
from training.recipe import Recipe
from training.resize import resized
from training.targets import Targets


class Shot(Method):
    """Information maximisation, cross-entropy on pseudo-labels, and telling rotations; the hypothesis has no gradients.

    Pseudo-labels are renewed before each epoch, from all pictures in evaluation mode. Rotated pictures are normalised
    by their own statistics, which are not kept: in use the network sees upright ones.

    Args:
        network: what is adapted; `evaluated` gives the part of it that is kept.
        turns: tells rotations, a linear layer 2d to 4 (`LearnTurns`); None where they have no weight.
        pictures: all of them, with their numbers from 0 as targets (N, int64).
        resolution: of the images the network is given, in pixels a side.
    """

    def __init__(
        self,
        network: WithFeatures,
        turns: nn.Linear | None,
        pictures: Split,
        resolution: int,
        settings: Adaptation,
        recipe: Recipe,
    ):
        super().__init__(nn.ModuleDict({"network": network, **({} if turns is None else {"turns": turns})}))
        self.network, self.turns = network, turns
        self.pictures, self.resolution = pictures, resolution
        self.settings, self.recipe = settings, recipe
        self.hypothesis = hypothesis(network.network)
        self.labels: Tensor | None = None

    def evaluated(self) -> nn.Module:
        """The network alone."""
        return self.network.network

    def groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """What is trained already, at its share of the learning rate, and the new classifier of turns."""
        kept = {id(parameter) for parameter in self.hypothesis.parameters()}
        adapting = [parameter for parameter in self.network.parameters() if id(parameter) not in kept]
        rate = recipe.learning_rate * self.settings.backbone_rate
        new = [] if self.turns is None else list(self.turns.parameters())
        return [
            {"params": [p for p in adapting if p.ndim > 1], "weight_decay": recipe.weight_decay, "lr": rate},
            {"params": [p for p in adapting if p.ndim <= 1], "weight_decay": 0.0, "lr": rate},
            *([{"params": new, "weight_decay": recipe.weight_decay}] if new else []),
        ]

    def begin_epoch(self, epoch: int) -> None:
        if self.settings.pseudo_labels:
            seen = look(self.network, self.pictures, self.resolution, self.recipe.precision)
            self.labels = pseudo_labels(seen, self.settings.centroid_above)

    def state_dict(self) -> dict[str, Any]:
        """The pseudo-labels, which are of the network that the epoch began with."""
        return {"labels": self.labels}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what `state_dict` gave; without pseudo-labels, as files had it before, for the end of an epoch."""
        self.labels = state.get("labels")

    def __call__(self, images: Tensor, targets: Targets, number: int) -> float:
        assert isinstance(targets, Tensor)
        settings = self.settings
        images = resized(images, self.resolution)
        with frozen(self.hypothesis):
            features = self._features(images)
            logits = self.network.logits(features)
            loss = information_loss(logits, settings.diversity)
            if self.labels is not None:
                labels = self.labels[targets.cpu()].to(images.device)
                loss = loss + settings.pseudo_labels * F.cross_entropy(logits, labels)
            if self.turns is not None:
                turns = drawn_turns(images)
                with statistics_kept(self.network):
                    turned = self._features(rotated(images, turns))
                loss = loss + settings.rotation * turns_loss(self.turns, features, turned, turns)
            loss.backward()
        return loss.item()

    def _features(self, images: Tensor) -> Tensor:
        with autocast(images.device, self.recipe.precision):
            return self.network.features(images).float()
