"""The task `segmentation`: a class for every pixel, cross-entropy, mean intersection over union."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.metric import Measured, Metric
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import Head
from tasks.registry import TASKS
from tasks.segmentation.data import IGNORED, load_masks
from tasks.segmentation.deeplabv3 import DeepLabV3Head
from tasks.segmentation.heads import ConvHead, DenseHead
from tasks.segmentation.ordnet import OrdnetHead
from training.data.datasets import Dataset
from training.evaluation import seen
from training.targets import Batch, Targets
from training.task import Examination

HEADS_BY_NAME: dict[str, type[DenseHead]] = {head.name: head for head in (ConvHead, DeepLabV3Head, OrdnetHead)}

MIOU = Metric("miou", "%", scale=100, decimals=2, step="points", beside=("loss",))


@TASKS.register("segmentation")
class Segmentation:
    """One class a pixel. Targets are masks N×H×W (uint8), outputs logits N×classes×h×w of a map as coarse as may be.

    Logits are enlarged to the mask, bilinearly. Pixels of value 255 count nowhere.
    """

    metric = MIOU
    class_labels = False
    heads = HEADS_BY_NAME

    def __init__(self, head: str = ""):
        """Takes a head as `NAME` or `NAME/CHANNELS`; the first of `heads` where none is said."""
        name, _, width = head.partition("/")
        self.kind = self.heads[name or next(iter(self.heads))]
        self.width = None
        if width:
            self.width = int(width) if width.isdecimal() else 0
            self.kind(1, self.width)  # refuses it here, not when data are there
        self.name = f"segmentation:{head}" if head else "segmentation"

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The pictures and masks that a spec names."""
        return load_masks(spec, side, device)

    def head(self, data: Dataset, architecture: Architecture) -> Head:
        """The chosen head, on the last map."""
        stride = architecture.strides[-1]
        return self.kind.after(data.num_classes, self.width, stride, -(-architecture.resolution // stride))

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """Mean cross-entropy of the pixels, in nats."""
        masks = _masks(targets)
        summed = nn.functional.cross_entropy(
            enlarged(outputs, masks), masks.long(), ignore_index=IGNORED, reduction="sum"
        )
        return summed / (masks != IGNORED).sum().clamp(min=1)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """Mean intersection over union by one confusion matrix over all pictures, that of each class, and the loss.

        Predictions are `confusion`, of each picture the pixels by class and predicted class: N×classes×classes (int32).
        """

        def look(logits: Tensor, targets: Targets) -> tuple[Tensor, float]:
            masks = _masks(targets)
            whole = enlarged(logits, masks)
            loss = nn.functional.cross_entropy(whole, masks.long(), ignore_index=IGNORED, reduction="sum")
            return confusion(whole.argmax(1), masks, logits.shape[1]).cpu(), float(loss)

        looked = list(seen(network, batches, look, precision=precision))
        by_picture = torch.cat([own for own, _ in looked])
        counts = by_picture.sum(0, dtype=torch.float64)
        sums = [*counts.flatten().tolist(), sum(loss for _, loss in looked)]
        *flat, loss = distributed.total(sums) if shared else sums
        matrix = torch.tensor(flat, dtype=torch.float64).reshape(counts.shape)
        each = intersections(matrix)
        beside = {"loss": loss / max(1.0, float(matrix.sum()))}
        beside |= {f"iou_{number}": value for number, value in enumerate(each.nan_to_num().tolist())}
        value = float(each.nanmean()) if each.isfinite().any() else 0.0
        return Examination(Measured(MIOU, value, beside), len(by_picture), {"confusion": by_picture})

    def described(self, data: Dataset) -> dict[str, Any]:
        """The classes' names, in the order of the logits."""
        return {"classes": list(data.classes)}


def enlarged(logits: Tensor, masks: Tensor) -> Tensor:
    """Logits N×classes×h×w at the masks' size."""
    size = (masks.shape[-2], masks.shape[-1])
    return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def confusion(predicted: Tensor, masks: Tensor, classes: int) -> Tensor:
    """Of each picture its pixels by class and predicted class, N×classes×classes (int32); without those ignored.

    Args:
        predicted: classes N×H×W (int64).
        masks: N×H×W (uint8).
    """
    kept = masks != IGNORED
    number = torch.arange(len(masks), device=masks.device)[:, None, None] * classes**2
    pairs = (number + masks.long() * classes + predicted)[kept]
    counted = torch.bincount(pairs, minlength=len(masks) * classes**2)
    return counted.reshape(-1, classes, classes).to(torch.int32)


def intersections(matrix: Tensor) -> Tensor:
    """Intersection over union of each class; NaN for one that is neither there nor predicted."""
    hit = matrix.diagonal()
    return hit / (matrix.sum(0) + matrix.sum(1) - hit)


def _masks(targets: Targets) -> Tensor:
    assert isinstance(targets, Tensor)
    return targets.as_subclass(Tensor)


SEGMENTATION = Segmentation()
