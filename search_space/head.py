"""A network's head: what follows the last map of its backbone, and what the task reads.

Heads of tasks stand in the tasks' rooms, and no file here names one: a room is imported, as a family's is
(`search_space.family`), when a head is asked for that is not known yet.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from foundation.errors import InputError
from foundation.json_files import shown
from foundation.registry import Registry
from search_space.family import OR_A_PLUGIN
from search_space.parts import ClassifierPart, MeanPart, Part

MAX_CLASSES = 1_000_000
ROOMS = Path(__file__).parent.parent / "tasks"
"""Of the tasks, a folder each with a file `room.py`."""


class Head(ABC):
    """A head as a value: a subclass is a frozen dataclass, registered in `HEADS`.

    Its module is `classifier` in every network, whatever the task: so it is called in all files of weights.

    Attributes:
        follows_stages: whether it follows the last stage itself: a convolution that widens a map for the mean over it,
            as mobile networks end with, is then left out.
        averages: whether all it reads of the map is its mean. A family's own layer on that mean stands only before
            such a head.
        std: its convolutions are drawn from N(0, std) and their biases are 0; None for as the family draws them.
    """

    follows_stages: ClassVar[bool] = False
    averages: ClassVar[bool] = False
    std: ClassVar[float | None] = None

    @abstractmethod
    def part(self, channels: int) -> Part:
        """The head after a map of so many channels: from N×channels×H×W to what the task reads.

        Its module also takes, as a list, what the taps make of their maps, where there are taps.
        """

    @property
    def taps(self) -> Mapping[int, Callable[[int], Part]]:
        """Strides of the further maps that it reads, finer than the last one; the finest first.

        Each with what makes the part that reads such a map, from its number of channels: from N×channels×H×W to what
        the head's own module understands.
        """
        return {}

    @property
    def classes(self) -> int:
        """Of a picture, that its logits tell apart; 0 for a head that does something else."""
        return 0

    @property
    @abstractmethod
    def told(self) -> str:
        """In words, for messages and drawings: `10 classes`."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values, `head` among them: the name in `HEADS`."""

    @classmethod
    @abstractmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The head that `to_dict` described, without its name."""


HEADS: Registry[type[Head]] = Registry("head", OR_A_PLUGIN)
"""By the name that their description has."""


@HEADS.register("classifier")
@dataclass(frozen=True)
class ClassifierHead(Head):
    """The mean over the map and a linear layer. Raises InputError for a number of classes out of range."""

    num_classes: int

    averages = True

    def __post_init__(self) -> None:
        if type(self.num_classes) is not int or not 1 <= self.num_classes <= MAX_CLASSES:
            raise InputError(f"num_classes: expected an integer from 1 to {MAX_CLASSES}, got {shown(self.num_classes)}")

    def part(self, channels: int) -> Part:
        """See `search_space.parts.ClassifierPart`."""
        return ClassifierPart(channels, self.num_classes)

    @property
    def classes(self) -> int:
        """All of them."""
        return self.num_classes

    @property
    def told(self) -> str:
        """The number of classes."""
        return f"{self.num_classes} classes"

    def to_dict(self) -> dict[str, Any]:
        """The number of classes."""
        return {"head": "classifier", "num_classes": self.num_classes}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The head of so many classes."""
        return cls(**data)


@HEADS.register("features")
@dataclass(frozen=True)
class FeaturesHead(Head):
    """No head: the mean over the last map is what the network gives, N×channels."""

    averages = True

    def part(self, channels: int) -> Part:
        """See `search_space.parts.MeanPart`."""
        return MeanPart(channels)

    @property
    def told(self) -> str:
        """That there is none."""
        return "no head"

    def to_dict(self) -> dict[str, Any]:
        """The name."""
        return {"head": "features"}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The only one there is."""
        return cls(**data)


def as_head(head: Head | int) -> Head:
    """The head; a number is a classifier's, of so many classes."""
    return head if isinstance(head, Head) else ClassifierHead(head)


def read_head(data: Any) -> Head:
    """The head that `to_dict` described, of whatever task. Raises InputError if it is none."""
    try:
        fields = {**data}
        name = fields.pop("head")
        if not isinstance(name, str):
            raise InputError(f"head: expected a name, got {shown(name)}")
        if name not in HEADS:
            for path in sorted(ROOMS.glob("*/room.py")):
                importlib.import_module(f"tasks.{path.parent.name}.room")
        return HEADS[name].read(fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"not a head: {error}") from None
