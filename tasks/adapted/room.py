"""The task `adapted`: networks that learn from labelled pictures, judged after adapting to others without labels."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.errors import InputError
from foundation.metric import METRICS, Measured, Metric
from foundation.progress import Reporter
from search_space.network import Network
from tasks.adapted.data import UNKNOWN, check_target, with_target
from tasks.classification.bottleneck import BottleneckHead
from tasks.classification.room import Classification
from tasks.registry import TASKS
from training.adaptation.brief import PICTURES, briefly_adapted
from training.adaptation.information import entropies
from training.data.dataset import Dataset
from training.evaluation import seen
from training.specs import ADAPTED, TO
from training.targets import Batch, Targets
from training.task import Entry, Examination

INFORMATION = METRICS.register("information")(Metric("information", "nats", decimals=4, beside=("entropy",)))
"""What predictions tell of a picture, from 0 to log of the number of classes; beside it their mean entropy."""


@TASKS.register("adapted")
class AdaptedClassification(Classification):
    """One class a picture, of pictures that are not those learnt from.

    Networks are trained on the source's labels. To be judged, a copy adapts to the target's pictures for some steps,
    and what is measured is the mutual information of pictures and predictions then: no label of the target is looked
    at. Where there are labels, accuracy is told beside.
    """

    name = ADAPTED
    metric = INFORMATION
    heads: Mapping[str, type[BottleneckHead]] = MappingProxyType({"bottleneck": BottleneckHead})

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The pictures of a spec `SOURCE->TARGET`; without a target the labelled ones, for a test of weights."""
        if TO not in spec:
            return super().data(spec, side, device, reporter, **options)
        return with_target(spec, side, device, reporter or Reporter(quiet=True), **options)

    def on(self, data: Dataset) -> "AdaptedClassification":
        """Itself. Raises InputError for pictures without a target, or several processes."""
        check_target(data)
        if distributed.world() > 1:
            raise InputError(f"`task` {self.name}: networks adapt in one process; start this command without torchrun")
        return self

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """The information of the adapted copy's predictions for all pictures, in nats, and their mean entropy.

        It adapts to the first of the pictures (`training.adaptation.brief`). Where they have labels, accuracy and what
        `Classification` keeps are there as well.
        """
        assert isinstance(network, Network)
        coming = iter(batches)
        first = list(_first(coming, PICTURES))
        adapted = briefly_adapted(network, [images for images, _ in first], precision)

        def look(outputs: Any, labels: Targets) -> tuple[Tensor, Any]:
            logits = outputs["logits"]
            return logits.double().softmax(1).cpu(), self.judge(logits, labels, logits.shape[1])

        found = list(seen(adapted, itertools.chain(first, coming), look, precision=precision))
        probabilities = torch.cat([one for one, _ in found])
        entropy = float(entropies(probabilities).mean())
        value = float(entropies(probabilities.mean(0))) - entropy
        entries = (
            Entry(INFORMATION.name, INFORMATION.name, value, INFORMATION.written(value)),
            Entry("entropy", "entropy", entropy, f"{entropy:.4f}"),
        )
        judged = [known for _, known in found]
        if any((labels == UNKNOWN).any() for _, _, labels, _ in judged):
            return Examination(Measured(INFORMATION, value, {"entropy": entropy}), len(probabilities), {}, entries)
        labelled = super().examination(judged)
        beside = {"entropy": entropy, "accuracy": labelled.measured.value}
        return Examination(
            Measured(INFORMATION, value, beside),
            len(probabilities),
            labelled.predictions,
            (*entries, *labelled.entries),
            labelled.by_class,
        )

    def judge(self, answers: Any, targets: Targets, classes: int, outputs: Any = None) -> Any:
        """As of any classification; a picture without a label counts as recognised by none."""
        assert isinstance(targets, Tensor)
        counts, first, labels, classes = super().judge(answers, targets.clamp_min(0), classes, outputs)
        return counts, first, targets.cpu() if (targets == UNKNOWN).any() else labels, classes

    def examination(self, judged: Sequence[Any], *, shared: bool = False) -> Examination:
        """Accuracy of a network as it is. Raises InputError for pictures without labels."""
        if any((labels == UNKNOWN).any() for _, _, labels, _ in judged):
            raise InputError("`data`: pictures without labels, which nothing can be tested on; give labelled ones")
        return super().examination(judged, shared=shared)


def _first(coming: Iterator[Batch], pictures: int) -> Iterator[Batch]:
    """Whole batches, until there are so many pictures or no more."""
    while pictures > 0 and (batch := next(coming, None)) is not None:
        pictures -= len(batch[0])
        yield batch
