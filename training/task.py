"""What a network is trained for and judged by.

The protocol is here, below those who have tasks, because trainings ask a task for its loss and its measure and know no
task by name; the tasks themselves and their registry are above, in `tasks`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from foundation.metric import Measured, Metric
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import Head
from training.data.dataset import Dataset
from training.targets import Batch, Targets


@dataclass(frozen=True)
class Examination:
    """What a network makes of pictures.

    Attributes:
        measured: the task's metric, and what else a retraining tells.
        pictures: how many of them this process had.
        predictions: what a retraining keeps beside, by name: tensors of a row for each of those pictures, on the CPU.
    """

    measured: Measured
    pictures: int
    predictions: Mapping[str, Tensor] = field(default_factory=dict)


class Task(Protocol):
    """What brings data, the network's head, a loss and a measure.

    Attributes:
        name: as `--task` has it.
        metric: what networks are judged by.
        class_labels: whether targets are labels N (int64) and outputs logits N×classes. For such alone there are mixed
            pictures, smoothed labels, teachers, and some zero-cost scores.
    """

    @property
    def name(self) -> str: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def class_labels(self) -> bool: ...

    def data(
        self,
        spec: str,
        side: int,
        device: torch.device,
        reporter: Reporter | None = None,
        *,
        streamed: bool | None = None,
        skip_corrupt: bool = False,
        loaders: int | None = None,
        download: bool = True,
    ) -> Dataset:
        """The pictures that a spec names, at `side` pixels, with the task's targets (`training.targets`).

        The options are those of `training.data.datasets.load_data`. Raises InputError for an unknown spec, or one
        without such targets.
        """
        ...

    def head(self, data: Dataset, architecture: Architecture) -> Head:
        """What follows a backbone: costs count it, shared weights hold it, `search_space.build` takes it.

        Args:
            architecture: one of those that it follows, of whose strides and resolution it may depend; of a space one of
                the largest resolution. All others have the same strides.

        Raises InputError for one whose maps it cannot use.
        """
        ...

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """The mean loss of the batch. What a method adds is the method's: smoothing, mixing, a teacher.

        Args:
            outputs: the network's in training mode, in float32. For a part of the batch they have its part of the
                targets.
        """
        ...

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """What the network makes of all batches, in evaluation mode (`training.evaluation.seen`).

        What is measured has at least the names that the metric has `beside`; a retraining tells of all, in their order.

        Args:
            shared: over the batches of all processes, each of which calls this with its share.
            precision: as in a recipe.
        """
        ...

    def described(self, data: Dataset) -> dict[str, Any]:
        """Plain values that travel with a network's weights: what its outputs mean."""
        ...


def check_class_labels(task: Task, setting: str, remedy: str) -> None:
    """Raises InputError for a setting that is for class labels alone, if the task has others."""
    if not task.class_labels:
        raise InputError(f"{setting}: for class labels alone, which task {task.name} does not have; {remedy}")
