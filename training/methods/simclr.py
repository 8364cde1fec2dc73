"""SimCLR (arXiv:2002.05709): a backbone learns to tell two views of a picture from those of others, without labels."""

from dataclasses import replace

from torch import Tensor, nn

from foundation.errors import InputError
from search_space.head import FeaturesHead
from search_space.network import parts
from training.augmentation.recipe import Augmentation
from training.methods.base import Method
from training.methods.contrast import Projector, nt_xent
from training.methods.registry import METHODS, Training
from training.methods.settings import SimCLR
from training.precision import autocast
from training.recipe import Recipe
from training.resize import resized
from training.targets import Targets


class SimCLRStep(Method):
    """The mean NT-Xent loss of a batch of two views a picture, on projected features.

    Every other picture of the batch is a negative, so batches are taken whole. Each of several processes contrasts its
    own share. Raises InputError for a network with another head than features, or a recipe with micro-batches.
    """

    keeps_last = True  # what contrast comes to shows in what is learnt from the features later

    def __init__(self, training: Training, own: SimCLR):
        network, recipe = training.network, training.recipe
        if not isinstance(network.task_head, FeaturesHead):
            raise InputError("`method` simclr: for backbones without a head, which pretrain.py trains; give another")
        if recipe.micro_batch:
            raise InputError(f"`micro_batch` {recipe.micro_batch}: method simclr contrasts whole batches; leave it out")
        _, last = parts(network.architecture, network.task_head)[-1]
        self.network, self.own = network, own
        self.resolution, self.precision = training.resolution, recipe.precision
        self.projector = Projector(last.in_channels).to(training.data.device)
        super().__init__(nn.ModuleDict({"network": network, "projector": self.projector}))

    def augment(self, recipe: Recipe) -> Augmentation:
        """Two views of each picture, their colours distorted."""
        return replace(recipe.augment, colour=self.own.colour, views=2)

    def __call__(self, images: Tensor, targets: Targets, number: int) -> float:
        with autocast(images.device, self.precision):
            features = self.network(resized(images, self.resolution))
        loss = nt_xent(self.projector(features.float()), self.own.temperature)
        loss.backward()
        return loss.item()

    def evaluated(self) -> nn.Module:
        """The network, without the projector."""
        return self.network


@METHODS.register("simclr")
def simclr(training: Training) -> SimCLRStep:
    """Contrast of two views of each picture, without labels."""
    return SimCLRStep(training, training.own or SimCLR())
