"""How far the kernels of stages are spread, where maps are not to get as coarse as their strides would make them."""

from collections.abc import Sequence
from typing import NamedTuple

from foundation.errors import InputError
from foundation.json_files import shown


class Spread(NamedTuple):
    """How far a stage's kernels are spread, so that its map is not made smaller (arXiv:1706.05587, section 3.1).

    Attributes:
        dilation: of the kernels until a stride would come: how many times finer the stage's input is than its stages'
            strides say.
        unstrided: whether the stage's own stride is left out; what follows it is then dilated as much more.
    """

    dilation: int = 1
    unstrided: bool = False


PLAIN = Spread()


def spreads(stem_stride: int, strides: Sequence[int], output_stride: int | None) -> tuple[Spread, ...]:
    """How far the kernels of each stage of these strides are spread, so that no map is coarser than `output_stride`."""
    total, dilation = stem_stride, 1
    found = []
    for stride in strides:
        unstrided = output_stride is not None and total * stride > output_stride
        found.append(Spread(dilation, unstrided))
        if unstrided:
            dilation *= stride
        else:
            total *= stride
    return tuple(found)


def check_output_stride(value: object, stem_stride: int, strides: Sequence[int]) -> None:
    """Raises InputError if no map of a network of these strides is of that stride, or if the last is by itself."""
    known = [stem_stride]
    for stride in strides:
        known.append(known[-1] * stride)
    finer = list(dict.fromkeys(known))[:-1]
    if not finer:
        raise InputError(f"output_stride: {shown(value)}, but the network's only one is {stem_stride}; leave it out")
    if type(value) is not int or value not in finer:
        told = ", ".join(map(str, finer))
        raise InputError(f"output_stride: expected {told} (the network's own is {known[-1]}), got {shown(value)}")
