"""The task `detection`: boxes with classes, SSD's loss, average precision."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.metric import SPELLINGS, Measured, Metric, spelled
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import Head
from tasks.detection.average_precision import Things, average_precision, check_installed, plain
from tasks.detection.choice_of_boxes import chosen_boxes
from tasks.detection.data import load_boxes
from tasks.detection.drawing import framed
from tasks.detection.ssdlite import SSDLiteHead
from tasks.registry import TASKS, name_and_channels
from training.data.dataset import Dataset, Wanted
from training.evaluation import seen
from training.targets import Batch, Target, Targets
from training.task import Answers, ByClass, Drawn, Entry, Examination

SPELLINGS.update({f"ap{of}": f"AP{of.replace('_', ' ')}" for of in ("", "50", "75", "_small", "_medium", "_large")})
AP = Metric("ap", "%", scale=100, decimals=2, step="points", beside=("ap50", "loss"))

COUNTED = 100
"""Boxes of a picture that count, the best: as many as COCO's server takes."""


class Judged(NamedTuple):
    """What counts of a batch: of each picture what was found and what there is, the summed loss, how many classes."""

    found: Sequence[Things]
    true: Sequence[Things]
    loss: float | None
    classes: int


@TASKS.register("detection")
class Detection:
    """Boxes and their classes. Targets are a dictionary a picture: `boxes` K×4 in pixels, `labels` K (int64).

    Outputs are those of `tasks.detection.ssdlite.SSDLite`; the background is their class 0. Answers are `boxes`,
    `labels` and `scores` of at most 300 boxes a picture, see `tasks.detection.choice_of_boxes`.
    """

    metric = AP
    class_labels = False
    answer = ("boxes", "labels", "scores")
    heads = ("ssdlite",)

    def __init__(self, head: str = ""):
        """Takes a head as `NAME` or `NAME/CHANNELS`; the first of `heads` where none is said."""
        _, self.width = name_and_channels(head)
        if self.width is not None:
            SSDLiteHead(1, 1, self.width)  # refuses it here, not when data are there
        self.name = f"detection:{head}" if head else "detection"

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The pictures and boxes that a spec names."""
        check_installed()
        return load_boxes(Wanted.of(spec, side, device, reporter, **options))

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        """SSDLite on the last two maps, and extra ones."""
        return SSDLiteHead.after(num_classes, self.width, architecture.strides, architecture.resolution)

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """SSD's loss (arXiv:1512.02325, section 2.2): smooth L1 of boxes and cross-entropy of classes, by torchvision.

        Summed over default boxes with something in them, and three times as many of the worst without, and divided by
        the number of the former.
        """
        from torchvision.ops import box_iou  # takes a second to import

        wanted, matched = [], []
        for target, defaults in zip(targets, outputs["defaults"], strict=True):
            counted = _counted(target)
            boxes, labels = counted["boxes"], counted["labels"]
            # As shares of the picture: neither overlaps nor what is learnt depend on its size.
            boxes = boxes.to(defaults.device) / _scale(_size(target), defaults)
            wanted.append({"boxes": boxes, "labels": labels.to(defaults.device) + 1})
            nothing = torch.full((len(defaults),), -1, device=defaults.device)
            matched.append(_ssd().proposal_matcher(box_iou(boxes, defaults)) if len(boxes) else nothing)
        named = {"bbox_regression": outputs["boxes"], "cls_logits": outputs["classes"]}
        losses = _ssd().compute_loss(wanted, named, list(outputs["defaults"]), matched)
        total: Tensor = losses["bbox_regression"] + losses["classification"]
        return total

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """Average precision by COCO's definition, and the mean loss of the batches.

        Predictions are the answers for each picture.
        """

        def look(outputs: Any, targets: Targets) -> Judged:
            assert not isinstance(targets, Tensor)
            answers = self.answers(outputs, _size(targets[0]))
            return self.judge(answers, targets, outputs["classes"].shape[2] - 1, outputs)

        return self.examination(list(seen(network, batches, look, precision=precision)), shared=shared)

    def answers(self, outputs: Any, size: tuple[int, int]) -> dict[str, Tensor]:
        """The boxes of each picture, the best first."""
        return chosen_boxes(outputs["classes"], outputs["boxes"], outputs["defaults"], size)

    def fit(self, answers: Answers, shape: Sequence[int], classes: int) -> bool:
        """Whether it is boxes with labels and scores."""
        if not isinstance(answers, Mapping) or set(answers) != set(self.answer):
            return False
        boxes, labels, scores = (answers[name] for name in self.answer)
        if labels.dtype != torch.int64 or labels.ndim != 2 or {boxes.dtype, scores.dtype} != {torch.float32}:
            return False
        rows = (shape[0], labels.shape[1])
        return labels.shape == scores.shape == rows and boxes.shape == (*rows, 4) and bool((labels < classes).all())

    def judge(self, answers: Answers, targets: Targets, classes: int, outputs: Any = None) -> Judged:
        """What was found and what there is, and the summed loss."""
        loss = None if outputs is None else float(self.loss(outputs, targets)) * len(targets)
        return Judged(things(answers), list(targets), loss, classes)

    def examination(self, judged: Sequence[Judged], *, shared: bool = False) -> Examination:
        """See `measure`; by class the average precision."""
        own = [one for batch in judged for one in batch.found]
        here: dict[str, Any] = {
            "found": [{name: rows[:COUNTED] for name, rows in one.items()} for one in own],
            "true": [plain(one) for batch in judged for one in batch.true],
            "losses": [batch.loss for batch in judged if batch.loss is not None],
            "classes": max((batch.classes for batch in judged), default=0),
        }
        parts = distributed.from_all(here) if shared else [here]
        found, true, losses = ([one for part in parts for one in part[name]] for name in ("found", "true", "losses"))
        classes = max(part["classes"] for part in parts)
        values, each = average_precision(found, true, classes)
        mean = sum(losses) / len(true) if losses else None
        known = {name: _number(value) for name, value in values.items()}
        ap = known.pop(AP.name) or 0.0
        beside = {"ap50": known["ap50"] or 0.0, **({} if mean is None else {"loss": mean})}
        entries = [Entry(AP.name, AP.words, ap, AP.written(ap))]
        for name, value in known.items():
            entries.append(Entry(name, spelled(name), value, "" if value is None else AP.written(value)))
        entries.append(Entry("loss", "loss", mean, "" if mean is None else f"{mean:.4f}"))

        def by_class() -> ByClass:
            labels = torch.cat([_counted(one)["labels"] for one in true])
            counts = labels.bincount(minlength=classes).tolist()
            return ByClass("boxes", counts, {AP.name: tuple(map(_number, each))})

        return Examination(Measured(AP, ap, beside), len(own), kept(own), entries, by_class)

    def difference(self, outputs: Any, answers: Answers, size: tuple[int, int]) -> float:
        """The largest of a score, or of a side's place as a share of the picture, among boxes that are clearly there.

        A box is compared with the nearest one of its label; one that only just is among those answered with is not.
        """
        if not self.fit(answers, (len(outputs["classes"]), 3, *size), outputs["classes"].shape[2] - 1):
            return float("nan")
        own = things(self.answers(outputs, size))
        worst = 0.0
        for ours, theirs in zip(own, things(answers), strict=True):
            for one, other in ((ours, theirs), (theirs, ours)):
                worst = max(worst, _farthest(one, other, max(size)))
        return worst

    def told(self, answers: Answers, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """The boxes of the best scores: class, and left, top, right and bottom in pixels of what the network saw."""
        found = []
        for one in things(answers):
            rows = zip(one["labels"][:top].tolist(), one["boxes"][:top].tolist(), one["scores"].tolist(), strict=False)
            found.append([(f"{classes[label]}  {_place(box)}", score) for label, box, score in rows])
        return found

    def truth(self, targets: Targets) -> list[Things]:
        """The boxes, without those that are ignored."""
        return [_counted(target) for target in targets]

    def drawn(self, picture: Tensor, answers: Answers, size: tuple[int, int], classes: Sequence[str]) -> Drawn:
        """A frame in its class's colour around each thing."""
        return framed(picture, answers, size, classes)

    def described(self, data: Dataset) -> dict[str, Any]:
        """The classes' names, in the order of the labels."""
        return {"classes": list(data.classes)}


def things(answers: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Of each picture what was found, on the CPU, without the rows that stand for nothing."""
    rows = zip(*(answers[name].cpu() for name in Detection.answer), strict=True)
    return [
        {"boxes": boxes[labels >= 0], "labels": labels[labels >= 0], "scores": scores[labels >= 0]}
        for boxes, labels, scores in rows
    ]


def kept(found: Sequence[Things]) -> dict[str, Tensor]:
    """What was found in N pictures, by name: `boxes` N×100×4, `labels` N×100 (-1: none), `scores` N×100."""
    boxes = torch.zeros(len(found), COUNTED, 4)
    labels = torch.full((len(found), COUNTED), -1)
    scores = torch.zeros(len(found), COUNTED)
    for number, one in enumerate(found):
        count = min(COUNTED, len(one["labels"]))
        boxes[number, :count], labels[number, :count] = one["boxes"][:count], one["labels"][:count]
        scores[number, :count] = one["scores"][:count]
    return {"boxes": boxes, "labels": labels, "scores": scores}


def _counted(target: Target) -> Things:
    """The boxes that are to be found, and their labels."""
    counted = ~target["ignored"] if "ignored" in target else slice(None)
    return {"boxes": target["boxes"].as_subclass(Tensor)[counted], "labels": target["labels"][counted]}


def _farthest(ones: Things, others: Things, side: int) -> float:
    """How far any of the first, but those whose score is about the least of the others', is from the nearest other."""
    least = float(others["scores"].min()) if len(others["scores"]) else 0.0
    worst = 0.0
    for box, label, score in zip(ones["boxes"], ones["labels"], ones["scores"], strict=True):
        if float(score) <= 1.01 * least:
            continue
        same = others["labels"] == label
        apart = (others["boxes"][same] - box).abs().amax(1) / side
        apart = torch.maximum(apart, (others["scores"][same] - score).abs())
        worst = max(worst, float(apart.min()) if len(apart) else 1.0)
    return worst


def _place(box: Sequence[float]) -> str:
    left, top, right, bottom = (round(value) for value in box)
    return f"{left},{top} to {right},{bottom}"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _size(target: Target) -> tuple[int, int]:
    """Height and width of the picture of which these are the boxes."""
    boxes: Any = target["boxes"]
    height, width = boxes.canvas_size
    return height, width


def _scale(size: tuple[int, int], like: Tensor) -> Tensor:
    """What turns shares of a picture into its pixels."""
    height, width = size
    return torch.tensor([width, height, width, height], device=like.device, dtype=like.dtype)


@cache
def _ssd() -> Any:
    """torchvision's detector, of which its matching and its loss alone are asked."""
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD

    return SSD(nn.Identity(), DefaultBoxGenerator([[]]), (1, 1), 0, head=nn.Identity())
