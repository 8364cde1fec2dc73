"""A classifier in the form that SHOT adapts: a bottleneck, and a weight-normalised hypothesis (arXiv:2002.08546)."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from search_space.fields import check_integer
from search_space.head import HEADS, MAX_CLASSES, Head
from search_space.parts import Part, Piece

MAX_WIDTH = 8192


class Hypothesis(nn.Module):
    """A linear layer whose weight is v·g/‖v‖, row by row: N×width to N×classes.

    Its first weights are Xavier's, drawn before the normalisation takes the weight apart: what is drawn into the
    `weight` afterwards reaches neither v nor g. It is no `nn.Linear`, which a family draws anew.
    """

    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, width))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class BottleneckClassifier(nn.Module):
    """The mean over a map, the bottleneck, the hypothesis: N×C×H×W to N×num_classes."""

    def __init__(self, channels: int, width: int, num_classes: int):
        super().__init__()
        self.bottleneck = nn.Sequential(nn.Linear(channels, width), nn.BatchNorm1d(width))
        self.hypothesis = weight_norm(Hypothesis(width, num_classes))

    def features(self, x: Tensor) -> Tensor:
        """N×C×H×W to the N×width that logits are made of."""
        features: Tensor = self.bottleneck(x.mean((2, 3)))
        return features

    def logits(self, features: Tensor) -> Tensor:
        """N×width to N×num_classes."""
        logits: Tensor = self.hypothesis(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.features(x))


@dataclass(frozen=True)
class BottleneckPart(Piece):
    """The mean over the last feature map, a linear layer with batch normalisation, and the hypothesis."""

    in_channels: int
    width: int
    num_classes: int

    def create(self) -> nn.Module:
        return BottleneckClassifier(self.in_channels, self.width, self.num_classes)

    def output_size(self, size: int) -> int:
        return 1

    @property
    def label(self) -> str:
        return f"bottleneck {self.in_channels}>{self.width}>{self.num_classes}"


@HEADS.register("bottleneck")
@dataclass(frozen=True)
class BottleneckHead(Head):
    """Logits of classes by a bottleneck of so many channels. Raises InputError for a number out of range."""

    averages = True
    num_classes: int
    width: int = 256

    def __post_init__(self) -> None:
        check_integer("num_classes", self.num_classes, 1, MAX_CLASSES)
        check_integer("width", self.width, 1, MAX_WIDTH)

    def part(self, channels: int) -> Part:
        """See `BottleneckClassifier`."""
        return BottleneckPart(channels, self.width, self.num_classes)

    @property
    def classes(self) -> int:
        """All of them."""
        return self.num_classes

    @property
    def told(self) -> str:
        """Channels and classes."""
        return f"bottleneck of {self.width} channels, {self.num_classes} classes"

    def to_dict(self) -> dict[str, Any]:
        """Its name and fields."""
        return {"head": "bottleneck", "num_classes": self.num_classes, "width": self.width}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The head of these fields."""
        return cls(**data)
