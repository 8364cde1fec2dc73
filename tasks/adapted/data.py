"""Labelled pictures to learn from, and others that networks are adapted to and judged on, as one data set."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from foundation.seeds import derive
from training.data.adaptation_target import FOLDER, Before, Target, target_folder, target_set
from training.data.dataset import Dataset
from training.data.datasets import load_data
from training.data.held import HeldSplit
from training.data.pictures import Pictures
from training.data.split import Split
from training.specs import TO

MOST = 1024
"""Of the target's pictures that networks are judged by while others are to come."""
UNKNOWN = -1
"""The label of a picture without one."""


@dataclass(frozen=True)
class WithTarget(Dataset):
    """Training pictures of the source; validation and test pictures of the target, with labels or `UNKNOWN`.

    It has the source's name: weights learnt from it prepare pictures as the source's.
    """


def with_target(
    spec: str, side: int, device: torch.device, reporter: Reporter, *, skip_corrupt: bool = False, **options: Any
) -> WithTarget:
    """The pictures of a spec `SOURCE->TARGET`.

    Of the target's training pictures at most `MOST` are for validation: a search adapts to them for each of its
    networks. A target of a folder has no pictures for a test: all of them are tested on. Their labels train nothing.

    Raises InputError as `load_data` and `training.data.adaptation_target` do.
    """
    source_spec, target_spec = (part.strip() for part in spec.split(TO, 1))
    if not source_spec or not target_spec:
        raise InputError(f"`data` {spec}: expected pictures before and after {TO}, as in digits:uci{TO}digits:mnist")
    source = load_data(source_spec, side, device, reporter, skip_corrupt=skip_corrupt, **options)
    before = Before(source.classes, source.mean, source.std, source.name, side)
    try:
        if target_spec.partition(":")[0] == FOLDER:
            target = target_folder(target_spec, before, device, reporter, skip_corrupt=skip_corrupt)
            tested = target
        else:
            data = load_data(target_spec, side, torch.device("cpu"), reporter, skip_corrupt=skip_corrupt)
            target, tested = (target_set(data, before, device, split) for split in ("train", "test"))
    except InputError as error:  # which names the target as if it were all that was asked for
        reason = str(error).removeprefix("`data` ")
        raise InputError(f"`data` {spec}: pictures to adapt to: {reason}") from None

    def load(split: str) -> Split:
        if split == "train":
            return source.train
        return _labelled(target, before, MOST) if split == "validation" else _labelled(tested, before)

    return WithTarget(
        name=source.name,
        identity=f"{source.identity}{TO}{target.identity}",
        classes=source.classes,
        mean=source.mean,
        std=source.std,
        load=load,
        device=device,
        files=source.files,
        counts={
            **{split: count for split, count in source.counts.items() if split == "train"},
            "validation": min(MOST, len(target.pictures)),
            "test": len(tested.pictures),
        },
    )


def _labelled(target: Target, before: Before, most: int | None = None) -> HeldSplit:
    """At most so many of the target's pictures, all by default, with labels in place of their numbers.

    They are in an order drawn by a fixed seed: files lie class by class, and networks adapt to the first.
    """
    pictures = target.pictures
    labels: Tensor = torch.full((len(pictures),), UNKNOWN) if target.labels is None else target.labels
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(derive("target's pictures")))[:most]
    whole = HeldSplit(Pictures(pictures.images, labels), before.mean, before.std, pictures.device)
    return whole.subset(order)


def check_target(data: Dataset) -> None:
    """Raises InputError for pictures without others to adapt to."""
    if not isinstance(data, WithTarget):
        raise InputError(
            f"`task` adapted: {data.name} says no pictures to adapt to; give `target` folder:PATH as well, or "
            f"`data` 'SOURCE{TO}TARGET'"
        )
