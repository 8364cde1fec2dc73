"""What an architecture costs, counted and not guessed.

MACs are multiply-accumulates of convolutions and linear layers for one square image, by torch's own formulas at
dispatch level: every distinct piece of a network is run once on the meta device, and an architecture's cost is a sum.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from foundation.amounts import with_unit
from foundation.errors import InputError
from foundation.json_files import MAX_INTEGER, shown
from search_space.architecture import Architecture
from search_space.cost.latency import LatencyTable
from search_space.head import Head
from search_space.network import is_of_head, parts
from search_space.parts import Addition, Part, Piece


@dataclass(frozen=True, order=True)
class Cost:
    """Cost of one image. Plain integers.

    Attributes:
        macs: multiply-accumulates of convolutions and linear layers.
        params: trainable parameters.
        elementwise: elements that all other operations go through: normalisation, activation, gating, addition and
            concatenation by the elements they write, pooling by those it reads. Not compared, since it follows no
            convention that others share.
        latency_ns: nanoseconds by a latency table; 0 without one. Not compared.
    """

    macs: int = 0
    params: int = 0
    elementwise: int = field(default=0, compare=False)
    latency_ns: int = field(default=0, compare=False)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.macs + other.macs,
            self.params + other.params,
            self.elementwise + other.elementwise,
            self.latency_ns + other.latency_ns,
        )

    def to_dict(self) -> dict[str, int]:
        """What results say of a cost: MACs, parameters, and the latency where it is known."""
        known = {"latency_ns": self.latency_ns} if self.latency_ns else {}
        return {"macs": self.macs, "params": self.params, **known}

    @classmethod
    def from_dict(cls, data: object) -> "Cost":
        """The cost that `to_dict` described, of a mapping that may hold more. Raises InputError naming the field."""
        if not isinstance(data, Mapping):
            raise InputError(f"cost: expected an object, got {shown(data)}")
        values = {"latency_ns": 0, **data}
        for name in ("macs", "params", "latency_ns"):
            if name not in values:
                raise InputError(f"{name}: missing")
            if type(values[name]) is not int or not 0 <= values[name] < MAX_INTEGER:
                raise InputError(f"{name}: expected an integer from 0, got {shown(values[name])}")
        return cls(values["macs"], values["params"], latency_ns=values["latency_ns"])


@dataclass(frozen=True)
class Budget:
    """Upper bounds, inclusive; None where a cost is free."""

    max_macs: int | None = None
    max_params: int | None = None
    max_latency_ns: int | None = None

    def __post_init__(self) -> None:
        named = (("max_macs", self.max_macs), ("max_params", self.max_params), ("max_latency_ns", self.max_latency_ns))
        for name, bound in named:
            if bound is not None and (type(bound) is not int or bound < 1):
                raise InputError(f"{name}: expected a positive integer, got {shown(bound)}")

    def bounds(self) -> list[tuple[str, int]]:
        """The bounded costs: the Cost field's name and its bound."""
        named = (("macs", self.max_macs), ("params", self.max_params), ("latency_ns", self.max_latency_ns))
        return [(name, bound) for name, bound in named if bound is not None]

    def excess(self, cost: Cost) -> float:
        """How far over the budget, as a fraction of it: at most 0 exactly if every bound holds."""
        return max(((getattr(cost, name) - bound) / bound for name, bound in self.bounds()), default=0.0)

    def allows(self, cost: Cost) -> bool:
        """Whether every bound holds."""
        return all(getattr(cost, name) <= bound for name, bound in self.bounds())

    def __str__(self) -> str:
        return " and ".join(with_unit(name, bound) for name, bound in self.bounds()) or "no bound"


FULL = 0.92
"""The share of a budget from which on a network fills it."""

BOUNDED_BY = {"macs": "max_macs", "params": "max_params", "latency_ns": "max_latency_ms"}
"""The setting that bounds a cost, by the Cost field's name."""


class Counter(TorchDispatchMode):
    """Counts the MACs and the elementwise work of what runs inside it, on any device, `meta` among them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.elementwise = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Else the first count imports torch's compiler, 1.7 s, to keep it out of a mode that nothing here compiles.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = _meta_shortcut(func, args, kwargs)
        if out is None:
            out = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if func.overloadpacket is torch.ops.aten.convolution:  # as the registry's formula, on shapes alone
            self.macs += conv_flop_count(args[0].shape, args[1].shape, out.shape, transposed=args[6]) // 2
        elif formula is not None:
            self.macs += formula(*args, **kwargs, out_val=out) // 2
        elif not func.is_view:
            self.elementwise += max(_largest(args), _largest((out,)))
        return out


_SAME_SHAPE = frozenset(
    getattr(torch.ops.aten, name)
    for name in (
        "sigmoid",
        "hardsigmoid",
        "hardswish",
        "hardswish_",
        "hardtanh",
        "hardtanh_",
        "relu",
        "relu_",
        "silu",
        "silu_",
    )
)
_BROADCAST = frozenset(getattr(torch.ops.aten, name) for name in ("mul", "add"))
_NOTHING = torch.empty(0, device="meta")


def _meta_shortcut(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a frequent operation on meta tensors returns, without running it: torch takes up to 1 ms for each.

    And 1.7 s for the first of some, for which it imports its compiler.

    There are no values, so the input itself stands for a result of its shape. None for any other operation.
    """
    if not args or kwargs:
        return None
    packet = func.overloadpacket
    if packet is torch.ops.aten.cat and all(part.is_meta for part in args[0]):
        axis = args[1] if len(args) > 1 else 0
        shape = list(args[0][0].shape)
        shape[axis] = sum(part.shape[axis] for part in args[0])
        return torch.empty(shape, device="meta")
    x = args[0]
    if not isinstance(x, Tensor) or not x.is_meta:
        return None
    if packet in _SAME_SHAPE:
        return x
    if packet in _BROADCAST and isinstance(args[1], Tensor):
        axes = zip_longest(reversed(x.shape), reversed(args[1].shape), fillvalue=1)
        return torch.empty([max(sizes) for sizes in axes][::-1], device="meta")
    if packet is torch.ops.aten.convolution and not args[6]:
        weight, (stride, padding, dilation) = args[1], args[3:6]
        kernel = weight.shape[2:]
        out = [
            (size + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1
            for axis, size in enumerate(x.shape[2:])
        ]
        return torch.empty(len(x), len(weight), *out, device="meta")
    if packet is torch.ops.aten.addmm:
        return torch.empty(args[1].shape[0], args[2].shape[1], device="meta")
    if packet is torch.ops.aten.native_batch_norm:
        return x, _NOTHING, _NOTHING
    if func is torch.ops.aten.mean.dim and args[1]:
        dims = {axis % x.ndim for axis in args[1]}
        keep = len(args) > 2 and args[2]
        shape = [1 if axis in dims else size for axis, size in enumerate(x.shape) if keep or axis not in dims]
        return torch.empty(shape, device="meta")
    return None


def _largest(values: Sequence[Any]) -> int:
    return max((value.numel() for value in values if isinstance(value, Tensor)), default=0)


@functools.lru_cache(maxsize=1 << 14)
def _meta_module(piece: Piece) -> tuple[torch.nn.Module, int]:
    """The piece's module without storage, and its number of parameters."""
    with torch.device("meta"):
        module = piece.create().eval()
    return module, sum(parameter.numel() for parameter in module.parameters())


def _count(piece: Piece, size: int) -> Cost:
    """Cost of a piece on `size`×`size` pixels, by running it."""
    module, params = _meta_module(piece)
    x = torch.empty(1, *piece.input_shape(size), device="meta")
    with torch.no_grad(), Counter() as counter:
        module(x)
    return Cost(counter.macs, params, counter.elementwise)


@functools.lru_cache(maxsize=1 << 16)
def _cost_per_pixel(piece: Piece) -> Cost:
    return _count(piece, 1)


@functools.lru_cache(maxsize=1 << 18)
def piece_cost(piece: Piece, size: int, latency: LatencyTable | None = None) -> Cost:
    """Cost of a piece on an input of `size`×`size` pixels. Raises InputError for a piece that the table lacks."""
    if latency is not None:
        return piece_cost(piece, size) + Cost(latency_ns=latency.nanoseconds(piece, size))
    if piece.per_pixel:
        pixels = piece.output_size(size) ** 2
        one = _cost_per_pixel(piece)
        return Cost(one.macs * pixels, one.params, one.elementwise * pixels)
    return _count(piece, size)


@functools.lru_cache(maxsize=1 << 18)
def part_cost(part: Part, size: int, latency: LatencyTable | None = None) -> Cost:
    """Cost of a part on an input of `size`×`size` pixels. Raises InputError for a piece that the table lacks."""
    total = Cost()
    if part.skips:
        adding = 0 if latency is None else latency.nanoseconds(Addition(part.in_channels), size)
        total = Cost(elementwise=part.in_channels * size * size, latency_ns=adding)
    for _, piece in part.pieces:
        total += piece_cost(piece, size, latency)
        size = piece.output_size(size)
    return total


def fixed_cost(latency: LatencyTable | None) -> Cost:
    """What every network costs beside its parts."""
    return Cost(latency_ns=0 if latency is None else latency.constant_ns)


def costs_along(
    parts: Sequence[Part], sides: Sequence[int], latency: LatencyTable | None = None
) -> tuple[list[Cost], tuple[int, ...]]:
    """The costs of parts one after the other, for inputs of each of these sides, and the sides after them."""
    costs = []
    after = []
    for side in sides:
        total = Cost()
        for part in parts:
            total += part_cost(part, side, latency)
            side = part.output_size(side)
        costs.append(total)
        after.append(side)
    return costs, tuple(after)


def measure(architecture: Architecture, num_classes: Head | int = 1000, latency: LatencyTable | None = None) -> Cost:
    """Cost of the architecture at its own resolution, its classifier or other head included: a sum over its parts."""
    backbone, head = measured_apart(architecture, num_classes, latency)
    return backbone + head


def measured_apart(
    architecture: Architecture, num_classes: Head | int = 1000, latency: LatencyTable | None = None
) -> tuple[Cost, Cost]:
    """What `measure` counts, of the backbone and of the head; what every network costs is the backbone's."""
    backbone, head, side = fixed_cost(latency), Cost(), architecture.resolution
    for name, part in parts(architecture, num_classes):
        own = part_cost(part, side, latency)
        if is_of_head(name):
            head += own
        else:
            backbone += own
        side = part.output_size(side)
    return backbone, head
