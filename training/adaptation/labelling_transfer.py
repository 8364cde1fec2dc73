"""SHOT++: the surest predictions become labels, and MixMatch learns from them and from the rest (arXiv:2012.07297).

MixMatch is arXiv:1905.02249. The backbone goes on from SHOT's; the hypothesis is drawn anew and trained, so that what
the source network believed is not kept.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from foundation.errors import InputError
from search_space.network import CLASSIFIER, Network
from training.adaptation.information import entropies
from training.adaptation.settings import Adaptation
from training.data.held import HeldSplit
from training.methods.base import Method
from training.precision import autocast
from training.recipe import Recipe
from training.resize import resized
from training.sizing import epoch_steps
from training.targets import Targets

BACKBONE_RATE = 0.1
"""Share of the head's learning rate that the backbone has."""
ROUNDING = 1e-9  # of sums of equal numbers in another order


class Labelled(NamedTuple):
    """Numbers of the pictures that are labelled and their labels (M, int64), and of all others, in order."""

    numbers: Tensor
    labels: Tensor
    others: Tensor


def labelled(probabilities: Tensor) -> Labelled:
    """Of each predicted class the surest pictures, as large a share as all pictures have below the mean entropy.

    Args:
        probabilities: N×K, float64.

    Raises InputError where no picture is surer than the mean, or the share of no class comes to a picture.
    """
    uncertain, predicted = entropies(probabilities), probabilities.argmax(1)
    sure = int((uncertain < uncertain.mean() - ROUNDING).sum())
    if not sure:
        raise InputError(
            f"`labelling_transfer`: the network is equally sure of all {len(predicted)} pictures, so none is labelled; "
            "leave it out"
        )
    chosen: list[Tensor] = []
    for number in range(probabilities.shape[1]):
        members = (predicted == number).nonzero()[:, 0]
        chosen.append(members[uncertain[members].argsort(stable=True)[: len(members) * sure // len(predicted)]])
    numbers = torch.cat(chosen)
    if not len(numbers):
        raise InputError(
            f"`labelling_transfer`: {len(predicted)} pictures are too few for a labelled one of any class; leave it out"
        )
    others = torch.ones(len(predicted), dtype=torch.bool)
    others[numbers] = False
    return Labelled(numbers, predicted[numbers], others.nonzero()[:, 0])


def sharpened(probabilities: Tensor, temperature: float) -> Tensor:
    """Each row of N×K to the power 1/temperature, of sum 1."""
    return (probabilities.log() / temperature).softmax(1)  # powers would all be 0 where there are many classes


class MixMatch(Method):
    """Cross-entropy on mixed pictures with labels, and squared distance from guesses on those without.

    A guess is the mean prediction for two views of a picture, sharpened; it is made in evaluation mode, so batch
    statistics are those of the mixed pictures alone. The second term's weight grows linearly from 0.

    Args:
        network: with a hypothesis that was drawn anew.
        pictures: all of them, with their numbers from 0 as targets. The step is given views of the others.
        known: see `labelled`.
        recipe: of these steps; its augmentation makes the views.
    """

    def __init__(
        self,
        network: Network,
        pictures: HeldSplit,
        known: Labelled,
        resolution: int,
        settings: Adaptation,
        recipe: Recipe,
    ):
        super().__init__(network)
        self.network, self.pictures, self.known = network, pictures, known
        self.resolution, self.settings, self.recipe = resolution, settings, recipe
        self.steps = recipe.epochs * epoch_steps(len(known.others), recipe.batch_size)

    def groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """The head at the recipe's learning rate, all else at a tenth of it."""
        found = []
        for of_head in (True, False):
            own = [p for name, p in self.network.named_parameters() if name.startswith(f"{CLASSIFIER}.") == of_head]
            rate = recipe.learning_rate * (1.0 if of_head else BACKBONE_RATE)
            found += [
                {"params": [p for p in own if p.ndim > 1], "weight_decay": recipe.weight_decay, "lr": rate},
                {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0, "lr": rate},
            ]
        return found

    def __call__(self, images: Tensor, targets: Targets, number: int) -> float:
        assert isinstance(targets, Tensor)
        first = resized(images, self.resolution)
        second = self._view(targets.cpu())
        drawn = torch.randint(len(self.known.numbers), (self.recipe.batch_size,))
        labelled_views = self._view(self.known.numbers[drawn])
        guesses = self._guesses(first, second)
        labels = F.one_hot(self.known.labels[drawn], guesses.shape[1]).to(guesses)
        mixed, shares = self._mixed(torch.cat([labelled_views, first, second]), torch.cat([labels, guesses, guesses]))
        with autocast(mixed.device, self.recipe.precision):
            outputs = self.network(mixed)
        logits, count = outputs.float(), len(drawn)
        known = F.cross_entropy(logits[:count], shares[:count])
        guessed = F.mse_loss(logits[count:].softmax(1), shares[count:])
        loss = known + self.settings.unlabelled * number / self.steps * guessed
        loss.backward()
        return loss.item()

    def _view(self, numbers: Tensor) -> Tensor:
        """The pictures of these numbers, each augmented by itself, in this order."""
        seed = int(torch.randint(1 << 62, ()))
        subset = self.pictures.subset(numbers)
        # What comes is shuffled, and says where it belongs: the same picture may be asked for twice.
        subset.targets = torch.arange(len(numbers), device=subset.images.device)
        images, places = next(subset.batches(len(numbers), seed=seed, augmentation=self.recipe.augment))
        assert isinstance(places, Tensor)
        return resized(images[places.argsort()], self.resolution)

    @torch.no_grad()
    def _guesses(self, first: Tensor, second: Tensor) -> Tensor:
        training = self.network.training
        self.network.eval()
        with autocast(first.device, self.recipe.precision):
            outputs = [self.network(view).float().softmax(1) for view in (first, second)]
        self.network.train(training)
        return sharpened((outputs[0] + outputs[1]) / 2, self.settings.sharpening)

    def _mixed(self, images: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Each mixed with another one of all, of which it keeps the larger share."""
        alpha = torch.tensor(self.settings.mixup)
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        share = max(share, 1 - share)
        other = torch.randperm(len(images)).to(images.device)
        mixed = (share * images + (1 - share) * images[other]).contiguous(memory_format=torch.channels_last)
        return mixed, share * shares + (1 - share) * shares[other]
