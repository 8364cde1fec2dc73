"""The modules of IMPALA's encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from search_space.families.impala.architecture import ImpalaArchitecture
from search_space.head import Head, as_head
from search_space.network import NETWORKS, Create, FeatureMap, Network, fresh
from search_space.parts import Part, Piece, strided


@dataclass(frozen=True)
class StagePart(Piece):
    """A convolution, a pooling by 2 and two residual blocks: N×in_channels×H×W to N×width×⌈H/2⌉×⌈W/2⌉."""

    in_channels: int
    width: int

    def create(self) -> nn.Module:
        return ImpalaStage(self)

    def output_size(self, size: int) -> int:
        return strided(size, 2)

    @property
    def label(self) -> str:
        return f"impala {self.in_channels}>{self.width}"


@dataclass(frozen=True)
class DensePart(Piece):
    """A linear layer on the whole map: N×in_channels×side×side to N×features×1×1."""

    in_channels: int
    side: int
    features: int

    def create(self) -> nn.Module:
        return Dense(self)

    def output_size(self, size: int) -> int:
        return 1

    @property
    def label(self) -> str:
        return f"dense {self.in_channels}x{self.side}x{self.side}>{self.features}"


class ImpalaStage(nn.Module):
    """See `StagePart`."""

    def __init__(self, part: StagePart):
        super().__init__()
        self.conv = nn.Conv2d(part.in_channels, part.width, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.blocks = nn.Sequential(_Residual(part.width), _Residual(part.width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.pool(self.conv(x)))
        return out


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.second(torch.relu(self.first(torch.relu(x))))
        return x + inner


class Dense(nn.Module):
    """See `DensePart`."""

    def __init__(self, part: DensePart):
        super().__init__()
        self.linear = nn.Linear(part.in_channels * part.side**2, part.features)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = torch.relu(self.linear(torch.relu(x).flatten(1)))
        return features[:, :, None, None]


@NETWORKS.register("impala")
class ImpalaNetwork(Network):
    """N×3×S×S of the architecture's own side to what the head makes of N×features×1×1."""

    family = "impala"

    def __init__(self, architecture: ImpalaArchitecture, num_classes: Head | int, create: Create = fresh):
        super().__init__(architecture, num_classes)
        modules = {name: create(name, part) for name, part in self.parts(architecture, num_classes)}
        last = len(architecture.widths) - 1
        maps = zip(architecture.widths, architecture.strides, strict=True)
        self.info = tuple(FeatureMap(f"stages.{i}", width, stride) for i, (width, stride) in enumerate(maps))
        self.stages = nn.Sequential(*(modules[f"stages.{index}"] for index in range(last + 1)))
        self.dense = modules["dense"]
        self.classifier = modules["classifier"]

    @classmethod
    def parts(cls, architecture: ImpalaArchitecture, head: Head | int) -> Sequence[tuple[str, Part]]:
        """stages.0, …, dense, classifier. Raises InputError for a head that reads more than the mean of the map."""
        head = as_head(head)
        if head.taps or not head.averages:
            raise InputError(f"networks of family {cls.family} end in a linear layer, and have no map for such a head")
        named: list[tuple[str, Part]] = []
        channels, side = 3, architecture.resolution
        for index, width in enumerate(architecture.widths):
            stage = StagePart(channels, width)
            named.append((f"stages.{index}", stage))
            channels, side = width, stage.output_size(side)
        named.append(("dense", DensePart(channels, side, architecture.features)))
        named.append(("classifier", head.part(architecture.features)))
        return named

    @classmethod
    def initialise(cls, module: nn.Module) -> None:
        """Leaves the weights as torch draws them."""

    def last_map(self, images: Tensor) -> Tensor:
        """N×3×S×S to N×features×1×1."""
        out: Tensor = self.dense(self.stages(images))
        return out

    def features(self, images: Tensor) -> list[Tensor]:
        """What each stage leaves."""
        found = []
        for stage in self.stages:
            images = stage(images)
            found.append(images)
        return found

    def blocks(self) -> list[nn.Module]:
        """The stages after the first."""
        return [*self.stages][1:]

    def stemmed(self, images: Tensor) -> Tensor:
        """What the first stage leaves."""
        out: Tensor = self.stages[0](images)
        return out
