"""The decision program of one stage: first its shape, then the attention of its blocks.

A shape is everything but attention. Its blocks that have a place for attention are in groups that decide together:
one group a stage, or one a block. What a group may choose depends on the shape alone, so a stage's outcomes are, for
each shape, all combinations of its groups' choices.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import log2
from typing import Any

from foundation.errors import InputError
from foundation.json_files import shown
from search_space import attention as attention_ops
from search_space.architecture import Attention
from search_space.chain import Group, LinkProgram, Shape
from search_space.decisions import Choose, decide
from search_space.families.mobile.architecture import MAX_DEPTH, PLAIN, Spread, Stage
from search_space.families.mobile.blocks import BlockPart, block_structure, blocks, stage_blocks
from search_space.parts import NO_ATTENTION

ATTENTION_PER = ("stage", "block")
_FEATURES = ("log2 width", "depth", "expansion", "kernel_size", "log2 reduction")
MOST_OPTIONS = 4096  # in one dimension


@dataclass(frozen=True)
class StageOptions:
    """What a stage may be: its options in each dimension, and what is fixed."""

    block: str
    stride: int
    width: tuple[int, ...]
    depth: tuple[int, ...]
    expansion: tuple[int, ...]
    kernel_size: tuple[int, ...]
    attention: tuple[Attention, ...]

    def __post_init__(self) -> None:
        if self.block not in blocks():
            raise InputError(f"block: {shown(self.block)} is unknown; known: {', '.join(blocks())}")
        for name in ("width", "depth", "expansion", "kernel_size", "attention"):
            check_options(name, getattr(self, name))
        for depth in self.depth:
            if type(depth) is not int or not 0 <= depth <= MAX_DEPTH:
                raise InputError(f"depth: expected integers from 0 to {MAX_DEPTH}, got {shown(depth)}")
        if 0 in self.depth and self.stride != 1:
            raise InputError("depth: a stage of stride 2 cannot be left out; offer depths from 1")
        # A stage checks its own fields: every option is tried in one.
        first = Stage(self.block, self.width[0], self.stride, self.expansion[0], self.kernel_size[0], (NO_ATTENTION,))
        for name in ("width", "expansion", "kernel_size"):
            for value in getattr(self, name):
                replace(first, **{name: value})
        for attention in self.attention:
            try:
                attention_ops.structure(attention, 8)
            except InputError as error:
                raise InputError(f"attention: {error}") from None


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
        if 0 in options.depth:  # without blocks there is no width to decide
            depth = decide(choose, f"{self.name}.depth", options.depth)
            if depth == 0:
                return StageShape(self._left_out(in_width), ())
            width = decide(choose, f"{self.name}.width", options.width)
        else:
            width = decide(choose, f"{self.name}.width", options.width)
            depth = decide(choose, f"{self.name}.depth", options.depth)
        none = (NO_ATTENTION,) * depth
        stage = Stage(options.block, width, options.stride, options.expansion[0], options.kernel_size[0], none)
        # Width and depth can leave no difference between expansions or kernels, and all of them none between ratios:
        # of twins only the first is offered.
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

    def _left_out(self, state: int) -> Stage:
        """The stage without blocks, after `state` channels."""
        options = self.offered
        return Stage(options.block, state, options.stride, options.expansion[0], options.kernel_size[0], ())

    def choice(self, group: Group, choose: Choose) -> Attention:
        """The attention that `choose` decides for a group of blocks."""
        kind = decide(choose, f"{group.name}.attention", _kinds(self.offered.attention))
        ratios = _distinct_ratios(self.offered.attention, kind, group.channels)
        if not ratios:
            return Attention(kind)
        return Attention(kind, decide(choose, f"{group.name}.{kind}_reduction({','.join(map(str, ratios))})", ratios))

    def parts(self, link: Stage, state: int) -> list[BlockPart]:
        """The stage's blocks."""
        return stage_blocks(link, state, self.activation, self.spread)

    def after(self, link: Stage) -> int:
        """The stage's width."""
        return link.width

    def key(self, link: Stage) -> Hashable:
        """Everything but attention."""
        return link.block, link.width, link.stride, link.expansion, link.kernel_size, link.depth

    def options_of(self, link: Stage) -> tuple[Attention, ...]:
        """Each block's attention."""
        return link.attention

    def size(self, shape: Shape, state: int) -> tuple[int, ...]:
        """Whether it has blocks, width, depth, the channels within its blocks, kernel.

        Of the expansions, a ratio that some blocks divide by and that rules on their least channels can overrule, the
        largest has most channels.
        """
        stage: Stage = shape.link
        inner = sum(piece.in_channels for part in self.parts(stage, state) for _, piece in part.pieces)
        return bool(stage.depth), stage.width, stage.depth, inner, stage.kernel_size

    def told(self, link: Stage) -> str:
        """The stage's fields."""
        if link.depth == 0:
            return f"{link.block}, left out after width {link.width}"
        return (
            f"{link.block}, width {link.width}, depth {link.depth}, expansion {link.expansion}, kernel "
            f"{link.kernel_size}, {link.attention_label}"
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """See `features`."""
        return _FEATURES + tuple(f"share of {kind}" for kind in self._offered_kinds)

    def features(self, link: Stage) -> tuple[float, ...]:
        """log2 of its width, depth, expansion, kernel size, the mean over its blocks of log2 of the reduction ratio
        (0 without), and each attention kind's share of its blocks. Of a stage that is left out only the width.
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
            same = [
                offered
                for offered in self.options(group)
                if all(
                    attention_ops.structure(offered, channels) == attention_ops.structure(attention, channels)
                    for attention, channels in wanted
                )
            ]
            if not same:
                return None
            found.append(same[0])
        placed: Stage = shape.chosen(found)
        return placed

    def _structure(self, stage: Stage, in_width: int) -> tuple[object, ...]:
        """Equal exactly for stages that are the same network after `in_width` channels, attention aside."""
        return tuple(block_structure(block) for block in stage_blocks(stage, in_width, self.activation))

    def _decide_twinless(
        self, choose: Choose, what: str, stage: Stage, in_width: int, offered: tuple[int, ...]
    ) -> Stage:
        """The stage with one of the values that differ; the options are part of the name where not all do."""
        if len(offered) == 1:
            return stage
        values = _distinct_values(stage, in_width, self.activation, what, offered)
        name = f"{self.name}.{what}"
        if len(values) < len(offered):
            name += f"({','.join(map(str, values))})"
        decided: dict[str, Any] = {what: decide(choose, name, values)}
        return replace(stage, **decided)


def check_options(name: str, options: Sequence[object]) -> None:
    """Raises InputError if there is no option, or one twice."""
    if not isinstance(options, tuple) or not options:
        raise InputError(f"{name}: expected at least one option")
    if len(options) > MOST_OPTIONS:
        raise InputError(f"{name}: {len(options)} options; at most {MOST_OPTIONS} are read")
    for index, option in enumerate(options):
        if option in options[:index]:
            shown = option.label if isinstance(option, Attention) else option
            raise InputError(f"{name}: {shown} is given twice")


@lru_cache(maxsize=1024)
def _kinds(options: tuple[Attention, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(attention.kind for attention in options))


@lru_cache(maxsize=1 << 16)
def _distinct_ratios(options: tuple[Attention, ...], kind: str, channels: tuple[int, ...]) -> tuple[int, ...]:
    """The ratios offered for `kind` that differ in at least one block: of twins, the first."""
    first: dict[tuple[str, ...], int] = {}
    for attention in options:
        if attention.kind == kind and attention.reduction is not None:
            key = tuple(attention_ops.structure(attention, count) for count in channels)
            first.setdefault(key, attention.reduction)
    return tuple(first.values())


@lru_cache(maxsize=1 << 16)
def _distinct_values(
    stage: Stage, in_width: int, activation: str, what: str, offered: tuple[int, ...]
) -> tuple[int, ...]:
    """The values of a stage's field that give different networks after `in_width` channels: of twins, the first."""
    first: dict[tuple[object, ...], int] = {}
    for value in offered:
        changed: dict[str, Any] = {what: value}
        parts = dict.fromkeys(stage_blocks(replace(stage, **changed), in_width, activation))
        first.setdefault(tuple(block_structure(part) for part in parts), value)
    return tuple(first.values())
