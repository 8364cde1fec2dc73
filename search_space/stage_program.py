"""The decision program of one stage: first its shape, then the attention of its blocks.

A shape is everything but attention. Its blocks that have a place for attention are in groups that decide together:
one group a stage, or one a block. What a group may choose depends on the shape alone, so a stage's outcomes are, for
each shape, all combinations of its groups' choices.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from foundation.errors import InputError
from foundation.json_files import shown
from search_space import attention as attention_ops
from search_space.architecture import MAX_DEPTH, Attention, Stage
from search_space.blocks import NO_ATTENTION, block_structure, blocks, stage_blocks
from search_space.decisions import Choose, decide, every_outcome

ATTENTION_PER = ("stage", "block")
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
            if type(depth) is not int or not 1 <= depth <= MAX_DEPTH:
                raise InputError(f"depth: expected integers from 1 to {MAX_DEPTH}, got {shown(depth)}")
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
class Group:
    """Blocks of a stage that have the same attention, and the distinct numbers of channels that it sees in them."""

    name: str
    blocks: tuple[int, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """A stage without attention, and the groups of blocks that have a place for one."""

    stage: Stage
    groups: tuple[Group, ...]

    @property
    def placeless(self) -> tuple[int, ...]:
        """The blocks without a place for attention."""
        placed = {block for group in self.groups for block in group.blocks}
        return tuple(block for block in range(self.stage.depth) if block not in placed)

    def attended(self, attentions: Iterable[Attention]) -> Stage:
        """The stage with these attentions, one a group."""
        placed = list(self.stage.attention)
        for group, attention in zip(self.groups, attentions, strict=True):
            for block in group.blocks:
                placed[block] = attention
        return replace(self.stage, attention=tuple(placed))


@dataclass(frozen=True)
class StageProgram:
    """The decisions of one stage; its name is `stage{i}`."""

    name: str
    options: StageOptions
    activation: str
    attention_per: str

    def assemble(self, in_width: int, choose: Choose) -> Stage:
        """The stage that `choose` decides, after `in_width` channels."""
        shape = self.shape(in_width, choose)
        return shape.attended([self.attention(group, choose) for group in shape.groups])

    def shape(self, in_width: int, choose: Choose) -> Shape:
        """The shape that `choose` decides, after `in_width` channels."""
        options = self.options
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
        return Shape(stage, tuple(groups))

    def attention(self, group: Group, choose: Choose) -> Attention:
        """The attention that `choose` decides for a group of blocks."""
        kind = decide(choose, f"{group.name}.attention", _kinds(self.options.attention))
        ratios = _distinct_ratios(self.options.attention, kind, group.channels)
        if not ratios:
            return Attention(kind)
        return Attention(kind, decide(choose, f"{group.name}.{kind}_reduction({','.join(map(str, ratios))})", ratios))

    def shapes(self, in_width: int) -> tuple[Shape, ...]:
        """Every shape after `in_width` channels."""
        return tuple(every_outcome(lambda choose: self.shape(in_width, choose)))

    def attentions(self, group: Group) -> tuple[Attention, ...]:
        """Every attention that a group of blocks may have."""
        return tuple(every_outcome(lambda choose: self.attention(group, choose)))

    def canonical(self, stage: Stage, in_width: int, shapes: Sequence[Shape]) -> Stage | None:
        """Of the stages with one of the `shapes`, the same network as `stage`: itself or a twin; None if none is."""
        plain = replace(stage, attention=(NO_ATTENTION,) * stage.depth)
        meant = self._structure(stage, in_width)
        twins = (shape for shape in shapes if self._structure(shape.stage, in_width) == meant)
        shape = next((shape for shape in shapes if shape.stage == plain), None) or next(twins, None)
        if shape is None or any(stage.attention[block] != NO_ATTENTION for block in shape.placeless):
            return None
        own = stage_blocks(stage, in_width, self.activation)
        found = []
        for group in shape.groups:
            wanted = [(stage.attention[block], own[block].attention_channels or 1) for block in group.blocks]
            same = [
                offered
                for offered in self.attentions(group)
                if all(
                    attention_ops.structure(offered, channels) == attention_ops.structure(attention, channels)
                    for attention, channels in wanted
                )
            ]
            if not same:
                return None
            found.append(same[0])
        return shape.attended(found)

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
        return replace(stage, **{what: decide(choose, name, values)})  # type: ignore[arg-type]


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
        parts = dict.fromkeys(stage_blocks(replace(stage, **{what: value}), in_width, activation))  # type: ignore[arg-type]
        first.setdefault(tuple(block_structure(part) for part in parts), value)
    return tuple(first.values())
