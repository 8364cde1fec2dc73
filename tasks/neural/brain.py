"""The hidden network whose features answer as simulated neurons: small, plain, frozen, of none of the families here.

Nothing of it was measured in an animal. It stands for a visual system that one may record from and not look into.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from foundation.progress import Reporter
from foundation.seeds import derive
from tasks.neural.brief_training import SIDE, kept_or_made, sample, trained_briefly
from training.data.dataset import Dataset
from training.evaluation import seen
from training.resize import resized, resized_batches

NAME = "neurons"
"""Of its file, without the ending."""
NEURONS = 100
WIDTHS = (16, 32, 64)
BATCH = 256


class HiddenNetwork(nn.Module):
    """Three 3×3 convolutions with batch normalisation and max-pooling, and the mean over the map: N×3×32×32 to logits.

    Neither inverted residuals nor tokens nor attention, so it is of another family than any network that is judged.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(WIDTHS[-1], num_classes)

    def features(self, images: Tensor) -> Tensor:
        """N×3×H×W to N×64."""
        maps: Tensor = self.layers(resized(images, SIDE))
        return maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits


class Brain(nn.Module):
    """A hidden network and its neurons: r = ReLU(Pφ(x)).

    φ are its features, brought to a mean of 0 and a variance of 1 over training pictures, and P is drawn from a normal
    law, so that a neuron answers to about half of the pictures. Frozen: no parameter asks for a gradient.

    Attributes:
        projection: Pᵀ, 64×n.
    """

    def __init__(self, num_classes: int, neurons: int = NEURONS):
        super().__init__()
        self.network = HiddenNetwork(num_classes)
        for name in ("centre", "scale"):
            self.register_buffer(name, torch.ones(WIDTHS[-1]))
        self.register_buffer("projection", torch.zeros(WIDTHS[-1], neurons))
        self.centre: Tensor
        self.scale: Tensor
        self.projection: Tensor
        self.eval().requires_grad_(False)

    def clean(self, images: Tensor) -> Tensor:
        """The neurons' responses without noise, N×n from 0, to N×3×H×W normalised pictures; gradients flow through."""
        features = (self.network.features(images) - self.centre) / self.scale
        return (features @ self.projection).relu()

    forward = clean


def brain_of(data: Dataset, folder: Path, reporter: Reporter, seed: int = 0) -> Brain:
    """The hidden network of the seed for these pictures: from the folder, or trained and kept there.

    Killed, its training goes on where it was, to the same bits. All processes that train together take part.

    Raises InputError for a file in the folder that is another's.
    """
    own = {"kind": "simulated neurons", "seed": seed, "widths": list(WIDTHS), "neurons": NEURONS}

    def make(checkpoint: Path) -> Brain:
        network = trained_briefly(
            lambda: HiddenNetwork(data.num_classes),
            data,
            seed=derive(seed, "hidden network"),
            checkpoint=checkpoint,
            identity=own,
            reporter=reporter,
            what="simulated neurons",
        )
        batches = resized_batches(sample(data).batches(BATCH), SIDE)
        features = torch.cat(list(seen(_Features(network), batches, lambda found, _: found.cpu().double())))
        brain = Brain(data.num_classes)
        brain.network.load_state_dict(network.state_dict())
        brain.centre.copy_(features.mean(0))
        brain.scale.copy_(features.std(0, correction=0).clamp(min=1e-3))
        generator = torch.Generator().manual_seed(derive(seed, "neurons"))
        brain.projection.copy_(torch.randn(brain.projection.shape, generator=generator) / WIDTHS[-1] ** 0.5)
        return brain

    brain = kept_or_made(Brain(data.num_classes), make, data, folder, NAME, own)
    return brain.eval().requires_grad_(False).to(data.device)


class _Features(nn.Module):
    """A hidden network up to its features, as `training.evaluation.seen` asks networks."""

    def __init__(self, network: HiddenNetwork):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.features(images)
