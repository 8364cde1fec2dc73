"""The task `classification`: labelled pictures, cross-entropy, top-1 accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import ClassifierHead, Head
from tasks.classification.bottleneck import BottleneckHead
from tasks.registry import TASKS, name_and_channels
from training.data.datasets import Dataset, load_data
from training.evaluation import seen
from training.targets import Batch, Targets
from training.task import Answers, ByClass, Entry, Examination

TOP = 5


@TASKS.register("classification")
class Classification:
    """One class a picture. Targets are labels N (int64), outputs and answers logits N×classes."""

    name = "classification"
    metric = ACCURACY
    class_labels = True
    answer = ("logits",)
    heads: Mapping[str, type[BottleneckHead]] = {"bottleneck": BottleneckHead}

    def __init__(self, head: str = ""):
        """Takes a head as `NAME` or `NAME/CHANNELS`; a linear classifier where none is said."""
        name, width = name_and_channels(head)
        self.chosen = self.heads[name](1) if name else None  # with as many classes as the data will have
        if self.chosen and width is not None:
            self.chosen = replace(self.chosen, width=width)
        if head:
            self.name = f"{self.name}:{head}"

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The labelled pictures that a spec names."""
        return load_data(spec, side, device, reporter, **options)

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        """The chosen head, or a linear classifier."""
        return replace(self.chosen, num_classes=num_classes) if self.chosen else ClassifierHead(num_classes)

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

        def look(logits: Tensor, labels: Targets) -> Any:
            return self.judge(logits, labels, logits.shape[1])

        return self.examination(list(seen(network, batches, look, precision=precision)), shared=shared)

    def answers(self, outputs: Any, size: tuple[int, int]) -> Answers:
        """The logits as they are."""
        return outputs

    def fit(self, answers: Answers, shape: Sequence[int], classes: int) -> bool:
        """Whether it is a logit a class (float32) for each picture."""
        return isinstance(answers, Tensor) and answers.shape == (shape[0], classes) and answers.dtype == torch.float32

    def judge(
        self, answers: Answers, targets: Targets, classes: int, outputs: Any = None
    ) -> tuple[list[float], Tensor, Tensor, int]:
        """Sums (first right, among five right, loss), and of each picture the class it is taken for, and its own."""
        assert isinstance(targets, Tensor)
        first, best = answers.argmax(1), answers.topk(min(TOP, answers.shape[1])).indices
        sums = [(first == targets).sum(), (best == targets[:, None]).sum()]
        sums.append(nn.functional.cross_entropy(answers, targets, reduction="sum"))
        return [float(one) for one in sums], first.cpu(), targets.cpu(), classes

    def examination(self, judged: Sequence[Any], *, shared: bool = False) -> Examination:
        """See `measure`; by class recall, precision and the confusion matrix."""
        predicted, labelled = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, dtype=torch.int64)]
        correct = within = loss = 0.0
        classes = judged[0][3] if judged else 0
        for counts, best, labels, _ in judged:
            correct, within, loss = correct + counts[0], within + counts[1], loss + counts[2]
            predicted.append(best)
            labelled.append(labels)
        taken, truth = torch.cat(predicted), torch.cat(labelled)
        sums = [correct, within, loss, float(len(taken))]
        correct, within, loss, count = distributed.total(sums) if shared else sums
        measured = Measured(ACCURACY, correct / count, {f"top{TOP}": within / count, "loss": loss / count})
        top = (within / count, ACCURACY.written(within / count)) if classes > TOP else (None, "")
        entries = (
            Entry(ACCURACY.name, "top-1", measured.value, ACCURACY.written(measured.value)),
            Entry(f"top{TOP}", f"top-{TOP}", *top),
            Entry("loss", "loss", loss / count, f"{loss / count:.4f}"),
        )
        kept = {"predicted": taken, "labels": truth}
        return Examination(measured, len(taken), kept, entries, lambda: of_pictures(confusion(truth, taken, classes)))

    def difference(self, outputs: Any, answers: Answers, size: tuple[int, int]) -> float:
        """The largest difference of a logit."""
        return float((answers - outputs).abs().max()) if answers.shape == outputs.shape else float("nan")

    def told(self, answers: Answers, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """The most probable classes with their probabilities."""
        best = answers.double().softmax(1).topk(min(top, len(classes)))
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [[(classes[index], share) for index, share in zip(*row, strict=True)] for row in rows]

    def described(self, data: Dataset) -> dict[str, Any]:
        """The classes' names, in the order of the logits."""
        return {"classes": list(data.classes)}


def confusion(truth: Tensor, taken: Tensor, classes: int) -> Tensor:
    """Pictures by class (rows) and the class they were taken for (columns), int64, from both, N (int64)."""
    return torch.bincount(truth * classes + taken, minlength=classes**2).view(classes, classes)


def of_pictures(matrix: Tensor) -> ByClass:
    """Pictures of each class, which share was recognised (recall), and which of those taken for it is (precision)."""
    hit = matrix.diagonal()
    found = {"recall": _shares(hit, matrix.sum(1)), "precision": _shares(hit, matrix.sum(0))}
    return ByClass("pictures", matrix.sum(1).tolist(), found, matrix)


def _shares(parts: Tensor, wholes: Tensor) -> list[float | None]:
    return [part / whole if whole else None for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)]


CLASSIFICATION = Classification()
