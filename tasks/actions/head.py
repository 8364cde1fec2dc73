"""The head of the task `actions`: what the tiles of a clip come to, along time, beside the scene."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from search_space.fields import check_integer
from search_space.head import HEADS, MAX_CLASSES, Head
from search_space.parts import Part, Piece
from tasks.actions.tiles import ACROSS, FRAMES
from tasks.segmentation.heads import MAX_WIDTH


@dataclass(frozen=True)
class TemporalPart(Piece):
    """See `Temporal`."""

    in_channels: int
    width: int
    num_classes: int

    def create(self) -> nn.Module:
        return Temporal(self)

    def output_size(self, size: int) -> int:
        return 1

    @property
    def label(self) -> str:
        return f"temporal {self.in_channels}>{self.width}>{self.num_classes}"


class Temporal(nn.Module):
    """N×C×H×W to N×classes logits, from the map of a clip's tiles (`tasks.actions.tiles`).

    The mean over each tile's part of the map is the vector of its frame, or of the scene. A convolution over three
    frames at a time runs along the eight; the mean over time, and beside it the scene's vector, go to a linear layer.
    """

    def __init__(self, part: TemporalPart):
        super().__init__()
        # Over N×C×8×1, so that it is drawn and shared as every convolution is.
        self.time = nn.Conv2d(part.in_channels, part.width, (3, 1), padding=(1, 0))
        self.logits = nn.Linear(part.width + part.in_channels, part.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        vectors = (_thirds(x, 2) @ x @ _thirds(x, 3).T).flatten(2)
        along = self.time(vectors[..., :FRAMES, None]).relu().mean((2, 3))
        found: Tensor = self.logits(torch.cat([along, vectors[..., FRAMES]], 1))
        return found


def _thirds(x: Tensor, axis: int) -> Tensor:
    """What takes the mean of each third of an axis, as a matrix 3×(its length)."""
    cells = torch.arange(x.shape[axis], device=x.device)
    inside = (cells * ACROSS // x.shape[axis] == torch.arange(ACROSS, device=x.device)[:, None]).to(x.dtype)
    return inside / inside.sum(1, keepdim=True)


@HEADS.register("temporal")
@dataclass(frozen=True)
class TemporalHead(Head):
    """See `Temporal`. Raises InputError for a number of classes or channels out of range."""

    num_classes: int
    width: int = 64

    def __post_init__(self) -> None:
        check_integer("num_classes", self.num_classes, 1, MAX_CLASSES)
        check_integer("width", self.width, 1, MAX_WIDTH)

    def part(self, channels: int) -> Part:
        """See `TemporalPart`."""
        return TemporalPart(channels, self.width, self.num_classes)

    @property
    def told(self) -> str:
        """Channels and actions."""
        return f"temporal head of {self.width} channels, {self.num_classes} actions"

    def to_dict(self) -> dict[str, Any]:
        """Its name and fields."""
        return {"head": "temporal", **vars(self)}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The head of these fields."""
        return cls(**data)
