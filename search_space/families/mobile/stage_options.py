"""What a stage may be: the options of its decisions, before any is made."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from foundation.errors import InputError
from foundation.json_files import shown
from search_space import attention as attention_ops
from search_space.architecture import Attention
from search_space.families.mobile.architecture import MAX_DEPTH, Stage
from search_space.families.mobile.blocks import block_structure, blocks, stage_blocks
from search_space.parts import ACTIVATIONS, NO_ATTENTION
from search_space.space import check_options


@dataclass(frozen=True)
class StageOptions:
    """What a stage may be: its options in each dimension, and what is fixed.

    Attributes:
        block: the name of one, or of several to choose from.
        width: without any the stage keeps the width before it.
        activation: of its blocks; None for the space's own.
        start_kernel_size: of the depthwise convolution before the expansion, for blocks that may have one.
    """

    block: str | tuple[str, ...]
    stride: int
    width: tuple[int, ...]
    depth: tuple[int, ...]
    expansion: tuple[int | float, ...]
    kernel_size: tuple[int, ...]
    attention: tuple[Attention, ...]
    activation: str | None = None
    start_kernel_size: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        check_options("block", self.blocks)
        for block in self.blocks:
            if block not in blocks():
                raise InputError(f"block: {shown(block)} is unknown; known: {', '.join(blocks())}")
        for name in ("width", "depth", "expansion", "kernel_size", "start_kernel_size", "attention"):
            if name != "width" or self.width != ():
                check_options(name, getattr(self, name))
        for depth in self.depth:
            if type(depth) is not int or not 0 <= depth <= MAX_DEPTH:
                raise InputError(f"depth: expected integers from 0 to {MAX_DEPTH}, got {shown(depth)}")
        if 0 in self.depth and self.stride != 1:
            raise InputError("depth: a stage of stride 2 cannot be left out; offer depths from 1")
        # A stage checks its own fields: every option is tried in one.
        first = self.stage(self.blocks[0], self.widths_after((1,))[0])
        for name in ("width", "expansion", "kernel_size", "start_kernel_size"):
            for value in getattr(self, name):
                replace(first, **{name: value})
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise InputError(f"activation: {shown(self.activation)} is unknown; known: {', '.join(ACTIVATIONS)}")
        for block in self.blocks:
            distinct_values(self.stage(block, first.width), 1, "relu", "start_kernel_size", self.start_kernel_size)
        for attention in self.attention:
            try:
                attention_ops.structure(attention, 8)
            except InputError as error:
                raise InputError(f"attention: {error}") from None

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks to choose from."""
        return self.block if isinstance(self.block, tuple) else (self.block,)

    def widths_after(self, before: tuple[int, ...]) -> tuple[int, ...]:
        """The widths that there may be after the stage, of those that there may be before it.

        One that keeps its width, or is left out, leaves those before it.
        """
        if not self.width:
            return before
        return tuple(dict.fromkeys((*self.width, *before))) if 0 in self.depth else self.width

    def stage(self, block: str, width: int, depth: int = 1) -> Stage:
        """A stage of that shape; its kernels are the largest, which every block can have that has any."""
        return Stage(
            block,
            width,
            self.stride,
            self.expansion[0],
            max(self.kernel_size),
            (NO_ATTENTION,) * depth,
            self.activation,
            self.start_kernel_size[0],
        )


@lru_cache(maxsize=1 << 16)
def distinct_values(
    stage: Stage, in_width: int, activation: str, what: str, offered: tuple[int | float, ...]
) -> tuple[int | float, ...]:
    """The values of a stage's field that give different networks after `in_width` channels: of twins, the first.

    Raises InputError if the block can have none of them.
    """
    first: dict[tuple[object, ...], int | float] = {}
    refused = None
    for value in offered:
        changed: dict[str, Any] = {what: value}
        parts = dict.fromkeys(stage_blocks(replace(stage, **changed), in_width, activation))
        try:
            first.setdefault(tuple(block_structure(part) for part in parts), value)
        except InputError as error:
            refused = error
    if refused is not None and not first:
        raise refused
    return tuple(first.values())
