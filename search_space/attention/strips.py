"""Means along a map's rows and columns, and its product with a gate for each, in few passes over memory on a CPU.

A strip is N×L×1×C: a vector of channels for each of L rows or columns. Written plainly, a map whose channels are last
in memory is summed across its layout and multiplied by gates of another one, which takes several times as long as
reading and writing it, and the backward pass makes a map for every operation of the forward pass. Here either layout is
read as it lies, large batches some pictures at a time, so that a second pass finds them in the cache, and the input is
the only map that is kept for the backward pass.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CACHED = 1 << 19
"""Elements of the pictures that go through several passes together: 2 MiB of float32."""

LARGE = 1 << 20
"""Elements from which the row-major layout gains; below, the calls that are added take what is won."""

SHORT_ROW = 32
"""Columns up to which a product with a vector sums rows faster than `mean`."""


def pay(x: Tensor) -> bool:
    """Whether this file's functions are faster for N×C×H×W than plain operations, and allowed.

    For an ordinary float32 or float64 tensor on a CPU that is computed now: what compiles, exports, traces or
    transforms a network sees plain operations, and so do other devices, mixed precisions and maps with gaps in memory.
    """
    # Sizes come last: a tracer and a compiler would take note of questions about them.
    if (
        type(x) is not Tensor
        or torch.jit.is_tracing()  # type: ignore[no-untyped-call,attr-defined]
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch.is_autocast_enabled("cpu")
        or not x.is_cpu
        or x.dtype not in (torch.float32, torch.float64)
    ):
        return False
    if x.is_contiguous():
        return x.numel() >= LARGE
    return x.is_contiguous(memory_format=torch.channels_last)


def strip_means(x: Tensor) -> Tensor:
    """N×C×H×W, without gaps in memory, to N×(H+W)×1×C: the mean along each row, then along each column."""
    return _Means.apply(x) if torch.is_grad_enabled() else _means(x)


def gated(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """N×C×H×W, without gaps in memory, times the sigmoids of N×H×1×C and N×W×1×C."""
    if torch.is_grad_enabled():
        return _Gated.apply(x, rows, columns)
    return _product(x, rows.sigmoid(), columns.sigmoid())


class _Means(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.size = x.shape[2:]
        ctx.row_major = x.is_contiguous()
        return _means(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        height, width = ctx.size
        rows, columns = gradient.split(ctx.size, 1)
        rows, columns = rows / width, columns.transpose(1, 2) / height
        if ctx.row_major:
            return _row_major(rows) + _row_major(columns)
        return (rows + columns).permute(0, 3, 1, 2)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(x, rows, columns)
        return _product(x, rows.sigmoid(), columns.sigmoid())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # With y = x·s(r)·s(c), the gradient by r is the sum of gradient·y along the row, times 1 − s(r), and gradient·y
        # is x times the gradient by x: so that one map serves all three.
        x, rows, columns = ctx.saved_tensors
        size = height, width = x.shape[2:]
        layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        gradient = gradient.contiguous(memory_format=layout)
        row_gate, column_gate = rows.sigmoid(), columns.sigmoid()
        if _at_once(x):
            own = _product_of_part(gradient, row_gate, column_gate)
            means = _means_of_part(own * x)
        else:
            own = torch.empty_like(x)
            parts = _parts(gradient, row_gate, column_gate, own, x)
            means = torch.cat([_means_of_part(_product_of_part(*some).mul(part)) for *some, part in parts])
        row_means, column_means = means.split(size, 1)
        return own, row_means * (width - width * row_gate), column_means * (height - height * column_gate)


def _at_once(x: Tensor) -> bool:
    """Whether a map is not worth parting, or not to be: what is differentiated in turn must not be written in parts."""
    return x.numel() <= CACHED or torch.is_grad_enabled()


def _parts(x: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors, some pictures at a time."""
    count = max(1, CACHED * len(x) // x.numel())
    return zip(*(tensor.split(count) for tensor in (x, *others)), strict=True)


def _means(x: Tensor) -> Tensor:
    return _means_of_part(x) if _at_once(x) else torch.cat([_means_of_part(part) for (part,) in _parts(x)])


def _product(x: Tensor, row_gate: Tensor, column_gate: Tensor) -> Tensor:
    if _at_once(x):
        return _product_of_part(x, row_gate, column_gate)
    out = torch.empty_like(x)
    for part in _parts(x, row_gate, column_gate, out):
        _product_of_part(*part)
    return out


def _means_of_part(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    if not x.is_contiguous():
        # Pooling adds vectors of channels in the order of memory. For columns the vector is a whole row of pixels.
        rows = F.avg_pool2d(x, (1, width))
        lines = x.permute(0, 2, 3, 1).view(batch, height, 1, width * channels).permute(0, 3, 1, 2)
        columns = F.avg_pool2d(lines, (height, 1)).view(batch, width, 1, channels)
        return torch.cat((rows.permute(0, 2, 3, 1), columns), 1)
    if width > SHORT_ROW:
        rows = x.mean(3, keepdim=True)
    else:
        rows = torch.mv(x.view(-1, width), x.new_full((width,), 1 / width)).view(batch, channels, height, 1)
    return torch.cat((rows.permute(0, 2, 3, 1), x.mean(2, keepdim=True).permute(0, 3, 2, 1)), 1)


def _product_of_part(x: Tensor, row_gate: Tensor, column_gate: Tensor, out: Tensor | None = None) -> Tensor:
    """The map times gates of N×H×1×C and N×W×1×C; in `out`, of the same layout, where it is given."""
    column_gate = column_gate.transpose(1, 2)
    if x.is_contiguous():
        return torch.mul(_row_major(row_gate), _row_major(column_gate), out=out).mul_(x)
    into = None if out is None else out.permute(0, 2, 3, 1)
    return torch.mul(x.permute(0, 2, 3, 1), row_gate, out=into).mul_(column_gate).permute(0, 3, 1, 2)


def _row_major(strip: Tensor) -> Tensor:
    """N×H×W×C to N×C×H×W."""
    return strip.permute(0, 3, 1, 2).contiguous()
