"""Pictures of a split before a hidden network's neurons, as they are and changed."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from foundation.seeds import derive
from tasks.neural.attacks import GUIDED, Attacks, targets_of
from tasks.neural.ceiling import noise_ceiling, responded
from tasks.neural.ridge import explained_variance, over_neurons
from training.data.split import Split
from training.lanes import each_batch

BATCH = 50
"""Pictures that are changed at a time: lanes have work of few pictures, and progress is seen."""
SHOWN = 6


class Example(NamedTuple):
    """A picture before and after, C×H×W from 0 to 1, with its category, the target, and what it is taken for after."""

    picture: Tensor
    changed: Tensor
    own: str
    target: str
    taken: str


class Bench:
    """Pictures of a split before the neurons."""

    def __init__(self, attacks: Attacks, split: Split, count: int, seed: int):
        self.attacks, self.count, self.seed = attacks, count, seed
        self.split = split
        self.numbers = torch.arange(count) * len(split) // count
        self.sample = split.subset(self.numbers)
        labels = [targets.cpu() for _, targets in self.sample.batches(BATCH) if isinstance(targets, Tensor)]
        self.labels = torch.cat(labels)
        if len(self.labels) < count:
            raise InputError(
                f"`neurons`: {count - len(self.labels)} of the {count} pictures that are changed cannot be decoded; "
                "replace or remove them"
            )
        known = attacks.recording.labels.unique()
        self.towards = targets_of(self.labels, known, self.numbers.tolist(), seed)

    def scored(self) -> tuple[float, float, float]:
        """The explained variance, the noise ceiling, and the share that the decoder finds, on the whole split."""
        clean, predicted, labels = [], [], []
        with torch.no_grad():
            for images, targets in self.split.batches(BATCH):
                assert isinstance(targets, Tensor)
                clean.append(self.attacks.brain.clean(images).cpu())
                predicted.append(self.attacks.substitute(images).cpu())
                labels.append(targets.cpu())
        halves = responded(torch.cat(clean), derive(self.seed, "clean"))
        explained = over_neurons(explained_variance(torch.cat(predicted).double(), halves.mean), halves.mean)
        ceiling = over_neurons(noise_ceiling(halves), halves.mean)
        right = self.attacks.recording.category(halves) == torch.cat(labels)
        return explained, ceiling, float(right.double().mean())

    def at_rest(self) -> float:
        """The share that is taken for the target without any change."""
        with torch.no_grad():
            clean = torch.cat([self.attacks.brain.clean(images).cpu() for images, _ in self.sample.batches(BATCH)])
        return self._taken(clean)

    def _taken(self, clean: Tensor) -> float:
        taken = self.attacks.recording.category(responded(clean, derive(self.seed, "changed")))
        return float((taken == self.towards).double().mean())

    def judged(self, method: str, budget: float, what: str, reporter: Reporter) -> dict[str, float]:
        """The share taken for the target, and what the substitute explains of the responses to the changed pictures."""
        places = torch.arange(self.count).split(BATCH)
        batches = ((images, place) for (images, _), place in zip(self.sample.batches(BATCH), places, strict=True))
        parts = []
        with reporter.track(what, len(places), "batches") as advance:
            for part in each_batch(lambda images, place: self._responses(method, images, place, budget), batches):
                parts.append(part)
                advance("")
        clean, predicted = (torch.cat([part[place] for part in parts]) for place in (0, 1))
        halves = responded(clean, derive(self.seed, "changed"))
        explained = over_neurons(explained_variance(predicted.double(), halves.mean), halves.mean)
        return {"taken": self._taken(clean), "explained": explained}

    def _responses(self, method: str, images: Tensor, place: Tensor, budget: float) -> tuple[Tensor, Tensor]:
        attacks = self.attacks
        changed = attacks.pixels.shown(self._changed(method, attacks.pixels.pictures(images), place, budget))
        with torch.no_grad():
            return attacks.brain.clean(changed).cpu(), attacks.substitute(changed).cpu()

    def _changed(self, method: str, pictures: Tensor, place: Tensor, budget: float) -> Tensor:
        towards = self.towards[place].to(pictures.device)
        return self.attacks.changed(method, pictures, towards, self.numbers[place].tolist(), budget)

    def examples(self, budget: float, classes: Sequence[str]) -> list[Example]:
        """A few of the pictures, evenly spaced, changed by the substitute."""
        few = min(SHOWN, self.count)
        place = torch.arange(few) * self.count // few
        images, _ = next(iter(self.sample.subset(place).batches(few)))
        pictures = self.attacks.pixels.pictures(images)
        changed = self._changed(GUIDED, pictures, place, budget)
        with torch.no_grad():
            clean = self.attacks.brain.clean(self.attacks.pixels.shown(changed)).cpu()
        taken = self.attacks.recording.category(responded(clean, derive(self.seed, "shown")))
        names = [[classes[int(one)] for one in numbers] for numbers in (self.labels[place], self.towards[place], taken)]
        rows = zip(pictures.cpu(), changed.cpu(), *names, strict=True)
        return [Example(*row) for row in rows]
