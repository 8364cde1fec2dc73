"""A second family of networks, as small as one can be: pictures pooled to a grid, and one hidden layer of an MLP.

A plugin as a user would write it: a value, a space of three decisions, the modules. Every contract test over the
registered spaces takes it in, and `tests/test_families.py` runs the commands on it.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import log2
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional as F

from search_space.architecture import ARCHITECTURES, Architecture, Row, check_resolution
from search_space.chain import Group, LinkProgram, Shape
from search_space.decisions import Choose, decide
from search_space.fields import check_fields, check_integer, check_name
from search_space.head import Head, as_head
from search_space.network import NETWORKS, Create, FeatureMap, Network, fresh
from search_space.parts import Compound, Part, Piece, Slot, activation_class
from search_space.space import SPACE_KINDS, SearchSpace
from search_space.spaces import CLASSES, SPACES


@ARCHITECTURES.register("pooled")
@dataclass(frozen=True)
class PooledArchitecture(Architecture):
    """`grid`×`grid` pooled pixels, and `width` hidden units with an activation."""

    resolution: int
    grid: int
    width: int
    activation: str

    family = "pooled"

    def __post_init__(self) -> None:
        check_resolution(self.resolution)
        check_integer("grid", self.grid, 1, 64)
        check_integer("width", self.width, 1, 4096)
        check_name("activation", self.activation)

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **asdict(self)}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        return cls(**check_fields("", data, cls))

    def rows(self) -> tuple[Row, ...]:
        numbers = (("grid", self.grid),)
        return (
            Row("pool", "pool", "resized", 3, None, (None,), end=True),
            Row("1", "hidden", "linear", self.width, None, (None,), numbers),
        )

    def decided(self, name: str) -> Any:
        return getattr(self, name.rpartition(".")[2])

    @property
    def strides(self) -> tuple[int, ...]:
        return (self.resolution,)

    @property
    def everywhere(self) -> str:
        return self.activation


@dataclass(frozen=True)
class PoolPart(Piece):
    """A picture at `grid`×`grid` pixels."""

    in_channels: int
    grid: int

    def create(self) -> nn.Module:
        return Resized(self.grid)

    def output_size(self, size: int) -> int:
        return self.grid

    @property
    def label(self) -> str:
        return f"pool {self.in_channels} {self.grid}"


class Resized(nn.Module):
    """N×C×H×W to N×C×side×side; of pictures of any size, in ONNX too, which an adaptive mean is not."""

    def __init__(self, side: int):
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, (self.side, self.side), mode="bilinear")


@dataclass(frozen=True)
class LinearPart(Piece):
    """From a grid to hidden units, N×C×grid×grid to N×width×1×1."""

    in_channels: int
    grid: int
    width: int

    def create(self) -> nn.Module:
        return nn.Conv2d(self.in_channels, self.width, self.grid)

    def output_size(self, size: int) -> int:
        return size - self.grid + 1

    @property
    def label(self) -> str:
        return f"linear {self.in_channels}>{self.width} g{self.grid}"


@dataclass(frozen=True)
class ActivationPart(Slot):
    """What a hidden unit does."""

    in_channels: int
    activation: str

    def create(self) -> nn.Module:
        return nn.Identity() if self.activation == "none" else activation_class(self.activation)()

    def output_size(self, size: int) -> int:
        return size

    def chosen(self, option: str) -> Self:
        return replace(self, activation=option)

    @property
    def label(self) -> str:
        return f"activation {self.activation} {self.in_channels}"

    @property
    def takes_time(self) -> bool:
        return self.activation != "none"


@dataclass(frozen=True)
class HiddenPart(Compound):
    """A linear layer and its activation."""

    in_channels: int
    grid: int
    width: int
    activation: str

    @cached_property
    def pieces(self) -> tuple[tuple[str, Piece], ...]:
        linear = LinearPart(self.in_channels, self.grid, self.width)
        return ("linear", linear), ("activation", ActivationPart(self.width, self.activation))

    def composed(self, make: Callable[[str, Piece], nn.Module]) -> nn.Module:
        made = nn.Sequential()
        for name, piece in self.pieces:
            made.add_module(name, make(name, piece))
        return made

    def output_size(self, size: int) -> int:
        return size - self.grid + 1


@dataclass(frozen=True)
class LinkShape:
    """A grid or a hidden layer, and what its groups choose."""

    link: Any
    groups: tuple[Group, ...] = ()

    @property
    def placeless(self) -> tuple[int, ...]:
        return () if self.groups else (0,)

    def chosen(self, options: Iterable[str]) -> Any:
        options = list(options)
        return (self.link[0], options[0]) if options else self.link


@dataclass(frozen=True)
class GridProgram(LinkProgram):
    """How finely a picture is pooled. The link is the grid, and so is the state after it."""

    offered: tuple[int, ...]
    name: str = "pool"

    place = "grid"
    nothing = "none"
    feature_names = ("grid",)

    def shape(self, state: int, choose: Choose) -> LinkShape:
        return LinkShape(decide(choose, "pool.grid", self.offered))

    def choice(self, group: Group, choose: Choose) -> str:
        raise AssertionError("a grid has no groups")

    def parts(self, link: int, state: int) -> Sequence[Part]:
        return [PoolPart(3, link)]

    def after(self, link: int) -> int:
        return link

    def key(self, link: int) -> Hashable:
        return link

    def options_of(self, link: int) -> Sequence[str]:
        return ("none",)

    def size(self, shape: Shape, state: int) -> tuple[int, ...]:
        return (shape.link,)

    def canonical(self, link: int, state: int, shapes: Sequence[Shape]) -> int | None:
        return link if link in self.offered else None

    def told(self, link: int) -> str:
        return f"grid {link}"

    def features(self, link: int) -> tuple[float, ...]:
        return (float(link),)


@dataclass(frozen=True)
class HiddenProgram(LinkProgram):
    """The hidden layer. The link is its width and its activation, the state before it the grid."""

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    name: str = "hidden"

    place = "width"
    nothing = "none"

    def shape(self, state: int, choose: Choose) -> LinkShape:
        width = decide(choose, "hidden.width", self.widths)
        return LinkShape((width, "none"), (Group("hidden", (0,), (width,)),))

    def choice(self, group: Group, choose: Choose) -> str:
        return decide(choose, f"{group.name}.activation", self.activations)

    def parts(self, link: tuple[int, str], state: int) -> Sequence[Part]:
        return [HiddenPart(3, state, *link)]

    def after(self, link: tuple[int, str]) -> int:
        return link[0]

    def key(self, link: tuple[int, str]) -> Hashable:
        return link[0]

    def options_of(self, link: tuple[int, str]) -> Sequence[str]:
        return link[1:]

    def size(self, shape: Shape, state: int) -> tuple[int, ...]:
        return (shape.link[0],)

    def canonical(self, link: tuple[int, str], state: int, shapes: Sequence[Shape]) -> Any:
        return link if link[0] in self.widths and link[1] in self.activations else None

    def told(self, link: tuple[int, str]) -> str:
        return f"width {link[0]}, {link[1]}"

    @property
    def feature_names(self) -> tuple[str, ...]:
        return "log2 width", *self.activations

    def features(self, link: tuple[int, str]) -> tuple[float, ...]:
        return log2(link[0]), *(float(link[1] == one) for one in self.activations)


@SPACE_KINDS.register("pooled")
@dataclass(frozen=True)
class PooledSpace(SearchSpace):
    """Options of three decisions."""

    name: str
    resolution: tuple[int, ...]
    grid: tuple[int, ...]
    width: tuple[int, ...]
    activation: tuple[str, ...]

    family = "pooled"
    start = 0
    stem_parts = ()

    @cached_property
    def programs(self) -> tuple[LinkProgram, ...]:
        return GridProgram(self.grid), HiddenProgram(self.width, self.activation)

    def tail_parts(self, state: int, head: Head) -> Sequence[Part]:
        return [head.part(state)]

    def architecture(self, resolution: int, links: Sequence[Any]) -> PooledArchitecture:
        grid, (width, activation) = links
        return PooledArchitecture(resolution, grid, width, activation)

    def links(self, architecture: Architecture) -> Sequence[Any] | None:
        if not isinstance(architecture, PooledArchitecture):
            return None
        return architecture.grid, (architecture.width, architecture.activation)

    def stored_pieces(self, head: Head, *, own_kernels: bool) -> Iterator[tuple[str, list[tuple[str, Piece]]]]:
        yield "hidden", [("linear", LinearPart(3, max(self.grid), max(self.width)))]
        yield "classifier", [("", head.part(max(self.width)))]

    def widest(self, *, own_kernels: bool) -> list[tuple[str, Architecture]]:
        return [("largest", self.extreme(lambda name, options: options[0], largest=True))]

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **asdict(self)}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        return cls(**{name: value if name == "name" else tuple(value) for name, value in data.items()})


@NETWORKS.register("pooled")
class PooledNetwork(Network):
    """An MLP on pooled pixels."""

    family = "pooled"

    def __init__(self, architecture: PooledArchitecture, num_classes: Head | int, create: Create = fresh):
        super().__init__(architecture, num_classes)
        modules = {name: create(name, part) for name, part in self.parts(architecture, num_classes)}
        self.pool, self.hidden, self.classifier = modules.values()
        self.info = (FeatureMap("hidden", architecture.width, architecture.resolution),)

    @classmethod
    def parts(cls, architecture: PooledArchitecture, head: Head | int) -> Sequence[tuple[str, Part]]:
        grid, width = architecture.grid, architecture.width
        hidden = HiddenPart(3, grid, width, architecture.activation)
        return [("pool", PoolPart(3, grid)), ("hidden", hidden), ("classifier", as_head(head).part(width))]

    def features(self, images: Tensor) -> list[Tensor]:
        return [self.last_map(images)]

    def last_map(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.hidden(self.pool(images))
        return hidden

    def blocks(self) -> Sequence[nn.Module]:
        return [self.hidden]

    def stemmed(self, images: Tensor) -> Tensor:
        pooled: Tensor = self.pool(images)
        return pooled


@SPACES.register("pooled-32")
def pooled_32() -> PooledSpace:
    """For the handwritten digits."""
    return PooledSpace("pooled-32", (32,), (2, 4, 8), (8, 16, 24, 32), ("relu", "silu"))


CLASSES["pooled-32"] = 10
