"""Core-tuning (arXiv:2102.06605): fine-tuning by labels and by contrast, on features that are mixed to be hard.

The classifier is the network's own, a linear layer with a bias, where the paper's has none. Each anchor's sum over its
positives is divided by their number, as the paper writes it; the published code divides by all rows of the batch, so
that a weight η there is about 3N / positives times one here.
"""

from typing import Any

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from search_space.head import ClassifierHead
from search_space.parts import Classifier
from training.methods.contrast import Projector, contrast
from training.methods.hard_pairs import Draws, enlarged
from training.methods.label_step import LabelStep
from training.methods.registry import METHODS, Training
from training.methods.settings import CoreTuning
from training.precision import autocast
from training.probe_loss import learning
from training.resize import resized
from training.specs import TASK
from training.targets import Targets
from training.task import check_class_labels

NAME = "core-tuning"
TEMPERATURE = 0.07


class CoreTuningStep(LabelStep):
    """The mean cross-entropy of pictures and mixtures, and η times the focal supervised contrast of the pictures.

    The mixtures between classes and their mixed labels smooth the classifier's boundary. Batches are taken whole, since
    hard pairs are found in them; with micro-batches, and in each of several processes, they are found in the part.

    Raises InputError for a task without class labels, another teacher, mixed pictures, or a network whose classifier is
    not a linear layer on the mean over a map.
    """

    def __init__(self, training: Training, own: CoreTuning):
        network, recipe = training.network, training.recipe
        check_class_labels(training.task, f"`method` {NAME}", "give `method` labels")
        if training.teacher is not None:
            raise InputError(f"`teacher`: method {NAME} learns from labels alone; leave it out")
        for name in ("mixup", "cutmix"):
            if getattr(recipe, name):
                raise InputError(
                    f"`{name}` {getattr(recipe, name):g}: method {NAME} mixes features, of pictures of one class each; "
                    "give 0"
                )
        if not isinstance(network.classifier, Classifier):
            linear = isinstance(network.task_head, ClassifierHead)
            family = f"networks of family {network.family} do not have"
            lacking = family if linear else f"is no {network.task_head.told}"
            other = "leave `head` out" if training.task.name.partition(":")[0] == TASK else "give `task` classification"
            remedy = "`method` labels" if linear else f"`method` labels, or {other}"
            raise InputError(
                f"`method` {NAME}: wants a linear classifier on the mean over a map, which {lacking}; give {remedy}"
            )
        super().__init__(
            network,
            training.resolution,
            recipe,
            training.task,
            training.data.num_classes,
            adapt=training.adapt,
            say=training.say,
        )
        self.own, self.num_classes = own, training.data.num_classes
        self.classifier = network.classifier
        self.projector = Projector(network.classifier.in_features).to(training.data.device)
        self.model = nn.ModuleDict({"network": network, "projector": self.projector})
        self._forward = torch.compile(network.last_map) if recipe.compile else network.last_map

    def evaluated(self) -> nn.Module:
        """The network, without the projector."""
        return self.network

    def features(self, images: Tensor) -> Tensor:
        """N×3×H×W to N×d, what the classifier is given."""
        with autocast(images.device, self.recipe.precision):
            maps: Any = self._predicted(resized(images, self.resolution))
        return maps.float().mean((2, 3))

    def _halves(self, images: Tensor) -> bool:
        return False

    def _loss(self, images: Tensor, targets: Targets, network: nn.Module | None = None) -> Tensor:
        assert isinstance(targets, Tensor)
        with learning(self.network, targets) as with_probes:
            features = self.features(images)
        batch = enlarged(features, targets, self.num_classes, Draws.of(len(targets), targets.device))
        loss = with_probes(self.task_loss(self.classifier(batch.features[:, :, None, None]), batch.shares))
        projected = self.projector(batch.features)
        return loss + self.own.contrast * contrast(
            projected, batch.positive, batch.negative, temperature=TEMPERATURE, focal=True
        )


@METHODS.register("core-tuning")
def core_tuning(training: Training) -> CoreTuningStep:
    """Fine-tuning by labels and by contrast, on features mixed to be hard."""
    return CoreTuningStep(training, training.own or CoreTuning())
