"""An evaluator of one's own, which trains nothing: `--plugin examples/nearest_mean.py --evaluator nearest-mean`.

A picture is given the class whose mean is nearest among the features of an untrained network, so a candidate scores
well if its structure alone already separates the classes.
"""

from typing import Any

import torch
from torch import nn

from evaluators.choice import EVALUATORS, Setup
from foundation.metric import ACCURACY, Measured
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.network import build
from training.resize import resized

PICTURES = 500  # of each of the training and the validation pictures


@EVALUATORS.register("nearest-mean")
class NearestMean:
    """Scores by the validation accuracy of nearest class means."""

    metric = ACCURACY

    def __init__(self, setup: Setup):
        self.setup = setup

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a score."""
        return {"name": "nearest-mean", "pictures": PICTURES}

    def about(self) -> str:
        """A line for the user who waits."""
        return f"nearest-mean: features of untrained networks, {PICTURES} pictures"

    def prepare(self) -> None:
        """Takes the pictures, the same for every candidate."""
        data = self.setup.data
        self.known = next(data.train.batches(PICTURES, seed=derive(self.setup.seed, "nearest mean")))
        self.asked = next(data.validation.batches(PICTURES, limit=PICTURES))

    @torch.no_grad()
    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        """Accuracy and cross-entropy; a function of the architecture, the seed and the pictures alone."""
        data = self.setup.data
        with torch.random.fork_rng():
            torch.manual_seed(derive(self.setup.seed, architecture.digest()))
            network = build(architecture, data.num_classes).to(data.device)  # in training mode: statistics of the batch

        def features(images: torch.Tensor) -> torch.Tensor:
            maps = network.head(network.stages(network.stem(resized(images, architecture.resolution))))
            return nn.functional.normalize(maps.mean((2, 3)))  # N×C

        (images, labels), (asked, truth) = self.known, self.asked
        classes = nn.functional.one_hot(labels, data.num_classes).float()  # N×classes
        means = classes.T @ features(images) / classes.sum(0).clamp(min=1)[:, None]
        logits = -torch.cdist(features(asked), means)
        loss = nn.functional.cross_entropy(logits, truth)
        accuracy = (logits.argmax(1) == truth).float().mean().item()
        return Measured(ACCURACY, accuracy, {"loss": loss.item()})
