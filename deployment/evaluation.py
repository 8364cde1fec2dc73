"""What a trained network makes of a split: its task's numbers, those of each class, and the confusion matrix."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from deployment.answers import See, all_finite, mapped
from foundation.errors import InputError
from foundation.metric import Measured
from tasks.classification.room import CLASSIFICATION
from training.lanes import each_batch
from training.targets import Batch, Targets
from training.task import Answering, ByClass, Examination


@dataclass(frozen=True)
class Evaluation:
    """A network on pictures with targets.

    Attributes:
        classes: names, in the order of the network's.
    """

    classes: tuple[str, ...]
    examination: Examination

    @property
    def measured(self) -> Measured:
        """The task's metric, and what was measured with it."""
        return self.examination.measured

    @property
    def pictures(self) -> int:
        """How many there were."""
        return self.examination.pictures

    @cached_property
    def by_class(self) -> ByClass | None:
        """What is known of each class."""
        return self.examination.by_class() if self.examination.by_class else None

    def mistaken(self, index: int) -> tuple[str, int] | None:
        """The other class that this one is taken for most often, and how often; None if it never is."""
        most = self.by_class.mistaken(index) if self.by_class else None
        return (self.classes[most[0]], most[1]) if most else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON. `confusion` has, by true class, how many were taken for each class that any was."""
        found: dict[str, Any] = {"pictures": self.pictures}
        found |= {entry.name: entry.value for entry in self.examination.entries}
        known = self.by_class
        if known is None:
            return found
        found["classes"] = [
            {
                "number": number,
                "name": name,
                known.unit: known.counts[number],
                **{share: values[number] for share, values in known.shares.items()},
            }
            for number, name in enumerate(self.classes)
        ]
        if known.confusion is not None:
            found["confusion"] = {
                name: {self.classes[other]: int(row[other]) for other in row.nonzero()[:, 0].tolist()}
                for name, row in zip(self.classes, known.confusion, strict=True)
            }
        return found


def evaluated(
    see: See,
    batches: Iterable[Batch],
    classes: tuple[str, ...],
    task: Answering = CLASSIFICATION,
    where: str = "evaluation",
) -> Evaluation:
    """The network on all batches of images (N×3×H×W, normalised) and targets.

    Args:
        where: how a message calls the network's file.

    Raises InputError for outputs, or answers, that are not finite.
    """

    def judged(images: Tensor, targets: Targets) -> Any:
        answers, outputs = see(images)
        if not all_finite(answers if outputs is None else outputs):
            raise InputError(f"{where}: the network's logits are not finite; was it trained to the end?")
        return task.judge(mapped(answers, partial(_exact, device=images.device)), targets, len(classes), outputs)

    return Evaluation(classes, task.examination(list(each_batch(judged, batches))))


def _exact(answer: Tensor, device: torch.device) -> Tensor:
    """Beside its targets, and in double precision: sums over a split are to be exact to their last digits."""
    return answer.to(device, torch.float64 if answer.is_floating_point() else answer.dtype)
