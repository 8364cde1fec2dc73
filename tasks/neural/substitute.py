"""What is known of the neurons without looking into the hidden network: recorded responses, and a model of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from search_space.network import Network
from tasks.neural.brain import Brain
from tasks.neural.brief_training import sample
from tasks.neural.ceiling import Halves, responded
from tasks.neural.ridge import Regression
from tasks.neural.room import pooled
from training.data.dataset import Dataset
from training.linear_algebra import on_one_thread
from training.resize import resized

RECORDED = 2000
"""Training pictures that are shown to the neurons at most."""
BATCH = 256
ITERATIONS = 2000


@dataclass(frozen=True)
class Pixels:
    """How pictures of values from 0 to 1, N×C×H×W and grey ones of one channel, are shown to networks."""

    mean: Sequence[float]
    std: Sequence[float]

    def shown(self, pictures: Tensor) -> Tensor:
        """Normalised, N×3×H×W; gradients flow through."""
        mean, std = self._rows(pictures)
        images = (pictures - mean) / std
        return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images

    def pictures(self, images: Tensor) -> Tensor:
        """The pictures that normalised images, N×3×H×W, are of."""
        mean, std = self._rows(images)
        return (images[:, : len(self.mean)] * std + mean).clamp(0, 1)

    def _rows(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(list(values)).view(1, -1, 1, 1).to(like) for values in (self.mean, self.std))
        return mean, std


@dataclass(frozen=True)
class Substitute:
    """A network and a ridge regression on its features: what predicts the neurons.

    Args:
        network: frozen, in evaluation mode.
    """

    network: Network
    regression: Regression

    def __call__(self, images: Tensor) -> Tensor:
        """Predicted responses, N×n, to N×3×H×W normalised pictures of any size; gradients flow through."""
        return self.regression(features(self.network, images))


def features(network: Network, images: Tensor) -> Tensor:
    """What a linear classifier reads of the network, N×C, for normalised pictures of any size."""
    return pooled(network.last_map(resized(images, network.architecture.resolution)))


@dataclass(frozen=True)
class Recording:
    """Noisy responses of the neurons to training pictures, and what was made of them.

    Attributes:
        targets: each category's mean response, K×n.
        decoder: a linear one, from responses to categories.
        pictures: the pictures shown, N×C×H×W.
        labels: their categories, N (int64).
    """

    halves: Halves
    targets: Tensor
    decoder: LogisticRegression
    pictures: Tensor
    labels: Tensor

    def category(self, halves: Halves) -> Tensor:
        """The category that the decoder takes each picture's mean response for, N (int64)."""
        return torch.from_numpy(on_one_thread(self.decoder.predict)(halves.mean.numpy())).long()


def recorded(brain: Brain, data: Dataset, pixels: Pixels, seed: int) -> Recording:
    """Shows training pictures to the neurons, and fits a linear decoder on what they answer."""
    clean, pictures, labels = [], [], []
    with torch.no_grad():
        for images, targets in sample(data, RECORDED).batches(BATCH):
            assert isinstance(targets, Tensor)
            clean.append(brain.clean(images).cpu())
            pictures.append(pixels.pictures(images))
            labels.append(targets.cpu())
    known = torch.cat(labels)
    halves = responded(torch.cat(clean), seed)
    decoder = LogisticRegression(max_iter=ITERATIONS)
    on_one_thread(decoder.fit)(halves.mean.numpy(), known.numpy())
    means = torch.full((data.num_classes, halves.mean.shape[1]), torch.nan, dtype=torch.float64)
    for number in known.unique().tolist():
        means[number] = halves.mean[known == number].mean(0)
    return Recording(halves, means, decoder, torch.cat(pictures), known)


def substitute_of(network: Network, recording: Recording, pixels: Pixels) -> Substitute:
    """The network with a regression from its features to the recorded responses; clean pictures alone are seen."""
    with torch.no_grad():
        parts = [features(network, pixels.shown(part)).cpu() for part in recording.pictures.split(BATCH)]
    return Substitute(network, Regression.fitted(torch.cat(parts), recording.halves.mean))
