"""The task `classification`: labelled pictures, cross-entropy, top-1 accuracy."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import ClassifierHead, Head
from tasks.registry import TASKS
from training.data.datasets import Dataset, load_data
from training.evaluation import seen
from training.targets import Batch, Targets
from training.task import Examination

TOP = 5


@TASKS.register("classification")
class Classification:
    """One class a picture. Targets are labels N (int64), outputs logits N×classes."""

    name = "classification"
    metric = ACCURACY
    class_labels = True

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The labelled pictures that a spec names."""
        return load_data(spec, side, device, reporter, **options)

    def head(self, data: Dataset, architecture: Architecture) -> Head:
        """A linear classifier."""
        return ClassifierHead(data.num_classes)

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """Mean cross-entropy in nats; with shares of several classes (N×classes) as well."""
        assert isinstance(targets, Tensor)
        return nn.functional.cross_entropy(outputs, targets)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """The shares of pictures whose label is the first, and among the first five, predictions; mean cross-entropy.

        Predictions are `predicted`, the first of each picture, and `labels`, both N (int64).
        """

        def look(logits: Tensor, labels: Targets) -> tuple[list[float], Tensor, Tensor]:
            assert isinstance(labels, Tensor)
            best = logits.topk(min(TOP, logits.shape[1])).indices
            hits = best == labels[:, None]
            loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
            return [float(hits[:, 0].sum()), float(hits.sum()), float(loss)], best[:, 0].cpu(), labels.cpu()

        predicted, labelled = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)]
        correct = within = loss = 0.0
        for counts, best, labels in seen(network, batches, look, precision=precision):
            correct, within, loss = correct + counts[0], within + counts[1], loss + counts[2]
            predicted.append(best)
            labelled.append(labels)
        whole = torch.cat(predicted)
        sums = [correct, within, loss, float(len(whole))]
        correct, within, loss, count = distributed.total(sums) if shared else sums
        measured = Measured(ACCURACY, correct / count, {f"top{TOP}": within / count, "loss": loss / count})
        return Examination(measured, len(whole), {"predicted": whole, "labels": torch.cat(labelled)})

    def described(self, data: Dataset) -> dict[str, Any]:
        """The classes' names, in the order of the logits."""
        return {"classes": list(data.classes)}


CLASSIFICATION = Classification()
