"""What a classifier takes each class for: accuracy, loss, and the confusion matrix of a split."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from training.lanes import each_batch
from training.targets import Batch, Targets

TOP = 5


@dataclass(frozen=True)
class Evaluation:
    """A classifier on labelled pictures.

    Attributes:
        classes: names, in the order of the logits.
        matrix: pictures of each class (rows) by the class they were taken for (columns), int64.
        top5: share of pictures whose class is among the five most probable; None with 5 classes or fewer.
        loss: mean cross-entropy in nats.
    """

    classes: tuple[str, ...]
    matrix: Tensor
    top5: float | None
    loss: float

    @property
    def pictures(self) -> int:
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> float:
        """Share of pictures that were taken for what they are."""
        return int(self.matrix.diagonal().sum()) / self.pictures

    @property
    def counts(self) -> list[int]:
        """Pictures of each class."""
        return [int(count) for count in self.matrix.sum(1)]

    @property
    def recall(self) -> list[float | None]:
        """Of each class, the share of its pictures that were recognised; None without pictures."""
        return _shares(self.matrix.diagonal(), self.matrix.sum(1))

    @property
    def precision(self) -> list[float | None]:
        """Of each class, the share of the pictures taken for it that are of it; None where none was."""
        return _shares(self.matrix.diagonal(), self.matrix.sum(0))

    def mistaken(self, index: int) -> tuple[str, int] | None:
        """The other class that pictures of this one are taken for most often, and how often; None if they never are."""
        row = self.matrix[index].clone()
        row[index] = 0
        most = int(row.argmax())
        return (self.classes[most], int(row[most])) if row[most] else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON. `confusion` has, by true class, how many pictures were taken for each class that any was."""
        return {
            "pictures": self.pictures,
            "accuracy": self.accuracy,
            "top5": self.top5,
            "loss": self.loss,
            "classes": [
                {"number": number, "name": name, "pictures": count, "recall": recall, "precision": precision}
                for number, (name, count, recall, precision) in enumerate(
                    zip(self.classes, self.counts, self.recall, self.precision, strict=True)
                )
            ],
            "confusion": {
                name: {self.classes[other]: int(row[other]) for other in row.nonzero()[:, 0].tolist()}
                for name, row in zip(self.classes, self.matrix, strict=True)
            },
        }


def evaluated(classify: Callable[[Tensor], Tensor], batches: Iterable[Batch], classes: tuple[str, ...]) -> Evaluation:
    """The classifier on all batches of images (N×3×H×W, normalised) and labels.

    Raises InputError for logits that are not finite.
    """
    number = len(classes)
    matrix = torch.zeros(number, number, dtype=torch.int64)
    within = count = 0
    loss = 0.0

    def classified(images: Tensor, labels: Targets) -> tuple[Tensor, Tensor]:
        assert isinstance(labels, Tensor)
        return classify(images), labels.cpu()

    for logits, truth in each_batch(classified, batches):
        if not logits.isfinite().all():
            raise InputError("the network's logits are not finite; was it trained to the end?")
        cells = number * truth + logits.argmax(1)
        matrix += torch.bincount(cells, minlength=number**2).view(number, number)
        loss += float(nn.functional.cross_entropy(logits.double(), truth, reduction="sum"))
        within += int((logits.topk(min(TOP, number), 1).indices == truth[:, None]).sum())
        count += len(truth)
    return Evaluation(classes, matrix, within / count if number > TOP else None, loss / count)


def _shares(parts: Tensor, wholes: Tensor) -> list[float | None]:
    return [part / whole if whole else None for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)]
