"""The registry of attention ops, and the ops that the named spaces search.

A new op is one class and one line (in `search_space/attention/further.py`, which is imported with the package):

    @register("mine")
    class MyAttention(nn.Module):
        def __init__(self, channels: int): ...

Its constructor takes `channels`, and `reduction`, `activation` (a module class, the surrounding block's) and `classes`
(how many the network tells apart) where it wants them; an op is searched over reduction ratios exactly if it takes
`reduction`. Every op maps N×C×H×W to the same shape at any H and W. An op may have `make_constant()`, which sets its
gates to one number and returns it: so it can be put into a trained network without changing what that computes. From
its registration on an op is searched, shared, costed, drawn and put through the contract tests of the registry.
"""

import functools
import inspect
from collections.abc import Hashable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]
from torch.nn import functional as F

from foundation.errors import InputError
from foundation.registry import Registry
from search_space.architecture import Attention
from search_space.attention import strips

OPS: Registry[type[nn.Module]] = Registry("attention", ", or your own by `plugin` FILE.py")

register = OPS.register
"""Class decorator that makes an op known by a name."""


def kinds() -> tuple[str, ...]:
    """The registered kinds, in order of registration."""
    return OPS.names()


def takes_reduction(kind: str) -> bool:
    """Whether the op is searched over reduction ratios."""
    return "reduction" in _parameters(OPS.get(kind))


def takes_classes(kind: str) -> bool:
    """Whether the op tells the network's classes apart, and so differs with their number."""
    return "classes" in _parameters(OPS.get(kind))


def _parameters(op: type[nn.Module]) -> frozenset[str]:
    """What its constructor takes."""
    return _parameters_known(cast(Hashable, op))


@functools.cache
def _parameters_known(op: Any) -> frozenset[str]:
    """Every label of a piece asks, hundreds of thousands of times for a table of a space."""
    return frozenset(inspect.signature(op).parameters)


def create(attention: Attention, channels: int, activation: type[nn.Module], classes: int = 0) -> nn.Module:
    """The op for `channels` inside a block that uses `activation`, in a network of so many classes, 0 for none.

    Raises InputError for an unknown kind or ratio, and for an op that wants classes where there are none.
    """
    op = OPS.get(attention.kind)
    wanted = _parameters(op)
    arguments: dict[str, object] = {"channels": channels}
    if "activation" in wanted:
        arguments["activation"] = activation
    if ("reduction" in wanted) != (attention.reduction is not None):
        takes = "needs a reduction ratio" if "reduction" in wanted else "takes no reduction ratio"
        raise InputError(f"reduction: attention {attention.kind!r} {takes}, got {attention.reduction}")
    if "classes" in wanted:
        if not classes:
            raise InputError(f"attention {attention.kind!r}: has a probe of classes, which this network does not tell")
        arguments["classes"] = classes
    if attention.reduction is not None:
        arguments["reduction"] = attention.reduction
    return op(**arguments)


@functools.lru_cache(maxsize=4096)
def structure(attention: Attention, channels: int) -> str:
    """What tells the op apart from another at the same channels: two ratios of equal structure are the same network."""
    with torch.device("meta"):
        op = create(attention, channels, nn.ReLU6, classes=2)  # as many in both
    return f"{op!r} {[tuple(parameter.shape) for parameter in op.parameters()]}"


@register("none")
class NoAttention(nn.Identity):
    """No attention: the input as it is. No parameters, no MACs."""

    def __init__(self, channels: int):
        super().__init__()


@register("se")
class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation (arXiv:1709.01507, section 3), as the CA paper compares it.

    The mean over the map, reduced to `q = max(1, C // reduction)` channels and expanded to C gates. Its activation is
    the block's: ReLU6 in MobileNetV2, SiLU in EfficientNet. Parameters 2Cq + C + q, MACs 2Cq.
    """

    def __init__(self, channels: int, reduction: int, activation: type[nn.Module] = nn.ReLU6):
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation()
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)  # N×C×1×1
        gate = self.expand(self.activation(self.reduce(gate)))
        return x * gate.sigmoid()

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        for parameter in self.expand.parameters():
            nn.init.zeros_(parameter)
        return 0.5


@register("ca")
class CoordinateAttention(nn.Module):
    """Coordinate attention (arXiv:2103.02907, section 3.2).

    The mean along each row and along each column, reduced together to `m = max(8, C // reduction)` channels, and
    expanded apart to a gate for each row and a gate for each column. Parameters 3Cm + 3m + 2C, MACs 2Cm(H + W).
    """

    def __init__(self, channels: int, reduction: int):
        super().__init__()
        reduced = max(8, channels // reduction)
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.norm = nn.BatchNorm2d(reduced)
        self.activation = nn.Hardswish()
        self.height = nn.Conv2d(reduced, channels, 1)
        self.width = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # Nested, so that what is compiled as TorchScript does not see it.
        if not is_scripting():  # noqa: SIM102
            if strips.pay(x):
                return self._in_strips(x)
        return self.plain(x)

    def plain(self, x: Tensor) -> Tensor:
        """The same by plain operations on whole maps: the definition, and what compilers and exporters are shown."""
        height, width = x.shape[2:]
        # Plain means: adaptive pooling would freeze the input size in an exported network.
        rows = x.mean(3, keepdim=True)  # N×C×H×1
        columns = x.mean(2, keepdim=True).transpose(2, 3)  # N×C×W×1
        mixed = self.activation(self.norm(self.reduce(torch.cat((rows, columns), 2))))  # N×m×(H+W)×1
        rows, columns = mixed.split((height, width), 2)
        row_gate = self.height(rows).sigmoid()  # N×C×H×1
        column_gate = self.width(columns).sigmoid().transpose(2, 3)  # N×C×1×W
        return x * column_gate * row_gate

    def _in_strips(self, x: Tensor) -> Tensor:
        """The same with strips of channels, by fewer passes over the map."""
        means = _pointwise(self.reduce, strips.strip_means(x)).permute(0, 3, 1, 2)  # N×m×(H+W)×1
        mixed = self.activation(self.norm(means)).permute(0, 2, 3, 1)
        rows, columns = mixed.split(x.shape[2:], 1)  # N×H×1×m, N×W×1×m
        return strips.gated(x, _pointwise(self.height, rows), _pointwise(self.width, columns))

    def make_constant(self) -> float:
        """Sets every gate to the same number, which it returns, whatever the input."""
        for parameter in (*self.height.parameters(), *self.width.parameters()):
            nn.init.zeros_(parameter)
        return 0.25


def _pointwise(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """The 1×1 convolution of channels in the last dimension, as a product of matrices.

    A convolution that is no longer just that, by hooks, a parametrisation or a module in its place, is called.
    """
    hooks = convolution._forward_pre_hooks or convolution._forward_hooks
    if type(convolution) is not nn.Conv2d or hooks or convolution._backward_pre_hooks or convolution._backward_hooks:
        return cast(Tensor, convolution(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
    weight = convolution.weight
    return F.linear(x, weight.view(weight.shape[:2]), convolution.bias)
