"""The search spaces of mobile networks: options at every stage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import Architecture, Attention
from search_space.decisions import Choose, dimension
from search_space.families.mobile.architecture import MobileArchitecture, Stage, check_pooled, check_stem, first_width
from search_space.families.mobile.blocks import stage_blocks
from search_space.families.mobile.counting_work import counting_seconds, counting_work
from search_space.families.mobile.laying_out import laid_out
from search_space.families.mobile.network_parts import network_parts, tap_of
from search_space.families.mobile.spread import spreads
from search_space.families.mobile.stage_options import StageOptions
from search_space.families.mobile.stage_program import ATTENTION_PER, StageProgram
from search_space.head import Head
from search_space.parts import ACTIVATIONS, AttentionPart, ConvPart, Part, Piece, PooledPart
from search_space.space import SPACE_KINDS, SearchSpace, check_options, check_space_name

_FIXED = ("stem_width", "stem_stride", "head_width", "activation", "output_stride", "pooled_norm")
_FREE: Mapping[str, Any] = {"output_stride": None, "pooled_width": (), "pooled_norm": False}
_FREE_OF_STAGES: Mapping[str, Any] = {"activation": None, "start_kernel_size": (0,)}

MAX_WAYS = 1 << 50  # to be a stage: counted in 64-bit integers


@SPACE_KINDS.register("mobile")
@dataclass(frozen=True)
class MobileSpace(SearchSpace):
    """Every mobile network that `assemble` can return.

    A stage's attention is one for all of its blocks, or with `attention_per="block"` each block's own. With an
    `output_stride` late stages are dilated instead of strided, see `MobileArchitecture`.

    Attributes:
        pooled_width: units of the layer after the mean; one for all networks, one for each width of the last stage, or
            none for no such layer.

    Raises InputError, `field: problem`, for options that repeat, are out of range or name something unknown.
    """

    name: str
    resolution: tuple[int, ...]
    stem_width: int | None
    stem_stride: int
    stages: tuple[StageOptions, ...]
    head_width: int | None
    activation: str
    attention_per: str = "stage"
    output_stride: int | None = None
    pooled_width: tuple[int, ...] = ()
    pooled_norm: bool = False

    family = "mobile"

    def __post_init__(self) -> None:
        check_space_name(self.name)
        check_options("resolution", self.resolution)
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            raise InputError(f"activation: {shown(self.activation)} is unknown; known: {', '.join(ACTIVATIONS)}")
        if self.attention_per not in ATTENTION_PER:
            raise InputError(
                f"attention_per: {shown(self.attention_per)} is unknown; known: {', '.join(ATTENTION_PER)}"
            )
        check_stem(self.stem_width, self.stem_stride)
        if not self.stages:
            raise InputError("stages: expected one at least, got none")
        before: tuple[int, ...] = (self.start,)
        for index, options in enumerate(self.stages):
            shared = set(before) & set(options.width or before)
            if "sandglass_thin" in options.blocks and options.stride == 1 and shared:
                raise InputError(
                    f"stages[{index}].width: {min(shared)} is a width of the stage before as well; a sandglass_thin of "
                    "stride 1 has to change it"
                )
            before = options.widths_after(before)
            attended = sum(len(options.attention) ** depth for depth in options.depth)
            shapes = max(1, len(options.width)) * len(options.expansion) * len(options.kernel_size)
            shapes *= len(options.start_kernel_size) * len(options.blocks)
            if self.attention_per == "block" and shapes * attended > MAX_WAYS:
                raise InputError(
                    f"attention_per: {len(options.attention)} attentions for each of {max(options.depth)} blocks of "
                    f"stages[{index}] are too many to count; offer fewer, or decide per stage"
                )
        for width in self.pooled_width or (None,):
            check_pooled(width, self.pooled_norm)
        last = self.stages[-1] if self.stages else None
        if len(self.pooled_width) > 1 and (
            last is None or 0 in last.depth or len(last.width) != len(self.pooled_width)
        ):
            raise InputError(
                f"pooled_width: {len(self.pooled_width)} values; offer one, or as many as the last stage has widths"
            )
        counting_work(self.stages, len(self.resolution))
        # An architecture checks its own fields.
        first: list[Stage] = []
        for options in self.stages:
            width = options.widths_after((first[-1].width if first else self.start,))[0]
            first.append(options.stage(options.blocks[0], width))
        for resolution in self.resolution:
            self.architecture(resolution, tuple(first))

    @cached_property
    def programs(self) -> tuple[StageProgram, ...]:
        """The decision program of each stage."""
        strides = [options.stride for options in self.stages]
        return tuple(
            StageProgram(f"stage{index}", options, self.activation, self.attention_per, spread)
            for index, (options, spread) in enumerate(
                zip(self.stages, spreads(self.stem_stride, strides, self.output_stride), strict=True)
            )
        )

    @property
    def start(self) -> int:
        """The channels that the first stage sees."""
        return first_width(self.stem_width)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, tuples and values: all that says which networks there are."""
        described = _without(asdict(self), _FREE)
        return {**described, "stages": tuple(_without(stage, _FREE_OF_STAGES) for stage in described["stages"])}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The space that `to_dict` described, lists for tuples."""
        stages = []
        for stage in data["stages"]:
            options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stage.items()}
            options["attention"] = tuple(Attention(**attention) for attention in stage["attention"])
            stages.append(StageOptions(**options))
        fields = {**data, "stages": tuple(stages)}
        return cls(**fields | {name: tuple(data[name]) for name in ("resolution", "pooled_width") if name in data})

    def counting_seconds(self) -> float:
        """About how long one core takes to count it."""
        return counting_seconds(self.stages, len(self.resolution))

    @property
    def stem_parts(self) -> tuple[Part, ...]:
        """The stem's convolution, if there is a stem."""
        if self.stem_width is None:
            return ()
        return (ConvPart(3, self.stem_width, 3, self.stem_stride, self.activation),)

    def tail_parts(self, state: int, head: Head) -> list[Part]:
        """Head and classifier after a last stage of `state` channels."""
        width = state
        found: list[Part] = []
        if self.head_width is not None and not head.follows_stages:
            found.append(ConvPart(width, self.head_width, activation=self.activation))
            width = self.head_width
        if head.averages and (pooled := self.pooled(state)) is not None:
            found.append(PooledPart(width, pooled, self.activation, self.pooled_norm))
            width = pooled
        return [*found, head.part(width)]

    def pooled(self, last_width: int) -> int | None:
        """Units of the layer after the mean, where the last stage has that width, or is nearest to it."""
        if len(self.pooled_width) <= 1:
            return self.pooled_width[0] if self.pooled_width else None
        widths = self.stages[-1].width
        return self.pooled_width[min(range(len(widths)), key=lambda number: abs(widths[number] - last_width))]

    def tap_parts(self, index: int, link: Stage, state: int, head: Head) -> list[Part]:
        """See `network_parts.tap_of`."""
        stride = self.stem_stride
        for before in self.programs[:index]:
            stride *= 1 if before.spread.unstrided else before.offered.stride
        tap = tap_of(self.programs[index].parts(link, state), stride, head) if head.taps else None
        return [] if tap is None else [tap]

    def links(self, architecture: Architecture) -> tuple[Stage, ...] | None:
        """The stages; None where stem, head or activation are not the space's.

        Of an architecture with other numbers of stages its blocks in the space's stages, where there is a way.
        """
        if not isinstance(architecture, MobileArchitecture):
            return None
        fixed = all(getattr(architecture, name) == getattr(self, name) for name in _FIXED)
        if not fixed or architecture.pooled_width != self.pooled(architecture.stages[-1].width):
            return None
        if len(architecture.stages) == len(self.stages):
            return architecture.stages
        return laid_out(architecture.stages, self.programs, self.start, self.shapes)

    def stored_pieces(self, head: Head, *, own_kernels: bool) -> Iterator[tuple[str, list[tuple[str, Piece]]]]:
        """See `search_space.space`: the widest networks' pieces, a block's convolutions as wide as any there."""
        channels = most_channels(self)
        again: set[tuple[object, ...]] = set()
        for kind, number, turn, architecture in self._widest(own_kernels):
            for name, part in network_parts(architecture, head):
                if number and (kind, turn, name, part) in again:  # where there is no other block to choose
                    continue
                again.add((kind, turn, name, part))
                pieces: list[tuple[str, Piece]] = []
                for role, piece in part.pieces:
                    place = f"{name}.{role}"
                    if place in channels:  # of a block, and not of the head
                        ins, outs = channels[place]
                        if isinstance(piece, ConvPart):
                            piece = replace(piece, in_channels=ins, out_channels=outs)
                        elif isinstance(piece, AttentionPart):
                            piece = replace(piece, channels=ins)
                    pieces.append((role, piece))
                yield name, pieces

    def widest(self, *, own_kernels: bool) -> list[tuple[str, MobileArchitecture]]:
        """The networks that are largest in every dimension, one for each attention kind, with that kind.

        Where stages offer several blocks as many of each kind as it takes to have every one, and with `own_kernels` as
        many of these as it takes to have every kernel size, the largest first.
        """
        return [(kind, architecture) for kind, *_, architecture in self._widest(own_kernels)]

    def _widest(self, own_kernels: bool) -> Iterator[tuple[str, int, int, MobileArchitecture]]:
        """The widest networks, each with its kind, and the numbers of its blocks and kernels among those offered."""
        kinds = dict.fromkeys(attention.kind for options in self.stages for attention in options.attention)
        turns = [kernels_in_turn(options) for options in self.stages]
        for kind in kinds:

            def choose(name: str, options: Sequence[Any], kind: str = kind) -> Any:
                if dimension(name) == "attention":
                    return kind if kind in options else options[0]
                return min(options)  # of ratios, which divide

            for number in range(max(len(options.blocks) for options in self.stages)):
                largest = self._largest(choose, number)
                for turn in range(max(map(len, turns)) if own_kernels else 1):
                    stages = (
                        with_kernels(stage, own[min(turn, len(own) - 1)])
                        for stage, own in zip(largest.stages, turns, strict=True)
                    )
                    yield kind, number, turn, replace(largest, stages=tuple(stages)) if own_kernels else largest

    def _largest(self, choose: Choose, number: int) -> MobileArchitecture:
        """The largest network whose stages have the block of that number, or the last that they offer."""
        links: list[Stage] = []
        for index, (program, options) in enumerate(zip(self.programs, self.stages, strict=True)):
            state = links[-1].width if links else self.start
            block = options.blocks[min(number, len(options.blocks) - 1)]
            offered = [shape for shape in self.shapes(index, state) if shape.link.block == block]
            shape = max(offered, key=lambda one: program.size(one, state))
            links.append(shape.chosen([program.choice(group, choose) for group in shape.groups]))
        return self.architecture(max(self.resolution), links)

    def architecture(self, resolution: int, links: Sequence[Stage]) -> MobileArchitecture:
        """The architecture of these stages with the space's stem, head and activation."""
        return MobileArchitecture(
            resolution=resolution,
            stem_width=self.stem_width,
            stem_stride=self.stem_stride,
            stages=tuple(links),
            head_width=self.head_width,
            activation=self.activation,
            output_stride=self.output_stride,
            pooled_width=self.pooled(links[-1].width),
            pooled_norm=self.pooled_norm,
        )


def most_channels(space: MobileSpace) -> dict[str, tuple[int, int]]:
    """The most input and output channels that any network of the space has at each piece of its blocks.

    The largest network has them, but for a sandglass: the rule on its least channels can leave it with fewer inside.
    """
    most: dict[str, tuple[int, int]] = {}
    widths: tuple[int, ...] = (space.start,)
    for index, options in enumerate(space.stages):
        for in_width in widths:
            for shape in space.shapes(index, in_width):
                for block, part in enumerate(stage_blocks(shape.link, in_width, space.activation)):
                    for role, piece in part.pieces:
                        own = piece.out_channels if isinstance(piece, ConvPart) else piece.in_channels
                        name = f"stages.{index}.{block}.{role}"
                        ins, outs = most.get(name, (0, 0))
                        most[name] = max(ins, piece.in_channels), max(outs, own)
        widths = options.widths_after(widths)
    return most


def kernels_in_turn(options: StageOptions) -> list[dict[str, int]]:
    """Kernels of a stage, as often as it takes to have every size, the largest first."""
    sizes = {
        name: sorted((size for size in getattr(options, name) if size), reverse=True) or [0]
        for name in ("kernel_size", "start_kernel_size")
    }
    turns = range(max(map(len, sizes.values())))
    return [{name: own[min(turn, len(own) - 1)] for name, own in sizes.items()} for turn in turns]


def with_kernels(stage: Stage, sizes: Mapping[str, int]) -> Stage:
    """The stage with other sizes of the kernels that it has."""
    own: dict[str, Any] = {name: size for name, size in sizes.items() if getattr(stage, name)}
    return replace(stage, **own)


def _without(described: dict[str, Any], free: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something: as it was when the others were not there, so that runs go on."""
    return {name: value for name, value in described.items() if name not in free or value != free[name]}
