"""A task of a plugin's: where is the bright square? Targets are boxes, the measure a distance, the head two numbers.

The tests import it, and give the file to the commands by `--plugin`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.tv_tensors import BoundingBoxes

from foundation import distributed
from foundation.errors import InputError
from foundation.metric import Measured, Metric
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import ClassifierHead, Head
from tasks.registry import TASKS
from training.data.datasets import Dataset
from training.data.held import HeldSplit
from training.data.pictures import Pictures
from training.evaluation import seen
from training.targets import Batch, Targets
from training.task import Examination

SIZES = {"train": 96, "validation": 32, "test": 32}
SQUARE = 8  # pixels a side


def squares(count: int, side: int, seed: int) -> Pictures:
    """Dark noise, and one bright square well within each picture."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (count, 1, side, side), generator=generator, dtype=torch.uint8)
    margin = side // 8
    corners = torch.randint(margin, side - SQUARE - margin + 1, (count, 2), generator=generator)
    targets = []
    for image, (left, top) in zip(images, corners.tolist(), strict=True):
        image[:, top : top + SQUARE, left : left + SQUARE] = 255
        box = torch.tensor([[left, top, left + SQUARE, top + SQUARE]], dtype=torch.float32)
        targets.append({"boxes": BoundingBoxes(box, format="XYXY", canvas_size=(side, side))})
    return Pictures(images, targets)


def centres(targets: Targets) -> Tensor:
    """Where each picture's square is, as shares of its sides: N×2."""
    assert isinstance(targets, Sequence)
    found = []
    for target in targets:
        boxes = target["boxes"]
        assert isinstance(boxes, BoundingBoxes)
        height, width = boxes.canvas_size
        left, top, right, bottom = boxes.as_subclass(Tensor)[0]
        found.append(torch.stack(((left + right) / (2 * width), (top + bottom) / (2 * height))))
    return torch.stack(found)


@TASKS.register("centre")
class Centre:
    """Outputs N×2: where the centre of the square is, as shares of the picture's sides."""

    name = "centre"
    metric = Metric("error", "px", decimals=2, higher_is_better=False, beside=("loss",))
    class_labels = False

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        if spec != "squares":
            raise InputError(f"`data` {spec}: unknown to task centre; known: squares")

        def load(split: str) -> HeldSplit:
            pictures = squares(SIZES[split], side, list(SIZES).index(split))
            return HeldSplit(pictures, (0.15,), (0.2,), device)

        return Dataset("squares", "squares", (), (0.15,), (0.2,), load, device, counts=SIZES)

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        return ClassifierHead(2)

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        return nn.functional.smooth_l1_loss(outputs, centres(targets).to(outputs.device), beta=0.1)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """The mean distance in pixels of a picture of 32, and the worst one."""

        def look(outputs: Tensor, targets: Targets) -> tuple[Tensor, float]:
            loss = self.loss(outputs, targets) * len(outputs)
            return 32 * (outputs.cpu() - centres(targets).cpu()).norm(dim=1), float(loss)

        looked = list(seen(network, batches, look, precision=precision))
        off = torch.cat([distances for distances, _ in looked])
        sums = [float(off.sum()), sum(loss for _, loss in looked), float(len(off))]
        error, loss, count = distributed.total(sums) if shared else sums
        measured = Measured(self.metric, error / count, {"loss": loss / count, "worst": float(off.max())})
        return Examination(measured, len(off), {"off": off})

    def described(self, data: Dataset) -> dict[str, Any]:
        return {"unit": "share of a side"}
