"""Pictures in three splits, and the registry of what makes them from a spec."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from foundation.progress import Reporter
from foundation.registry import Registry, S
from training.data.split import Split

PREPARED = "prepared by Pillow"
"""In the identity of pictures in files since one preparation is that of all: before, pixels were others."""
NORMALISED = " normalised by "
"""In the identity of pictures that a network of other ones is given."""


@dataclass(frozen=True)
class Dataset:
    """What a task is learnt from. The test split is made only when asked for.

    Attributes:
        name: without any path, so that results do not depend on where pictures lie.
        classes: names of what a network has an output for.
        identity: tells data apart; for files of the user's own by their names, classes and sizes.
        load: makes `train`, `validation` or `test`.
        mean, std: of each channel, in 0 to 1.
        files: how many each split has, of files of the user's own, whether they can be decoded or not.
        counts: of each split's pictures, where these are known before they are loaded.
    """

    name: str
    identity: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[str], Split]
    device: torch.device
    files: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def normalised_by(self, mean: tuple[float, ...], std: tuple[float, ...]) -> "Dataset":
        """The same pictures for a network that knows others: normalised as those were, see `Split.normalised_by`."""
        if (mean, std) == (self.mean, self.std):
            return self
        return replace(
            self,
            identity=f"{self.identity}{NORMALISED}{mean} and {std}",
            mean=mean,
            std=std,
            load=lambda split: getattr(self, split).normalised_by(mean, std),
        )

    def count(self, split: str) -> int:
        """How many pictures the split has. They are loaded where that is not known otherwise."""
        return self.counts[split] if split in self.counts else len(getattr(self, split))

    @cached_property
    def train(self) -> Split:
        return self.load("train")

    @cached_property
    def validation(self) -> Split:
        return self.load("validation")

    @cached_property
    def test(self) -> Split:
        return self.load("test")


@dataclass(frozen=True)
class Wanted:
    """The pictures that a spec `KIND:REST` names, and how they are wanted.

    Attributes:
        side: of the pictures, in pixels.
        streamed, skip_corrupt, loaders, download: see `training.data.datasets.load_data`.
    """

    spec: str
    kind: str
    rest: str
    side: int
    device: torch.device
    reporter: Reporter
    streamed: bool | None = None
    skip_corrupt: bool = False
    loaders: int | None = None
    download: bool = True

    @classmethod
    def of(
        cls, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> "Wanted":
        """What a spec and the options of `Task.data` say."""
        kind, _, rest = spec.partition(":")
        return cls(spec, kind, rest, side, device, reporter or Reporter(quiet=True), **options)


class _Registry(Registry[Callable[[Wanted], Dataset]]):
    def register(self, name: str) -> Callable[[S], S]:
        """As any; raises ValueError for a name that no spec could say."""
        if ":" in name:
            raise ValueError(f"data set {name!r}: a name without a colon, which ends it in a spec")
        return super().register(name)


DATASETS = _Registry("data set")
"""What makes the pictures of a kind, each registered in a file of `training.data.sources`, or in a plugin."""


def files_of(identity: str) -> str:
    """What of an identity tells the files apart.

    Neither whether they are held in memory, nor how they are prepared, nor for which network they are normalised.
    """
    return identity.partition(NORMALISED)[0].replace("streamed ", "").removesuffix(f" {PREPARED}")
