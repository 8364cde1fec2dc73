"""The decision program of one stage: first its shape, then the attention of its blocks.

A shape is everything but attention. Its blocks that have a place for attention are in groups that decide together:
one group a stage, or one a block. What a group may choose depends on the shape alone, so a stage's outcomes are, for
each shape, all combinations of its groups' choices.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log2
from typing import Any

from search_space.architecture import Attention
from search_space.attention_choice import choose_attention, first_alike
from search_space.chain import Group, LinkProgram, Shape
from search_space.decisions import Choose, decide
from search_space.families.mobile.architecture import Stage
from search_space.families.mobile.blocks import BlockPart, block_structure, stage_blocks
from search_space.families.mobile.spread import PLAIN, Spread
from search_space.families.mobile.stage_options import StageOptions, distinct_values
from search_space.parts import NO_ATTENTION

ATTENTION_PER = ("stage", "block")
_FEATURES = ("log2 width", "depth", "expansion", "kernel_size", "log2 reduction")


@dataclass(frozen=True)
class StageShape:
    """A stage without attention, and the groups of blocks that have a place for one."""

    link: Stage
    groups: tuple[Group, ...]

    @property
    def placeless(self) -> tuple[int, ...]:
        """The blocks without a place for attention."""
        placed = {block for group in self.groups for block in group.blocks}
        return tuple(block for block in range(self.link.depth) if block not in placed)

    def chosen(self, options: Iterable[Attention]) -> Stage:
        """The stage with these attentions, one a group."""
        placed = list(self.link.attention)
        for group, attention in zip(self.groups, options, strict=True):
            for block in group.blocks:
                placed[block] = attention
        return replace(self.link, attention=tuple(placed))


@dataclass(frozen=True)
class StageProgram(LinkProgram):
    """The decisions of one stage; its name is `stage{i}`, and the state before it the number of channels."""

    name: str
    offered: StageOptions
    activation: str
    attention_per: str
    spread: Spread = PLAIN

    nothing = NO_ATTENTION

    @property
    def place(self) -> str:
        """Its field in an architecture."""
        return f"stages[{self.name.removeprefix('stage')}]"

    def shape(self, state: int, choose: Choose) -> StageShape:
        """The shape that `choose` decides, after `state` channels."""
        options, in_width = self.offered, state
        widths = options.width or (in_width,)
        if 0 in options.depth:  # without blocks there is no width to decide
            depth = decide(choose, f"{self.name}.depth", options.depth)
            if depth == 0:
                return StageShape(self.left_out(in_width), ())
            block = decide(choose, f"{self.name}.block", options.blocks)
            width = decide(choose, f"{self.name}.width", widths)
        else:
            block = decide(choose, f"{self.name}.block", options.blocks)
            width = decide(choose, f"{self.name}.width", widths)
            depth = decide(choose, f"{self.name}.depth", options.depth)
        stage = options.stage(block, width, depth)
        # Block, width and depth can leave no difference between expansions or kernels, and all of them none between
        # ratios: of twins only the first is offered.
        stage = self._decide_twinless(choose, "start_kernel_size", stage, in_width, options.start_kernel_size)
        stage = self._decide_twinless(choose, "expansion", stage, in_width, options.expansion)
        stage = self._decide_twinless(choose, "kernel_size", stage, in_width, options.kernel_size)
        channels = tuple(part.attention_channels for part in stage_blocks(stage, in_width, self.activation))
        places = tuple(block for block, count in enumerate(channels) if count is not None)
        if self.attention_per == "block":
            groups = [Group(f"{self.name}.block{block}", (block,), (channels[block] or 0,)) for block in places]
        else:
            distinct = tuple(dict.fromkeys(channels[block] or 0 for block in places))
            groups = [Group(self.name, places, distinct)] if places else []
        return StageShape(stage, tuple(groups))

    def left_out(self, state: int) -> Stage:
        """The stage without blocks, after `state` channels."""
        options = self.offered
        return replace(options.stage(options.blocks[0], state, 0), kernel_size=options.kernel_size[0])

    def choice(self, group: Group, choose: Choose) -> Attention:
        """The attention that `choose` decides for a group of blocks."""
        return choose_attention(choose, group, self.offered.attention)

    def parts(self, link: Stage, state: int) -> Sequence[BlockPart]:
        """The stage's blocks."""
        return stage_blocks(link, state, self.activation, self.spread)

    def after(self, link: Stage) -> int:
        """The stage's width."""
        return link.width

    def key(self, link: Stage) -> Hashable:
        """Everything but attention."""
        shape = link.block, link.width, link.stride, link.expansion, link.kernel_size, link.depth
        return *shape, link.activation, link.start_kernel_size

    def options_of(self, link: Stage) -> tuple[Attention, ...]:
        """Each block's attention."""
        return link.attention

    def size(self, shape: Shape, state: int) -> tuple[int, ...]:
        """Whether it has blocks, width, depth, the channels within its blocks, kernels.

        Of the expansions, a ratio that some blocks divide by and that rules on their least channels can overrule, the
        largest has most channels.
        """
        stage: Stage = shape.link
        inner = sum(piece.in_channels for part in self.parts(stage, state) for _, piece in part.pieces)
        return bool(stage.depth), stage.width, stage.depth, inner, stage.kernel_size, stage.start_kernel_size

    def told(self, link: Stage) -> str:
        """The stage's fields."""
        if link.depth == 0:
            return f"{link.block}, left out after width {link.width}"
        start = f"start kernel {link.start_kernel_size}, " if link.start_kernel_size else ""
        activation = "" if link.activation is None else f"{link.activation}, "
        return (
            f"{link.block}, width {link.width}, depth {link.depth}, expansion {link.expansion}, {start}kernel "
            f"{link.kernel_size}, {activation}{link.attention_label}"
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """See `features`."""
        blocks = tuple(f"is {block}" for block in self._further_blocks)
        start = ("start_kernel_size",) if self._starts else ()
        return _FEATURES + tuple(f"share of {kind}" for kind in self._offered_kinds) + start + blocks

    @property
    def _further_blocks(self) -> tuple[str, ...]:
        return self.offered.blocks[1:]

    @property
    def _starts(self) -> bool:
        return self.offered.start_kernel_size != (0,)

    def features(self, link: Stage) -> tuple[float, ...]:
        """log2 of its width, depth, expansion, kernel size, the mean over its blocks of log2 of the reduction ratio
        (0 without), and each attention kind's share of its blocks. Where they are offered, also the kernel size at its
        blocks' start, and which of several blocks it has. Of a stage that is left out only the width.
        """
        if link.depth == 0:
            return (log2(link.width), *(0.0 for _ in self.feature_names[1:]))
        kinds = [attention.kind for attention in link.attention]
        ratios = [log2(attention.reduction or 1) for attention in link.attention]
        return (
            log2(link.width),
            link.depth,
            link.expansion,
            link.kernel_size,
            sum(ratios) / len(ratios),
            *(kinds.count(kind) / len(kinds) for kind in self._offered_kinds),
            *([link.start_kernel_size] if self._starts else []),
            *(float(link.block == block) for block in self._further_blocks),
        )

    @cached_property
    def _offered_kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(attention.kind for attention in (NO_ATTENTION, *self.offered.attention)))

    def canonical(self, link: Stage, state: int, shapes: Sequence[Shape]) -> Stage | None:
        """Of the stages with one of the `shapes`, the same network as `link`: itself or a twin; None if none is."""
        stage, in_width = link, state
        plain = replace(stage, attention=(NO_ATTENTION,) * stage.depth)
        meant = self._structure(stage, in_width)
        twins = (shape for shape in shapes if self._structure(shape.link, in_width) == meant)
        shape = next((shape for shape in shapes if shape.link == plain), None) or next(twins, None)
        if shape is None or any(stage.attention[block] != NO_ATTENTION for block in shape.placeless):
            return None
        own = stage_blocks(stage, in_width, self.activation)
        found = []
        for group in shape.groups:
            wanted = [(stage.attention[block], own[block].attention_channels or 1) for block in group.blocks]
            same = first_alike(self.options(group), wanted)
            if same is None:
                return None
            found.append(same)
        placed: Stage = shape.chosen(found)
        return placed

    def _structure(self, stage: Stage, in_width: int) -> tuple[object, ...]:
        """Equal exactly for stages that are the same network after `in_width` channels, attention aside."""
        return tuple(block_structure(block) for block in stage_blocks(stage, in_width, self.activation))

    def _decide_twinless(
        self, choose: Choose, what: str, stage: Stage, in_width: int, offered: tuple[int | float, ...]
    ) -> Stage:
        """The stage with one of the values that differ; the options are part of the name where not all do."""
        if len(offered) == 1:
            return stage
        values = distinct_values(stage, in_width, self.activation, what, offered)
        name = f"{self.name}.{what}"
        if len(values) < len(offered):
            name += f"({','.join(map(str, values))})"
        decided: dict[str, Any] = {what: decide(choose, name, values)}
        return replace(stage, **decided)
