"""The search spaces of mobile networks: options at every stage."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import Architecture, Attention
from search_space.decisions import dimension
from search_space.families.mobile.architecture import MobileArchitecture, Stage, spreads
from search_space.families.mobile.blocks import stage_blocks
from search_space.families.mobile.counting_work import counting_seconds, counting_work
from search_space.families.mobile.network_parts import network_parts, tap_of
from search_space.families.mobile.stage_program import ATTENTION_PER, StageOptions, StageProgram, check_options
from search_space.head import Head
from search_space.parts import ACTIVATIONS, NO_ATTENTION, ConvPart, Part, Piece
from search_space.space import SPACE_KINDS, SearchSpace, check_space_name

_FIXED = ("stem_width", "stem_stride", "head_width", "activation", "output_stride")

MAX_WAYS = 1 << 50  # to be a stage: counted in 64-bit integers


@SPACE_KINDS.register("mobile")
@dataclass(frozen=True)
class MobileSpace(SearchSpace):
    """Every mobile network that `assemble` can return.

    A stage's attention is one for all of its blocks, or with `attention_per="block"` each block's own. With an
    `output_stride` late stages are dilated instead of strided, see `MobileArchitecture`.

    Raises InputError, `field: problem`, for options that repeat, are out of range or name something unknown.
    """

    name: str
    resolution: tuple[int, ...]
    stem_width: int
    stem_stride: int
    stages: tuple[StageOptions, ...]
    head_width: int | None
    activation: str
    attention_per: str = "stage"
    output_stride: int | None = None

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
        before: tuple[int, ...] = (self.stem_width,)
        for index, options in enumerate(self.stages):
            shared = set(before) & set(options.width)
            if options.block == "sandglass_thin" and options.stride == 1 and shared:
                raise InputError(
                    f"stages[{index}].width: {min(shared)} is a width of the stage before as well; a sandglass_thin of "
                    "stride 1 has to change it"
                )
            before = _widths_after(options, before)
            attended = sum(len(options.attention) ** depth for depth in options.depth)
            shapes = len(options.width) * len(options.expansion) * len(options.kernel_size)
            if self.attention_per == "block" and shapes * attended > MAX_WAYS:
                raise InputError(
                    f"attention_per: {len(options.attention)} attentions for each of {max(options.depth)} blocks of "
                    f"stages[{index}] are too many to count; offer fewer, or decide per stage"
                )
        counting_work(self.stages, len(self.resolution))
        # An architecture checks its own fields.
        for resolution in self.resolution:
            first = [
                Stage(o.block, o.width[0], o.stride, o.expansion[0], o.kernel_size[0], (NO_ATTENTION,))
                for o in self.stages
            ]
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
        """The channels that the stem leaves."""
        return self.stem_width

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, tuples and values: all that says which networks there are."""
        described = asdict(self)
        if self.output_stride is None:  # as it was when there was no such field: runs go on
            del described["output_stride"]
        return described

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The space that `to_dict` described, lists for tuples."""
        stages = []
        for stage in data["stages"]:
            options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stage.items()}
            options["attention"] = tuple(Attention(**attention) for attention in stage["attention"])
            stages.append(StageOptions(**options))
        return cls(**{**data, "resolution": tuple(data["resolution"]), "stages": tuple(stages)})

    def counting_seconds(self) -> float:
        """About how long one core takes to count it."""
        return counting_seconds(self.stages, len(self.resolution))

    @property
    def stem_parts(self) -> tuple[Part, ...]:
        """The stem's convolution."""
        return (ConvPart(3, self.stem_width, 3, self.stem_stride, self.activation),)

    def tail_parts(self, state: int, head: Head) -> list[Part]:
        """Head and classifier after a last stage of `state` channels."""
        width = state
        found: list[Part] = []
        if self.head_width is not None and not head.follows_stages:
            found.append(ConvPart(width, self.head_width, activation=self.activation))
            width = self.head_width
        return [*found, head.part(width)]

    def tap_parts(self, index: int, link: Stage, state: int, head: Head) -> list[Part]:
        """See `network_parts.tap_of`."""
        stride = self.stem_stride
        for before in self.programs[:index]:
            stride *= 1 if before.spread.unstrided else before.offered.stride
        tap = tap_of(self.programs[index].parts(link, state), stride, head) if head.taps else None
        return [] if tap is None else [tap]

    def links(self, architecture: Architecture) -> tuple[Stage, ...] | None:
        """The stages; None where stem, head or activation are not the space's."""
        if not isinstance(architecture, MobileArchitecture):
            return None
        fixed = all(getattr(architecture, name) == getattr(self, name) for name in _FIXED)
        return architecture.stages if fixed else None

    def stored_pieces(self, head: Head, *, own_kernels: bool) -> Iterator[tuple[str, list[tuple[str, Piece]]]]:
        """See `search_space.space`: the widest networks' pieces, a block's convolutions as wide as any there."""
        channels = most_channels(self)
        for _, architecture in self.widest(own_kernels=own_kernels):
            for name, part in network_parts(architecture, head):
                pieces: list[tuple[str, Piece]] = []
                for role, piece in part.pieces:
                    place = f"{name}.{role}"
                    if isinstance(piece, ConvPart) and place in channels:  # of a block, and not of the head
                        ins, outs = channels[place]
                        piece = replace(piece, in_channels=ins, out_channels=outs)
                    pieces.append((role, piece))
                yield name, pieces

    def widest(self, *, own_kernels: bool) -> list[tuple[str, MobileArchitecture]]:
        """The networks that are largest in every dimension, one for each attention kind, with that kind.

        With `own_kernels` as many of each kind as it takes to have every kernel size, the largest first.
        """
        kinds = dict.fromkeys(attention.kind for options in self.stages for attention in options.attention)
        sizes = [sorted(options.kernel_size, reverse=True) for options in self.stages]
        found: list[tuple[str, MobileArchitecture]] = []
        for kind in kinds:

            def choose(name: str, options: Sequence[Any], kind: str = kind) -> Any:
                if dimension(name) == "attention":
                    return kind if kind in options else options[0]
                return min(options)  # of ratios, which divide

            largest = self.extreme(choose, largest=True)
            assert isinstance(largest, MobileArchitecture)
            for turn in range(max(map(len, sizes)) if own_kernels else 1):
                stages = (
                    replace(stage, kernel_size=own[min(turn, len(own) - 1)])
                    for stage, own in zip(largest.stages, sizes, strict=True)
                )
                found.append((kind, replace(largest, stages=tuple(stages)) if own_kernels else largest))
        return found

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
        )


def most_channels(space: MobileSpace) -> dict[str, tuple[int, int]]:
    """The most input and output channels that any network of the space has at each convolution of its blocks.

    The largest network has them, but for a sandglass: the rule on its least channels can leave it with fewer inside.
    """
    most: dict[str, tuple[int, int]] = {}
    widths: tuple[int, ...] = (space.stem_width,)
    for index, options in enumerate(space.stages):
        for in_width in widths:
            for shape in space.shapes(index, in_width):
                for block, part in enumerate(stage_blocks(shape.link, in_width, space.activation)):
                    for role, piece in part.pieces:
                        if isinstance(piece, ConvPart):
                            name = f"stages.{index}.{block}.{role}"
                            ins, outs = most.get(name, (0, 0))
                            most[name] = max(ins, piece.in_channels), max(outs, piece.out_channels)
        widths = _widths_after(options, widths)
    return most


def _widths_after(options: StageOptions, before: tuple[int, ...]) -> tuple[int, ...]:
    """The widths that there may be after a stage; one that is left out leaves those before it."""
    return tuple(dict.fromkeys((*options.width, *before))) if 0 in options.depth else options.width
