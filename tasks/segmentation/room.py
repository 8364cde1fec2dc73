"""The task `segmentation`: a class for every pixel, cross-entropy, mean intersection over union."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.metric import SPELLINGS, Measured, Metric
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import Head
from tasks.registry import TASKS, name_and_channels
from tasks.segmentation.data import load_masks
from tasks.segmentation.deeplabv3 import DeepLabV3Head
from tasks.segmentation.drawing import coloured
from tasks.segmentation.heads import ConvHead, DenseHead
from tasks.segmentation.ordnet import OrdnetHead
from training.data.dataset import Dataset, Wanted
from training.data.whole_pictures import IGNORED
from training.evaluation import seen
from training.targets import Batch, Targets
from training.task import Answers, ByClass, Drawn, Entry, Examination

HEADS_BY_NAME: dict[str, type[DenseHead]] = {head.name: head for head in (ConvHead, DeepLabV3Head, OrdnetHead)}

SPELLINGS.update(miou="mIoU")
MIOU = Metric("miou", "%", scale=100, decimals=2, step="points", beside=("loss",))


@TASKS.register("segmentation")
class Segmentation:
    """One class a pixel. Targets are masks N×H×W (uint8), outputs logits N×classes×h×w of a map as coarse as may be.

    Answers are the class of each pixel, N×H×W (int64): of logits that are enlarged bilinearly. Pixels of value 255 in a
    target count nowhere.
    """

    metric = MIOU
    class_labels = False
    answer = ("masks",)
    heads = HEADS_BY_NAME

    def __init__(self, head: str = ""):
        """Takes a head as `NAME` or `NAME/CHANNELS`; the first of `heads` where none is said."""
        name, width = name_and_channels(head)
        self.chosen = self.heads[name or next(iter(self.heads))](1)  # with as many classes as the data will have
        if width is not None:
            self.chosen = replace(self.chosen, width=width)
        self.name = f"segmentation:{head}" if head else "segmentation"

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The pictures and masks that a spec names."""
        return load_masks(Wanted.of(spec, side, device, reporter, **options))

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        """The chosen head, on the last map."""
        stride = architecture.strides[-1]
        head = replace(self.chosen, num_classes=num_classes)
        return head.fitted(stride, -(-architecture.resolution // stride))

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """Mean cross-entropy of the pixels, in nats."""
        masks = _masks(targets)
        return _summed_loss(enlarged(outputs, _size(masks)), masks) / (masks != IGNORED).sum().clamp(min=1)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """Mean intersection over union by one confusion matrix over all pictures, and the loss.

        Predictions are `confusion`, of each picture the pixels by class and predicted class: N×classes×classes (int32).
        """

        def look(logits: Tensor, targets: Targets) -> Any:
            whole = enlarged(logits, _size(targets))
            return self.judge(whole.argmax(1), targets, logits.shape[1], whole)

        return self.examination(list(seen(network, batches, look, precision=precision)), shared=shared)

    def answers(self, outputs: Any, size: tuple[int, int]) -> Answers:
        """The class of each pixel."""
        return enlarged(outputs, size).argmax(1)

    def fit(self, answers: Answers, shape: Sequence[int], classes: int) -> bool:
        """Whether it is a class (int64) for each pixel."""
        if not isinstance(answers, Tensor) or answers.shape != (shape[0], *shape[2:]) or answers.dtype != torch.int64:
            return False
        return bool(((answers >= 0) & (answers < classes)).all())

    def judge(
        self, answers: Answers, targets: Targets, classes: int, outputs: Any = None
    ) -> tuple[Tensor, float | None]:
        """The confusion matrix of each picture, and the summed loss."""
        masks = _masks(targets)
        counts = confusion(answers, masks, classes).cpu()
        if outputs is None:
            return counts, None
        fitting = outputs if outputs.shape[2:] == masks.shape[1:] else enlarged(outputs, _size(masks))
        return counts, float(_summed_loss(fitting, masks))

    def examination(self, judged: Sequence[Any], *, shared: bool = False) -> Examination:
        """See `measure`; by class the intersection over union, and the confusion matrix."""
        # A process may have had no picture at all, and then knows not even how many classes there are.
        by_picture = torch.cat([counts for counts, _ in judged]) if judged else torch.empty(0, 0, 0, dtype=torch.int32)
        losses = [loss for _, loss in judged if loss is not None]
        here = (by_picture.sum(0, dtype=torch.float64), sum(losses) if losses else None)
        parts = distributed.from_all(here) if shared else [here]
        matrix = torch.stack([counts for counts, _ in parts if counts.numel()]).sum(0)
        losses = [loss for _, loss in parts if loss is not None]
        each = intersections(matrix)
        value = float(each.nanmean()) if each.isfinite().any() else 0.0
        mean = sum(losses) / max(1.0, float(matrix.sum())) if losses else None
        measured = Measured(MIOU, value, {} if mean is None else {"loss": mean})
        entries = (
            Entry(MIOU.name, MIOU.words, value, MIOU.written(value)),
            Entry("loss", "loss", mean, "" if mean is None else f"{mean:.4f}"),
        )
        return Examination(measured, len(by_picture), {"confusion": by_picture}, entries, lambda: of_pixels(matrix))

    def difference(self, outputs: Any, answers: Answers, size: tuple[int, int]) -> float:
        """By how much, at most, the logit of a pixel's class is below its best one."""
        if answers.shape != (len(outputs), *size):
            return float("nan")
        whole = enlarged(outputs, size)
        return float((whole.amax(1) - whole.gather(1, answers[:, None])[:, 0]).max())

    def told(self, answers: Answers, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """The classes that most pixels have, with their shares of the picture; without those that none has."""
        found = []
        for mask in answers:
            counts = mask.flatten().bincount(minlength=len(classes))
            most = counts.argsort(descending=True, stable=True)[:top].tolist()
            found.append([(classes[index], int(counts[index]) / mask.numel()) for index in most if counts[index]])
        return found

    def truth(self, targets: Targets) -> Answers:
        """The masks; pixels that count nowhere still have their 255."""
        return _masks(targets).long()

    def drawn(self, picture: Tensor, answers: Answers, size: tuple[int, int], classes: Sequence[str]) -> Drawn:
        """Each class as a colour over its pixels."""
        return coloured(picture, answers, classes)

    def described(self, data: Dataset) -> dict[str, Any]:
        """The classes' names, in the order of the logits."""
        return {"classes": list(data.classes)}


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits N×classes×h×w at that height and width."""
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


def of_pixels(matrix: Tensor) -> ByClass:
    """Pixels of each class, and its intersection over union."""
    counts = matrix.to(torch.int64)
    each = [None if math.isnan(value) else value for value in intersections(matrix).tolist()]
    return ByClass("pixels", counts.sum(1).tolist(), {"iou": each}, counts)


def _summed_loss(logits: Tensor, masks: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, masks.long(), ignore_index=IGNORED, reduction="sum")


def _size(masks: Targets) -> tuple[int, int]:
    assert isinstance(masks, Tensor)
    return masks.shape[-2], masks.shape[-1]


def _masks(targets: Targets) -> Tensor:
    assert isinstance(targets, Tensor)
    return targets.as_subclass(Tensor)


SEGMENTATION = Segmentation()
