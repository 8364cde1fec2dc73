"""From an architecture to a network. The only definition of each network: the supernet runs this one on its views."""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from foundation.registry import Registry
from search_space.architecture import Architecture
from search_space.family import OR_A_PLUGIN, found_in
from search_space.head import ClassifierHead, Head, as_head
from search_space.parts import Part

# A hostile file can describe a network of any size within the fields' limits; 500M parameters are 2 GB.
MAX_PARAMETERS = 500_000_000

CLASSIFIER, TAPS = "classifier", "taps"
"""What the modules of a head are called: the one after the last map, and those that read finer ones, `taps.STRIDE`."""

Create = Callable[[str, Part], nn.Module]
"""Makes the module of a named part."""


def fresh(_name: str, part: Part) -> nn.Module:
    """A module of its own."""
    return part.create()


class FeatureMap(NamedTuple):
    """A map that a backbone gives to a head.

    Attributes:
        module: whose output it is.
        channels: how many it has.
        stride: pixels of the picture to one of its own, along one side.
    """

    module: str
    channels: int
    stride: int


class Backbone(nn.Module, ABC):
    """A network up to its last feature map.

    Attributes:
        info: its maps, of each stride the last, the finest first.
    """

    def __init__(self) -> None:
        super().__init__()
        # Not annotated in the class: TorchScript would take the annotations of modules and values for its own types.
        self.info: tuple[FeatureMap, ...]

    @abstractmethod
    def features(self, images: Tensor) -> list[Tensor]:
        """N×3×H×W to the maps that `info` describes, N×channels×H/stride×W/stride each, rounded up."""

    @abstractmethod
    def last_map(self, images: Tensor) -> Tensor:
        """N×3×H×W to what a classifier is given, N×C×H'×W'."""


class Network(Backbone):
    """A backbone with its head: an image classifier, N×3×H×W to N×num_classes logits, or what another head makes.

    Each family has a class of its own, registered in `NETWORKS`, in the file `network.py` of the family's room;
    `Network(architecture, num_classes)` makes one of the architecture's, with whatever weights its modules have.

    Args:
        num_classes: of the classifier; or another head than one, which leaves the attribute 0.
        create: makes the module of a named part; by default a fresh one.

    Attributes:
        is_chain: whether each of its modules is given what the one before it gave, so that others can stop between.
    """

    family: ClassVar[str]
    is_chain: ClassVar[bool] = True

    def __new__(cls, architecture: Any = None, *_args: Any, **_options: Any) -> Self:
        """One of the architecture's family; a family's own class, and a copy, are made as they are."""
        return cast(Self, object.__new__(network_class(architecture) if cls is Network else cls))

    def __init__(self, architecture: Any, num_classes: Head | int, create: Create = fresh):
        super().__init__()
        self.architecture: Architecture = architecture
        head = as_head(num_classes)
        self.task_head = head
        self.num_classes = head.num_classes if isinstance(head, ClassifierHead) else 0
        self.classifier: nn.Module
        self.taps: nn.ModuleDict | None = None

    @classmethod
    @abstractmethod
    def parts(cls, architecture: Any, head: Head | int) -> Sequence[tuple[str, Part]]:
        """The network's parts in order, each with the name of its module; the last is the head's, `classifier`.

        What taps a map of stride S, `taps.S`, stands before the first part whose output is coarser. It leaves the map
        as it is.
        """

    @classmethod
    def initialise(cls, module: nn.Module) -> None:
        """Draws fresh weights from torch's global random state, as the family's authors do."""
        initialise(module)

    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """The modules between stem and head, one after the other."""

    def branches(self) -> Sequence[Sequence[nn.Module]]:
        """Of each block the last module of each of its residual branches, none without a skip; for stochastic depth."""
        return ()

    @abstractmethod
    def stemmed(self, images: Tensor) -> Tensor:
        """What the first of the blocks is given."""

    def tapped(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """N×3×H×W to the maps of the head's taps, the finest first, and the last map.

        Raises InputError for a family that has no such maps.
        """
        raise InputError(f"networks of family {self.family} give a head no map but the last")

    def spatial_map(self, images: Tensor) -> Tensor:
        """N×3×H×W to the last map that has places, N×C×H'×W'.

        It is `last_map`, unless the family has a layer of its own on the mean of its map: `after_mean` is that layer.
        """
        return self.last_map(images)

    def after_mean(self, x: Tensor) -> Tensor:
        """From `spatial_map` to `last_map`."""
        return x

    def forward(self, x: Tensor) -> Any:
        if self.taps is None:
            return self.classifier(self.last_map(x))
        finer, last = self.tapped(x)
        return self.classifier(last, [tap(one) for tap, one in zip(self.taps.values(), finer, strict=True)])


NETWORKS: Registry[type[Network]] = Registry("family", OR_A_PLUGIN)
"""The networks of each family."""


def network_class(architecture: Architecture) -> type[Network]:
    """The class of the architecture's networks."""
    return found_in(NETWORKS, architecture.family, "network")


def parts(architecture: Architecture, num_classes: Head | int) -> Sequence[tuple[str, Part]]:
    """The network's parts in order, each with the name of its module, with a classifier or a task's head."""
    return network_class(architecture).parts(architecture, num_classes)


def bare(architecture: Architecture, num_classes: Head | int, create: Create = fresh) -> Network:
    """The architecture's network as `Network(…)` makes it, whose class a type checker takes for abstract."""
    return network_class(architecture)(architecture, num_classes, create)


def build(architecture: Architecture, num_classes: Head | int = 1000) -> Network:
    """The architecture's network, freshly initialised from torch's global random state.

    Args:
        num_classes: of the classifier; or another head than one.

    Raises InputError for an unknown block, attention or activation, a class count below 1, or a network of more than
    500 million parameters; nothing is allocated in that case.
    """
    num_classes = as_head(num_classes)
    check(architecture, num_classes)
    network = bare(architecture, num_classes)
    network.initialise(network)
    for name, module in network.named_children():
        if is_of_head(name):
            initialise_head(module, num_classes)
    return network


def check(architecture: Architecture, num_classes: Head | int) -> None:
    """Raises InputError naming the part if the network cannot be built, or has more than 500 million parameters."""
    size = 0
    for name, part in parts(architecture, num_classes):
        try:
            size += _parameters(part)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
    if size > MAX_PARAMETERS:
        raise InputError(f"architecture: {size} parameters, more than the {MAX_PARAMETERS} that are built")


@functools.lru_cache(maxsize=1 << 14)
def _parameters(part: Part) -> int:
    """How many the part has; remembered, since a search builds thousands of networks of the same parts."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in part.create().parameters())


def initialise(module: nn.Module) -> None:
    """Fresh weights as MobileNetV2's are drawn: He for convolutions by fan-out, N(0, 0.01) for the classifier."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            # Fan-out per group: a depthwise convolution's output channel sees only its own kernel.
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2.0 / fan_out))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def is_of_head(name: str) -> bool:
    """Whether a part, or a module, of that name is the head's."""
    return name.partition(".")[0] in (CLASSIFIER, TAPS)


def initialise_head(module: nn.Module, head: Head) -> None:
    """Fresh weights for a module of the head, where it has a rule of its own (`Head.std`)."""
    if head.std is None:
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, head.std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
