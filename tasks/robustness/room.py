"""The task `robust`: labelled pictures that an attack changes within bounds, and accuracy on them."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.errors import InputError
from foundation.metric import METRICS, Measured, Metric
from tasks.classification.bottleneck import BottleneckHead
from tasks.classification.room import Classification, confusion, of_pictures
from tasks.registry import TASKS
from training.attacks.box import Box
from training.attacks.epsilon import EPSILON, read_epsilon
from training.attacks.joint import joint_losses
from training.attacks.pgd import pgd
from training.data.dataset import Dataset
from training.lanes import each_batch
from training.precision import autocast
from training.targets import Batch, Targets, in_float32
from training.task import ByClass, Entry, Examination

ROBUST = METRICS.register("robust")(Metric("robust", "%", 100.0, 2, "points", beside=("accuracy", "loss")))
"""Top-1 accuracy under attack, a share from 0 to 1; beside it that without, and mean cross-entropy without, in nats."""

STEPS = 3
"""Of an attack in a search, where each of hundreds of networks is attacked, and all that are trained."""


@TASKS.register("robust")
class RobustClassification(Classification):
    """One class a picture, whatever small change is made to it.

    Networks are trained on attacked pictures, and judged by others, with projected gradient descent from the picture
    itself (arXiv:1706.06083): steps of 2.5 epsilons divided by their number, so 2/255 for ten of 8/255. A network's
    probes are part of the loss that is raised.

    Args:
        attack: `EPSILON` or `EPSILON:STEPS`, as in the task's name: `robust:8/255:10`.
    """

    name = "robust"
    metric = ROBUST
    named: ClassVar[str] = "EPSILON:STEPS"
    heads: Mapping[str, type[BottleneckHead]] = MappingProxyType({})

    def __init__(self, attack: str = "", box: Box | None = None):
        super().__init__()
        epsilon, _, steps = (attack or EPSILON).partition(":")
        if steps and not (steps.isdecimal() and 1 <= int(steps) <= 1000):
            raise InputError(f"expected 1 to 1000 steps after {epsilon}:, got {steps}")
        self.epsilon, self.steps = read_epsilon(epsilon, "epsilon"), int(steps or STEPS)
        self.attack = attack
        self.box = box
        if attack:
            self.name = f"{self.name}:{attack}"

    def on(self, data: Dataset) -> "RobustClassification":
        """The same, that knows how these pictures are normalised."""
        return RobustClassification(self.attack, Box.of(data.mean, data.std, self.epsilon).to(data.device))

    def attacked(
        self, network: nn.Module, images: Tensor, targets: Targets, resolution: int, start: Tensor | None = None
    ) -> Tensor:
        """See `training.task.Attacking`."""
        assert isinstance(targets, Tensor)
        assert self.box is not None, "`on` tells the task its pictures"
        labels = targets.argmax(1) if targets.ndim > 1 else targets
        losses = joint_losses(network, labels, resolution)
        return pgd(losses, images, self.box, steps=self.steps, step=2.5 / self.steps, start=start)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """Accuracy under attack, of which predictions are; beside it accuracy and cross-entropy without."""
        network.eval()

        def look(images: Tensor, targets: Targets) -> tuple[Any, Tensor]:
            logits = _logits(network, images, precision)
            attacked = self.attacked(network, images, targets, images.shape[-1])
            judged = self.judge(logits, targets, logits.shape[1])
            return judged, _logits(network, attacked, precision).argmax(1).cpu()

        found = list(each_batch(look, batches))
        natural = super().examination([judged for judged, _ in found], shared=shared)
        under = [torch.empty(0, dtype=torch.int64), *(one for _, one in found)]
        taken, truth = torch.cat(under), natural.predictions["labels"]
        sums = [float((taken == truth).sum()), float(len(truth))]
        right, count = distributed.total(sums) if shared else sums
        beside = {"accuracy": natural.measured.value, "loss": natural.measured.beside["loss"]}
        measured = Measured(ROBUST, right / count, beside)
        accuracy, *others = natural.entries
        entries = (Entry("robust", "robust", measured.value, ROBUST.written(measured.value)), accuracy, *others)
        classes = len(natural.by_class().counts) if natural.by_class else 0

        def by_class() -> ByClass:
            known = of_pictures(confusion(truth, natural.predictions["predicted"], classes))
            robust = of_pictures(confusion(truth, taken, classes)).shares["recall"]
            return ByClass(known.unit, known.counts, {**known.shares, "under attack": robust}, known.confusion)

        return Examination(measured, natural.pictures, {"predicted": taken, "labels": truth}, entries, by_class)


def _logits(network: nn.Module, images: Tensor, precision: str) -> Tensor:
    with torch.no_grad(), autocast(images.device, precision):
        outputs = network(images)
    logits: Tensor = in_float32(outputs)
    return logits
