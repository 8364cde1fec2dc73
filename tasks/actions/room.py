"""The task `actions`: what each person in a frame does, from a clip of eight frames and the scene, by frame-mAP."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundation import distributed
from foundation.errors import InputError
from foundation.metric import SPELLINGS, Measured, Metric, spelled
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import Head
from tasks.actions import data as clips
from tasks.actions.data import NOBODY, load_clips
from tasks.actions.drawing import FILMED_AS, actions_drawn
from tasks.actions.frame_ap import Boxes, average_precisions, crowd_weights, mean_of
from tasks.actions.head import TemporalHead
from tasks.actions.tiles import ACROSS
from tasks.registry import TASKS, name_and_channels
from training.data.dataset import Dataset, Wanted
from training.data.people.clip import People
from training.evaluation import seen
from training.targets import Batch, Target, Targets
from training.task import Answers, ByClass, Entry, Examination

SPELLINGS.update(f_map="f-mAP", wf_map="wf-mAP", ap="AP")
F_MAP = Metric("f_map", "%", scale=100, decimals=2, step="points", beside=("wf_map", "loss"))
WF_MAP = Metric("wf_map", "%", scale=100, decimals=2, step="points", beside=("f_map", "loss"))

_FIELDS = ("label", "true", "box", "found", "frame", "crowd")


class Judged(NamedTuple):
    """What counts of a batch: logits N×K, of the targets what is in `_FIELDS` by name, and the summed loss."""

    logits: Tensor
    targets: Mapping[str, Tensor]
    loss: float | None


@TASKS.register("actions")
class Actions:
    """One action of each person. For pictures and targets see `tasks.actions.data.load_clips`.

    Outputs and answers are logits N×K of each action.
    """

    metric: Metric = F_MAP
    class_labels = False
    answer = ("logits",)
    heads: Mapping[str, type[TemporalHead]] = MappingProxyType({"temporal": TemporalHead})
    kind: ClassVar[str] = "actions"
    filmed_as: ClassVar[str] = FILMED_AS

    def __init__(self, head: str = ""):
        """Takes a head as `NAME` or `NAME/CHANNELS`."""
        _, width = name_and_channels(head)
        self.chosen = TemporalHead(1)
        if width is not None:
            self.chosen = replace(self.chosen, width=width)
        self.name = f"{self.kind}:{head}" if head else self.kind

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The people that a spec names."""
        return load_clips(Wanted.of(spec, side, device, reporter, **options))

    def contrasts(self, spec: str) -> Mapping[str, str]:
        """See `training.task.Contrasting`: what the scene adds."""
        return clips.contrasts(spec)

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        """The tiles along time, beside the scene. Raises InputError for a map that has no place for each tile."""
        side = -(-architecture.resolution // architecture.strides[-1])
        if side < ACROSS:
            raise InputError(
                f"`task` {self.name}: the last map is {side}×{side}, and a clip is {ACROSS}×{ACROSS} tiles; give a "
                "smaller `output_stride`, or a `space` of larger pictures"
            )
        return replace(self.chosen, num_classes=num_classes)

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """Mean cross-entropy over everybody who was found, in nats.

        Raises InputError where augmentation moved the pictures: their tiles have to stay in their places.
        """
        assert not isinstance(targets, Tensor)
        for target in targets:
            corners: Any = target["corners"]
            if not torch.equal(corners.as_subclass(Tensor).cpu(), _corners(corners.canvas_size)):
                raise InputError(
                    f"`augmentation`: it moves pictures, and those of task {self.name} are of tiles that have their "
                    "places; give none (and 0 for `rand_augment`)"
                )
        labels = _learnt(targets).to(outputs.device)
        if not (labels != NOBODY).any():
            return outputs.sum() * 0
        return F.cross_entropy(outputs, labels, ignore_index=NOBODY)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """Frame-mAP, weighed by crowding and not, and the mean loss. Predictions are `logits`, N×K."""

        def look(outputs: Tensor, targets: Targets) -> Judged:
            return self.judge(outputs, targets, outputs.shape[1], outputs)

        return self.examination(list(seen(network, batches, look, precision=precision)), shared=shared)

    def answers(self, outputs: Any, size: tuple[int, int]) -> Answers:
        """The logits."""
        return outputs

    def fit(self, answers: Answers, shape: Sequence[int], classes: int) -> bool:
        """Whether it is a logit (float32) of each action."""
        return isinstance(answers, Tensor) and answers.shape == (shape[0], classes) and answers.dtype == torch.float32

    def judge(self, answers: Answers, targets: Targets, classes: int, outputs: Any = None) -> Judged:
        """The logits, and the targets in rows."""
        assert not isinstance(targets, Tensor)
        rows = {name: torch.stack([target[name].cpu() for target in targets]) for name in _FIELDS}
        counted = int((_learnt(targets) != NOBODY).sum())
        loss = None if outputs is None else float(self.loss(outputs, targets)) * counted
        return Judged(answers.cpu(), rows, loss)

    def examination(self, judged: Sequence[Judged], *, shared: bool = False) -> Examination:
        """See `measure`; by class the average precision of each action, weighed and not."""
        own = torch.cat([batch.logits for batch in judged]) if judged else torch.empty(0, 0)
        batches = list(judged)
        if shared:  # as plain values, which alone go from one process to another
            batches = [Judged._make(batch) for part in distributed.from_all(list(map(tuple, judged))) for batch in part]
        logits = torch.cat([batch.logits for batch in batches])
        rows = {name: torch.cat([batch.targets[name] for batch in batches]) for name in _FIELDS}
        found, true, crowds = _boxes(logits, rows)
        classes = logits.shape[1]
        plain = average_precisions(found, true, classes)
        weighed = average_precisions(found, true, classes, crowd_weights(crowds))
        counted = rows["found"] & (rows["label"] != NOBODY)
        right = logits.argmax(1) == rows["label"]
        accuracy = float(right[counted].double().mean()) if counted.any() else 0.0
        losses = [batch.loss for batch in batches if batch.loss is not None]
        mean = sum(losses) / max(1, int(counted.sum())) if losses else None
        values = {"f_map": mean_of(plain), "wf_map": mean_of(weighed), "accuracy": accuracy}
        beside = {**values, **({} if mean is None else {"loss": mean})}
        value = beside.pop(self.metric.name)
        order = sorted(values, key=lambda name: name != self.metric.name)
        entries = [Entry(name, spelled(name), values[name], F_MAP.written(values[name])) for name in order]
        entries.append(Entry("loss", "loss", mean, "" if mean is None else f"{mean:.4f}"))

        def by_class() -> ByClass:
            counts = torch.bincount(rows["label"][rows["label"] != NOBODY], minlength=classes).tolist()
            shares = {"ap": plain, "weighed by crowding": weighed}
            return ByClass("people", counts, {name: tuple(map(_number, each)) for name, each in shares.items()})

        return Examination(Measured(self.metric, value, beside), len(own), {"logits": own}, entries, by_class)

    def difference(self, outputs: Any, answers: Answers, size: tuple[int, int]) -> float:
        """The largest of a logit."""
        return float((outputs - answers).abs().max()) if answers.shape == outputs.shape else float("nan")

    def told(self, answers: Answers, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """The likeliest actions."""
        best = answers.softmax(1).topk(min(top, len(classes)))
        return [
            [(classes[label], share) for label, share in zip(labels, shares, strict=True)]
            for labels, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def on_frame(
        self, picture: Tensor, people: People, answers: Answers | None, resolution: int, classes: Sequence[str]
    ) -> Tensor:
        """Boxes with actions."""
        return actions_drawn(picture, people, answers, classes)

    def described(self, data: Dataset) -> dict[str, Any]:
        """The actions' names, in the order of the logits."""
        return {"classes": list(data.classes)}


@TASKS.register("crowded-actions")
class CrowdedActions(Actions):
    """The same, judged by the frame-mAP in which crowded frames count more."""

    metric = WF_MAP
    kind = "crowded-actions"


def _learnt(targets: Sequence[Target]) -> Tensor:
    """The labels N, `NOBODY` for who was not found."""
    labels = torch.stack([target["label"] for target in targets])
    return labels.where(torch.stack([target["found"] for target in targets]), NOBODY)


def _corners(size: tuple[int, int]) -> Tensor:
    return torch.tensor([[0.0, 0.0], [size[1], size[0]]])


def _boxes(logits: Tensor, rows: Mapping[str, Tensor]) -> tuple[Boxes, Boxes, dict[int, float]]:
    """What was found, each box with a score of every action; what is true; and each frame's crowd index."""
    plain = {name: one.numpy() for name, one in rows.items()}
    classes = logits.shape[1]
    there = plain["found"]
    count = int(there.sum())
    found = Boxes(
        np.repeat(plain["frame"][there], classes),
        np.repeat(plain["box"][there], classes, 0),
        np.tile(np.arange(classes), count),
        logits.double().softmax(1).numpy()[there].reshape(-1),
    )
    somebody = plain["label"] != NOBODY
    frames, boxes, labels = (plain[name][somebody] for name in ("frame", "true", "label"))
    crowds = dict(zip(plain["frame"].tolist(), plain["crowd"].tolist(), strict=True))
    return found, Boxes(frames, boxes, labels, np.ones(len(labels))), crowds


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


ACTIONS = Actions()
"""The task without a choice."""
