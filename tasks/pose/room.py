"""The task `pose`: the 14 joints of a person in a crop, by a heat map each, judged by OKS-AP."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.metric import SPELLINGS, Measured, Metric, spelled
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import Head
from tasks.pose.data import load_people
from tasks.pose.drawing import FILMED_AS, poses_drawn, skeleton
from tasks.pose.head import HeatmapHead
from tasks.pose.heatmaps import aimed, found
from tasks.pose.keypoints import Posed, average_precision, check_installed, similarities
from tasks.registry import TASKS, name_and_channels
from training.data.dataset import Dataset, Wanted
from training.data.people.clip import People
from training.data.people.joints import ABSENT, JOINTS, OTHER_SIDE
from training.evaluation import seen
from training.targets import Batch, Target, Targets
from training.task import Answers, ByClass, Drawn, Entry, Examination

SPELLINGS.update(oks_ap="OKS-AP", oks_ap50="OKS-AP at .5")
AP = Metric("oks_ap", "%", scale=100, decimals=2, step="points", beside=("oks_ap50", "loss"))


class Judged(NamedTuple):
    """What counts of a batch: joints found N×14×3 and true N×14×2 in pixels, flags N×14, areas N, the summed loss."""

    found: Tensor
    true: Tensor
    flags: Tensor
    areas: Tensor
    loss: float | None


@TASKS.register("pose")
class Pose:
    """Joints of the one person that a crop is around. For targets see `tasks.pose.data.load_people`.

    Outputs are logits N×14×h×w of each joint's place in a map as coarse as may be. Answers are N×14×3: x and y in
    pixels, and how likely the joint is there, in 0 to 1.
    """

    metric = AP
    class_labels = False
    answer = ("joints",)
    heads = (HeatmapHead.name,)
    filmed_as: ClassVar[str] = FILMED_AS

    def __init__(self, head: str = ""):
        """Takes a head as `NAME` or `NAME/CHANNELS`; the first of `heads` where none is said."""
        _, width = name_and_channels(head)
        self.chosen = HeatmapHead(len(JOINTS))
        if width is not None:
            self.chosen = replace(self.chosen, width=width)
        self.name = f"pose:{head}" if head else "pose"

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The people that a spec names."""
        check_installed()
        return load_people(Wanted.of(spec, side, device, reporter, **options))

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        """Heat maps on the last map."""
        return replace(self.chosen, num_classes=num_classes)

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """Mean over the joints that are in the crop of the cross-entropy of its cells, in nats, see `heatmaps.aimed`.

        Hidden joints are learnt as well; absent ones, and those that augmentation moved out, are not.
        """
        places, counted = _places(targets, outputs.device)
        logs = outputs.flatten(-2).log_softmax(-1)
        each = -(aimed(places, (outputs.shape[-2], outputs.shape[-1])) * logs).sum(-1)
        return (each * counted).sum() / counted.sum().clamp(min=1)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """OKS-AP of the crops, each with its one person, and the mean loss of the batches.

        Predictions are `joints`, N×14×3.
        """

        def look(outputs: Tensor, targets: Targets) -> Judged:
            assert not isinstance(targets, Tensor)
            return self.judge(self.answers(outputs, _size(targets[0])), targets, outputs.shape[1], outputs)

        return self.examination(list(seen(network, batches, look, precision=precision)), shared=shared)

    def answers(self, outputs: Any, size: tuple[int, int]) -> Answers:
        """Where each joint is, and how likely."""
        return found(outputs) * outputs.new_tensor([size[1], size[0], 1.0])

    def fit(self, answers: Answers, shape: Sequence[int], classes: int) -> bool:
        """Whether it is a place (float32) of each joint."""
        return (
            isinstance(answers, Tensor)
            and answers.shape == (shape[0], classes, 3)
            and answers.dtype == torch.float32
            and classes == len(JOINTS)
        )

    def judge(self, answers: Answers, targets: Targets, classes: int, outputs: Any = None) -> Judged:
        """What was found and what is true, and the summed loss."""
        assert not isinstance(targets, Tensor)
        loss = None if outputs is None else float(self.loss(outputs, targets)) * len(targets)
        height, width = _size(targets[0])
        return Judged(
            answers.cpu(),
            torch.stack([_joints(target)[: len(JOINTS)].cpu() for target in targets]),
            torch.stack([target["flags"].cpu() for target in targets]),
            torch.stack([target["area"].cpu() for target in targets]) * (height * width),
            loss,
        )

    def examination(self, judged: Sequence[Judged], *, shared: bool = False) -> Examination:
        """See `measure`; by joint how many there are, and how like the true ones they are found."""
        own = torch.cat([batch.found for batch in judged]) if judged else torch.empty(0, len(JOINTS), 3)
        batches = list(judged)
        if shared:  # as plain values, which alone go from one process to another
            batches = [Judged._make(batch) for part in distributed.from_all(list(map(tuple, judged))) for batch in part]
        names = ("found", "true", "flags", "areas")
        at, true, flags, areas = (torch.cat([getattr(batch, name) for batch in batches]).numpy() for name in names)
        losses = [batch.loss for batch in batches if batch.loss is not None]
        ap, ap50 = average_precision(*_posed(at, true, flags, areas))
        mean = sum(losses) / len(true) if losses else None
        alike = np.where(flags == ABSENT, np.nan, similarities(at[..., :2], true, areas))
        oks = float(np.nanmean(alike)) if np.isfinite(alike).any() else 0.0
        beside = {"oks_ap50": ap50, **({} if mean is None else {"loss": mean}), "oks": oks}
        entries = (
            Entry(AP.name, AP.words, ap, AP.written(ap)),
            Entry("oks_ap50", spelled("oks_ap50"), ap50, AP.written(ap50)),
            Entry("oks", "mean similarity", oks, AP.written(oks)),
            Entry("loss", "loss", mean, "" if mean is None else f"{mean:.4f}"),
        )

        def by_class() -> ByClass:
            counts = (flags != ABSENT).sum(0).tolist()
            each = [float(np.nanmean(alike[:, n])) if count else None for n, count in enumerate(counts)]
            return ByClass("joints", counts, {"oks": each})

        return Examination(Measured(AP, ap, beside), len(own), {"joints": own}, entries, by_class)

    def difference(self, outputs: Any, answers: Answers, size: tuple[int, int]) -> float:
        """The largest of a joint's place as a share of the crop, and of its likelihood, where the best cell is clear.

        Where two cells are about as likely, either may be answered with.
        """
        if not self.fit(answers, (len(outputs), 3, *size), outputs.shape[1]):
            return float("nan")
        own = self.answers(outputs, size)
        first, second = outputs.flatten(-2).softmax(-1).topk(2).values.unbind(-1)
        apart = ((own - answers).abs() / own.new_tensor([size[1], size[0], 1.0])).amax(-1)
        return float(torch.where(first - second > 1e-3, apart, torch.zeros_like(apart)).max())

    def told(self, answers: Answers, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """The likeliest joints, with their places in pixels of what the network saw."""
        told = []
        for one in answers:
            order = one[:, 2].argsort(descending=True, stable=True)[:top].tolist()
            told.append(
                [
                    (f"{classes[number]}  {round(float(one[number, 0]))},{round(float(one[number, 1]))}", score)
                    for number, score in ((number, float(one[number, 2])) for number in order)
                ]
            )
        return told

    def truth(self, targets: Targets) -> Answers:
        """The joints, those that are absent with a likelihood of 0."""
        assert not isinstance(targets, Tensor)
        rows = []
        for target in targets:
            joints = _joints(target)[: len(JOINTS)]
            rows.append(torch.cat([joints, (target["flags"] != ABSENT).to(joints)[:, None]], 1))
        return torch.stack(rows)

    def drawn(self, picture: Tensor, answers: Answers, size: tuple[int, int], classes: Sequence[str]) -> Drawn:
        """A figure of lines."""
        return skeleton(picture, answers, size)

    def on_frame(
        self, picture: Tensor, people: People, answers: Answers | None, resolution: int, classes: Sequence[str]
    ) -> Tensor:
        """Boxes, and a figure of lines in each."""
        return poses_drawn(picture, people, answers, resolution)

    def described(self, data: Dataset) -> dict[str, Any]:
        """The joints' names, in the order of the maps."""
        return {"classes": list(data.classes)}


def _places(targets: Targets, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where joints are, as shares of the crop's sides (N×14×2), and which of them count (N×14).

    In a mirrored picture left is right: then the ends of its upper edge have changed sides.
    """
    assert not isinstance(targets, Tensor)
    other = torch.tensor(OTHER_SIDE)
    places, flags = [], []
    for target in targets:
        height, width = _size(target)
        whole = _joints(target)
        own = whole[: len(JOINTS)] / whole.new_tensor([width, height])
        mirrored = bool(whole[-2, 0] > whole[-1, 0])
        places.append(own[other] if mirrored else own)
        flags.append(target["flags"][other] if mirrored else target["flags"])
    at = torch.stack(places).to(device)
    inside = ((at >= 0) & (at <= 1)).all(-1)
    return at, inside & (torch.stack(flags).to(device) != ABSENT)


def _posed(found: Any, true: Any, flags: Any, areas: Any) -> tuple[list[Posed], list[Posed]]:
    """What was found and what is true, a picture each."""
    pairs = [(slice(n, n + 1)) for n in range(len(true))]
    scores = found[..., 2].mean(1)
    return (
        [Posed(found[at][..., :2], flags[at], areas[at], scores[at]) for at in pairs],
        [Posed(true[at], flags[at], areas[at], scores[at]) for at in pairs],
    )


def _joints(target: Target) -> Tensor:
    return target["joints"].as_subclass(Tensor)


def _size(target: Target) -> tuple[int, int]:
    """Height and width of the crop."""
    joints: Any = target["joints"]
    height, width = joints.canvas_size
    return height, width


POSE = Pose()
"""The task without a choice."""
