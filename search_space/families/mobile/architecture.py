"""A mobile network as a value: stem convolution, stages of blocks, head convolution.

Only the standard library is used here, so an architecture can be read, compared and printed without torch.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import ARCHITECTURES, Architecture, Attention, Row, check_resolution
from search_space.decisions import dimension
from search_space.fields import check_fields, check_integer, check_list, check_name, check_tuple

MAX_WIDTH = 8192
MAX_STAGES = 32
MAX_DEPTH = 32


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


@dataclass(frozen=True)
class Stage:
    """A row of blocks with one output width; the first block has the stride.

    `attention` has one entry a block, so its length is the stage's depth. Widths count channels; `expansion` is
    the ratio of a block's hidden to its input channels (of its input to its hidden channels in a sandglass).

    A stage without blocks is left out: what is before it goes on unchanged, and its width is that.
    """

    block: str
    width: int
    stride: int
    expansion: int
    kernel_size: int
    attention: tuple[Attention, ...]

    def __post_init__(self) -> None:
        check_name("block", self.block)
        check_integer("width", self.width, 1, MAX_WIDTH)
        check_integer("stride", self.stride, 1, 2)
        check_integer("expansion", self.expansion, 1, 16)
        check_integer("kernel_size", self.kernel_size, 1, 11)
        if self.kernel_size % 2 == 0:
            raise InputError(f"kernel_size: expected an odd integer, got {self.kernel_size}")
        if self.attention != ():
            check_tuple("attention", self.attention, Attention, MAX_DEPTH)
        elif self.stride != 1:
            raise InputError("attention: a stage of stride 2 has at least one block")

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.attention)

    @property
    def attention_label(self) -> str:
        """Short form for tables: one label if all blocks agree, else one a block joined by `+`."""
        labels = [attention.label for attention in self.attention] or ["–"]
        return labels[0] if len(set(labels)) == 1 else "+".join(labels)


@ARCHITECTURES.register("mobile")
@dataclass(frozen=True)
class MobileArchitecture(Architecture):
    """A whole backbone: stem convolution, stages, head convolution (absent where `head_width` is None).

    With an `output_stride` no map is coarser than that, in pixels of the picture to one of its own: the stages whose
    stride would go beyond it are dilated instead. Parameters are the same either way.
    """

    resolution: int
    stem_width: int
    stem_stride: int
    stages: tuple[Stage, ...]
    head_width: int | None
    activation: str
    output_stride: int | None = None

    family = "mobile"

    def __post_init__(self) -> None:
        check_resolution(self.resolution)
        check_integer("stem_width", self.stem_width, 1, MAX_WIDTH)
        check_integer("stem_stride", self.stem_stride, 1, 2)
        check_tuple("stages", self.stages, Stage, MAX_STAGES)
        if self.head_width is not None:
            check_integer("head_width", self.head_width, 1, MAX_WIDTH)
        check_name("activation", self.activation)
        width = self.stem_width
        for index, stage in enumerate(self.stages):
            if stage.depth == 0 and stage.width != width:
                raise InputError(f"stages[{index}].width: expected {width}, as before the stage, which is left out")
            width = stage.width
        if self.output_stride is not None:
            check_output_stride(self.output_stride, self.stem_stride, [stage.stride for stage in self.stages])

    @property
    def total_stride(self) -> int:
        """Input pixels per pixel of the last feature map, along one side."""
        return self.strides[-1]

    @property
    def strides(self) -> tuple[int, ...]:
        """See `Architecture.strides`."""
        return tuple(dict.fromkeys(self.strides_along))

    @property
    def strides_along(self) -> tuple[int, ...]:
        """The stride of the map after the stem, and after each stage."""
        found = [self.stem_stride]
        for stage, spread in zip(self.stages, self.spreads, strict=True):
            found.append(found[-1] * (1 if spread.unstrided else stage.stride))
        return tuple(found)

    @property
    def spreads(self) -> tuple[Spread, ...]:
        """How far each stage's kernels are spread."""
        return spreads(self.stem_stride, [stage.stride for stage in self.stages], self.output_stride)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, integers, strings and None."""
        stages = [
            {**vars(stage), "attention": [{**vars(attention)} for attention in stage.attention]}
            for stage in self.stages
        ]
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.output_stride is None:  # as it was when there was no such field: digests stay
            del fields["output_stride"]
        return {**fields, "stages": stages}

    def rows(self) -> tuple[Row, ...]:
        """Stem, stages and, where there is one, head."""
        kernel = ("kernel", 3)
        rows = [Row("stem", "stem", "convolution", self.stem_width, self.stem_stride, (None,), (kernel,), end=True)]
        for index, (stage, spread) in enumerate(zip(self.stages, self.spreads, strict=True)):
            numbers = [("kernel", stage.kernel_size), ("expansion", stage.expansion)] if stage.depth else []
            stride = 1 if spread.unstrided else stage.stride
            dilation = spread.dilation * stage.stride // stride
            if stage.depth and dilation > 1:
                numbers.append(("dilation", dilation))
            place, name = f"stages.{index}", f"{index + 1}"
            rows.append(Row(name, place, stage.block, stage.width, stride, stage.attention, tuple(numbers)))
        if self.head_width is not None:
            rows.append(Row("head", "head", "convolution", self.head_width, None, (None,), (("kernel", 1),), end=True))
        return tuple(rows)

    def decided(self, name: str) -> Any:
        """What it has where the decision `name` is made; None if it has no such block."""
        if name == "resolution":
            return self.resolution
        place, *inner = name.split(".")
        stage = self.stages[int(place.removeprefix("stage"))]
        what = dimension(name)
        if what not in ("attention", "reduction"):
            return getattr(stage, what)
        # A stage's last block has a place for attention if any of its blocks has.
        block = int(inner[0].removeprefix("block")) if len(inner) == 2 else stage.depth - 1
        if not 0 <= block < stage.depth:
            return None
        return stage.attention[block].kind if what == "attention" else stage.attention[block].reduction

    @property
    def everywhere(self) -> str:
        """The activation."""
        return self.activation

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The value that `to_dict` described. Raises InputError naming the field that is wrong."""
        fields = check_fields("", data, cls, free=("output_stride",))
        stages = check_list("stages", fields.pop("stages"), MAX_STAGES)
        return cls(stages=tuple(_stage(f"stages[{i}]", stage) for i, stage in enumerate(stages)), **fields)


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


def _stage(place: str, data: object) -> Stage:
    fields = check_fields(place, data, Stage)
    entries = fields.pop("attention")
    entries = check_list(f"{place}.attention", entries, MAX_DEPTH) if entries != [] else []
    attention = tuple(_attention(f"{place}.attention[{i}]", entry) for i, entry in enumerate(entries))
    try:
        return Stage(attention=attention, **fields)
    except InputError as error:
        raise InputError(f"{place}.{error}") from None


def _attention(place: str, data: object) -> Attention:
    fields = check_fields(place, data, Attention)
    try:
        return Attention(**fields)
    except InputError as error:
        raise InputError(f"{place}.{error}") from None
