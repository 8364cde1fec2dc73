"""What a trained classifier makes of pictures that are changed so that it gets them wrong."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from deployment.model_source import Model
from foundation.errors import InputError
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.attention.probes import Probe, probes
from training.attacks.box import Box
from training.attacks.losses import right
from training.attacks.registry import Adaptive, Attack, Logits, NetworkLogits
from training.data.datasets import Dataset
from training.data.split import Split
from training.lanes import each_batch
from training.resize import resized_batch
from training.targets import Targets
from training.task import check_class_labels

PIXELS = 1 << 20
"""Of a batch: gradients take the memory of a training."""
PICTURES = 64
"""Of a batch on a CPU, which is as fast with few: lanes have work of few pictures, and progress is seen."""


@dataclass(frozen=True)
class Robustness:
    """A network under attacks, of the same pictures each.

    Attributes:
        epsilon: by how much a value of a picture, from 0 to 1, was changed at most.
        attacks: by their names.
        natural: of each picture, whether it is recognised as it is: N, bool, on the CPU.
        under: by attack whether it still is. A picture that is not recognised as it is counts as wrong.
    """

    epsilon: float
    attacks: Mapping[str, Attack]
    natural: Tensor
    under: Mapping[str, Tensor]

    @property
    def pictures(self) -> int:
        """How many there were."""
        return len(self.natural)

    @cached_property
    def accuracies(self) -> dict[str, float]:
        """The share that is still recognised, by attack."""
        return {name: _share(right) for name, right in self.under.items()}

    @property
    def natural_accuracy(self) -> float:
        """The share that is recognised without any attack."""
        return _share(self.natural)

    @property
    def worst(self) -> float:
        """The share that is recognised whatever the attack."""
        return _share(torch.stack([self.natural, *self.under.values()]).all(0))

    @property
    def by_gradients(self) -> str | None:
        """The attack by gradients that leaves the lowest accuracy; None where there was none.

        One that knows of gates stands only for lack of others: what misleads these it is made to get round.
        """
        others = {name for name, attack in self.attacks.items() if not isinstance(attack, Adaptive)}
        return self._strongest(others, gradients=True) or self._strongest(self.attacks, gradients=True)

    @property
    def by_queries(self) -> str | None:
        """The attack without gradients that leaves the lowest accuracy; None where there was none."""
        return self._strongest(self.attacks, gradients=False)

    @property
    def masked(self) -> bool | None:
        """Whether gradients mislead: an attack that has none does better. None where there were not both kinds."""
        if self.by_gradients is None or self.by_queries is None:
            return None
        return self.accuracies[self.by_queries] < self.accuracies[self.by_gradients]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "epsilon": self.epsilon,
            "pictures": self.pictures,
            "natural": self.natural_accuracy,
            "attacks": [
                {"name": name.partition(":")[0], attack.unit: attack.steps, "accuracy": self.accuracies[name]}
                for name, attack in self.attacks.items()
            ],
            "worst": self.worst,
            "gradient_masking_suspected": self.masked,
        }

    def _strongest(self, among: Collection[str], *, gradients: bool) -> str | None:
        names = [name for name, attack in self.attacks.items() if name in among and attack.gradients == gradients]
        return min(names, key=lambda name: self.accuracies[name], default=None)


def check_attacks(model: Model, attacks: Mapping[str, Attack]) -> None:
    """Raises InputError for a network that cannot be attacked so."""
    check_class_labels(model.task, "`attack`", "leave it out")
    if len(model.info.classes) < 2:
        raise InputError(f"{model.path}: has one class, which no change can make wrong; leave `attack` out")
    for name, attack in attacks.items():
        if attack.gradients and model.network is None:
            raise InputError(
                f"{model.path}: an ONNX file has no gradients, and `attack` {name} follows them; give the network's "
                ".safetensors, or `attack` square"
            )
        if isinstance(attack, Adaptive) and not gated(model):
            raise InputError(
                f"{model.path}: its attention has no gate that goes by a probe, as cifs has, and `attack` {name} is "
                "for such; leave it out"
            )


def gated(model: Model) -> bool:
    """Whether the network's attention has gates that go by probes, which `pgd` alone may be misled by."""
    return model.network is not None and any(not isinstance(one, Probe) for one in probes(model.network))


def attacked(
    model: Model,
    data: Dataset,
    split: Split,
    attacks: Mapping[str, Attack],
    epsilon: float,
    *,
    name: str,
    pictures: int | None,
    batch_size: int,
    reporter: Reporter,
) -> Robustness:
    """The network on pictures of the split as they are, and under each attack.

    What is drawn at random for a picture depends on its number in the split alone. Results are the same bits with one
    lane and with two.

    Args:
        epsilon: as `Box.of` takes it.
        name: what progress calls the network.
        pictures: only so many, evenly spaced; None takes all.
        batch_size: of the split; a smaller one is attacked at a time where that needs much memory.

    Raises InputError for logits that are not finite.
    """
    count = len(split) if pictures is None else min(pictures, len(split))
    chosen = torch.arange(count) * len(split) // max(1, count)
    size = min(batch_size, max(1, PIXELS // model.info.architecture.resolution**2))
    if split.device.type == "cpu":
        size = min(size, PICTURES)
    box = Box.of(data.mean, data.std, epsilon).to(split.device)
    sample = split if count == len(split) else split.subset(chosen)
    logits = _logits(model)

    def passed(attack: Attack | None, purpose: str) -> Tensor:
        """Of each picture whether it is recognised, attacked or as it is."""

        def judged(images: Tensor, targets: tuple[Targets, Sequence[int]]) -> Tensor:
            labels, numbers = targets
            assert isinstance(labels, Tensor)
            images, _ = resized_batch(images, labels, model.info.architecture.resolution)
            known = _recognised(model, logits, images, labels)
            left = known.nonzero()[:, 0]
            if attack is not None and len(left):
                seeds = [derive("attack", purpose, numbers[index]) for index in left.tolist()]
                changed = attack(logits, images[left], labels[left], box, seeds)
                known[left] = _recognised(model, logits, changed, labels[left])
            return known.cpu()

        found = []
        with reporter.track(f"{name} {purpose}", math.ceil(count / size), "batches") as advance:
            numbered = (
                (images, (labels, chosen[start * size :][: len(images)].tolist()))
                for start, (images, labels) in enumerate(sample.batches(size))
            )
            for one in each_batch(judged, numbered):
                found.append(one)
                advance("")
        return torch.cat(found)

    natural = passed(None, "as it is")
    if len(natural) < count:
        raise InputError(
            f"`attack`: {count - len(natural)} of the {count} pictures cannot be decoded; replace or remove them"
        )
    return Robustness(epsilon, attacks, natural, {name: passed(attack, name) for name, attack in attacks.items()})


def _logits(model: Model) -> Logits:
    if model.network is None:
        return lambda images: model.see(images).answers.to(images.device)
    return NetworkLogits(model.network, str(model.path))


@torch.no_grad()
def _recognised(model: Model, logits: Logits, images: Tensor, labels: Tensor) -> Tensor:
    outputs = logits(images)
    if not bool(outputs.isfinite().all()):
        raise InputError(f"{model.path}: the network's logits are not finite; was it trained to the end?")
    return right(outputs, labels)


def _share(flags: Tensor) -> float:
    return float(flags.double().mean())
