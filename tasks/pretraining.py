"""What a backbone is trained for without labels, and judged by: views of a picture, told from those of others.

It has no room, as no search and no other command is for it: `commands.pretrain` alone is.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.metric import METRICS, Measured, Metric
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import FeaturesHead, Head
from training import specs
from training.data.dataset import Dataset
from training.data.unlabelled import load_unlabelled
from training.evaluation import seen
from training.methods.contrast import nt_xent
from training.resize import resized
from training.targets import Batch, Targets
from training.task import Entry, Examination

MATCHED = METRICS.register("matched")(Metric("matched", "%", 100.0, 2, "points", beside=("loss",)))
"""Share of pictures whose two views are nearest to each other, and the mean NT-Xent loss of their features in nats."""

VIEW = 0.75
"""Side of a view in evaluation, as a share of the picture's."""
TEMPERATURE = 0.5


class Pretraining:
    """Pictures without targets; outputs are features N×C."""

    name = specs.PRETRAINING
    metric = MATCHED
    class_labels = False

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The pictures that a spec names, whatever their labels."""
        return load_unlabelled(spec, side, device, reporter, **options)

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        """None but the mean over the last map."""
        return FeaturesHead()

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """The NT-Xent loss of two views a picture, one of all after the other."""
        return nt_xent(nn.functional.normalize(outputs), TEMPERATURE)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """Whether the upper left of each picture is nearest to its own lower right, mirrored, of all in its batch."""

        def look(features: Tensor, targets: Targets) -> list[float]:
            first, second = nn.functional.normalize(features).chunk(2)
            nearest = (first @ second.T).argmax(1)
            count = len(first)
            right = (nearest == torch.arange(count, device=nearest.device)).sum()
            return [float(right), count * self.loss(features, targets).item(), float(count)]

        sums = [0.0, 0.0, 0.0]
        for counted in seen(network, _views(batches), look, precision=precision):
            sums = [before + more for before, more in zip(sums, counted, strict=True)]
        matched, loss, count = distributed.total(sums) if shared else sums
        measured = Measured(MATCHED, matched / count, {"loss": loss / count})
        entries = (
            Entry(MATCHED.name, "views matched", measured.value, MATCHED.written(measured.value)),
            Entry("loss", "loss", loss / count, f"{loss / count:.4f}"),
        )
        return Examination(measured, int(sums[2]), {}, entries)

    def described(self, data: Dataset) -> dict[str, Any]:
        """Nothing: features have no names."""
        return {}


def _views(batches: Iterable[Batch]) -> Iterator[Batch]:
    for images, targets in batches:
        side = images.shape[-1]
        part = max(1, round(VIEW * side))
        first, second = images[..., :part, :part], images[..., -part:, -part:].flip(-1)
        yield resized(torch.cat((first, second)), side), targets


PRETRAINING = Pretraining()
