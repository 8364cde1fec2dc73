"""A search space: one decision program whose every run is an architecture."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, TypeVar, cast

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import Architecture, Attention, Stage
from search_space.blocks import (
    ACTIVATIONS,
    NO_ATTENTION,
    ClassifierPart,
    ConvPart,
    Part,
    stage_blocks,
)
from search_space.counting_work import counting_work
from search_space.decisions import Choose, decide, decided, every_outcome
from search_space.stage_program import ATTENTION_PER, Shape, StageOptions, StageProgram, check_options

_Option = TypeVar("_Option", bound=Hashable)

MAX_WAYS = 1 << 50  # to be a stage: counted in 64-bit integers


@dataclass(frozen=True)
class SearchSpace:
    """Every architecture that `assemble` can return.

    A stage's attention is one for all of its blocks, or with `attention_per="block"` each block's own.

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

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise InputError(f"name: expected a name, got {shown(self.name)}")
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
            before = options.width
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

    def assemble(self, choose: Choose) -> Architecture:
        """The architecture that `choose` decides. The only description of the space."""
        resolution = decide(choose, "resolution", self.resolution)
        stages = []
        width = self.stem_width
        for index in range(len(self.stages)):
            stages.append(self.assemble_stage(index, width, choose))
            width = stages[-1].width
        return self.architecture(resolution, tuple(stages))

    def assemble_stage(self, index: int, in_width: int, choose: Choose) -> Stage:
        """The stage that `choose` decides, after a stage (or stem) of `in_width` channels."""
        return self.programs[index].assemble(in_width, choose)

    @cached_property
    def programs(self) -> tuple[StageProgram, ...]:
        """The decision program of each stage."""
        return tuple(
            StageProgram(f"stage{index}", options, self.activation, self.attention_per)
            for index, options in enumerate(self.stages)
        )

    def extreme(self, choose: Choose, *, largest: bool) -> Architecture:
        """The largest (or smallest) network, with the attention that `choose` decides.

        Resolution, then at every stage width, depth, the channels within its blocks and kernel are as large as they can
        be. Of the expansions, a ratio that some blocks divide by and that rules on their least channels can overrule,
        it takes the one of most channels.
        """
        stages = []
        width = self.stem_width
        for index, program in enumerate(self.programs):
            shape = self._extreme_shape(index, width, largest)
            stages.append(shape.attended([program.attention(group, choose) for group in shape.groups]))
            width = shape.stage.width
        return self.architecture((max if largest else min)(self.resolution), tuple(stages))

    def _extreme_shape(self, index: int, in_width: int, largest: bool) -> Shape:
        """The shape at `index` of the largest (or smallest) network; kept, since a supernet asks at every step."""
        key = (index, in_width, largest)
        if key not in self._extreme_shapes:

            def size(shape: Shape) -> tuple[int, ...]:
                parts = stage_blocks(shape.stage, in_width, self.activation)
                inner = sum(piece.in_channels for part in parts for _, piece in part.pieces)
                return shape.stage.width, shape.stage.depth, inner, shape.stage.kernel_size

            self._extreme_shapes[key] = (max if largest else min)(self.stage_shapes(index, in_width), key=size)
        return self._extreme_shapes[key]

    @cached_property
    def _extreme_shapes(self) -> dict[tuple[int, int, bool], Shape]:
        return {}

    def choices(self, architecture: Architecture) -> dict[str, Any]:
        """The decisions that assemble `architecture`, or its twin in the space, by name.

        Raises InputError if the space does not hold it.
        """
        made: dict[str, Any] = {}
        canonical = self.canonical(architecture)

        def follow(name: str, options: Sequence[_Option]) -> _Option:  # noqa: ARG001
            made[name] = decided(canonical, name)
            return cast(_Option, made[name])

        self.assemble(follow)
        return made

    def canonical(self, architecture: Architecture) -> Architecture:
        """The architecture of the space that is the same network: itself, or a twin written otherwise.

        Raises InputError naming the field that the space does not hold.
        """
        stages = []
        if len(architecture.stages) == len(self.stages) and architecture.resolution in self.resolution:
            in_width = self.stem_width
            for index, stage in enumerate(architecture.stages):
                twin = self.programs[index].canonical(stage, in_width, self.stage_shapes(index, in_width))
                if twin is None:
                    raise InputError(
                        f"stages[{index}]: {stage.block}, width {stage.width}, depth {stage.depth}, expansion "
                        f"{stage.expansion}, kernel {stage.kernel_size}, {stage.attention_label} is not in space "
                        f"{self.name}"
                    )
                stages.append(twin)
                in_width = twin.width
        found = self.architecture(architecture.resolution, tuple(stages)) if stages else None
        if found is None or replace(found, stages=architecture.stages) != architecture:
            raise InputError(f"architecture {architecture.digest()[:12]} is not in space {self.name}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, tuples and values: all that says which networks there are."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SearchSpace":
        """The space that `to_dict` described, lists for tuples. Raises InputError if it is none."""
        try:
            stages = []
            for stage in data["stages"]:
                options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stage.items()}
                options["attention"] = tuple(Attention(**attention) for attention in stage["attention"])
                stages.append(StageOptions(**options))
            return cls(**{**data, "resolution": tuple(data["resolution"]), "stages": tuple(stages)})
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"not a search space: {error}") from None

    def stage_shapes(self, index: int, in_width: int) -> tuple[Shape, ...]:
        """Every shape that may stand at `index` after `in_width` channels."""
        key = (index, in_width)
        if key not in self._shapes:
            self._shapes[key] = self.programs[index].shapes(in_width)
        return self._shapes[key]

    @cached_property
    def _shapes(self) -> dict[tuple[int, int], tuple[Shape, ...]]:
        return {}

    @property
    def stem_part(self) -> ConvPart:
        """The stem's convolution."""
        return ConvPart(3, self.stem_width, 3, self.stem_stride, self.activation)

    def tail_parts(self, width: int, num_classes: int) -> list[Part]:
        """Head and classifier after a last stage of `width` channels."""
        found: list[Part] = []
        if self.head_width is not None:
            found.append(ConvPart(width, self.head_width, activation=self.activation))
            width = self.head_width
        return [*found, ClassifierPart(width, num_classes)]

    def architecture(self, resolution: int, stages: tuple[Stage, ...]) -> Architecture:
        """The architecture of these stages with the space's stem, head and activation."""
        return Architecture(
            resolution=resolution,
            stem_width=self.stem_width,
            stem_stride=self.stem_stride,
            stages=stages,
            head_width=self.head_width,
            activation=self.activation,
        )

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture once. Only for small spaces."""
        return every_outcome(self.assemble)
