"""A mobile network as a value: stem convolution, stages of blocks, head convolution.

Only the standard library is used here, so an architecture can be read, compared and printed without torch.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.architecture import ARCHITECTURES, Architecture, Attention, Row, check_resolution
from search_space.decisions import dimension
from search_space.families.mobile.spread import Spread, check_output_stride, spreads
from search_space.fields import check_fields, check_integer, check_list, check_name, check_tuple

MAX_WIDTH = 8192
MAX_STAGES = 32
MAX_DEPTH = 32


@dataclass(frozen=True)
class Stage:
    """A row of blocks with one output width; the first block has the stride.

    `attention` has one entry a block, so its length is the stage's depth. Widths count channels; `expansion` is
    the ratio of a block's hidden to its input channels (of its input to its hidden channels in a sandglass): an
    integer, or a number of at most two decimals, whose channels are rounded to a multiple of 8.

    A stage without blocks is left out: what is before it goes on unchanged, and its width is that.

    Attributes:
        kernel_size: of the depthwise convolution; 0 where a block's may be left out, and is.
        activation: of its blocks; None for the architecture's own.
        start_kernel_size: of a depthwise convolution before the expansion, for blocks that may have one; 0 for none.
    """

    block: str
    width: int
    stride: int
    expansion: int | float
    kernel_size: int
    attention: tuple[Attention, ...]
    activation: str | None = None
    start_kernel_size: int = 0

    def __post_init__(self) -> None:
        check_name("block", self.block)
        check_integer("width", self.width, 1, MAX_WIDTH)
        check_integer("stride", self.stride, 1, 2)
        _check_expansion(self.expansion)
        for name in ("kernel_size", "start_kernel_size"):
            size = getattr(self, name)
            check_integer(name, size, 0, 11)
            if size and size % 2 == 0:
                raise InputError(f"{name}: expected an odd integer, got {size}")
        if self.activation is not None:
            check_name("activation", self.activation)
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

    Without a stem, `stem_width` None and `stem_stride` 1, the first stage sees the picture.

    With an `output_stride` no map is coarser than that, in pixels of the picture to one of its own: the stages whose
    stride would go beyond it are dilated instead. Parameters are the same either way.

    Attributes:
        pooled_width: units of a layer between the mean over the last map and a classifier; None for no such layer.
        pooled_norm: whether that layer is without biases, and batch normalisation follows it.
    """

    resolution: int
    stem_width: int | None
    stem_stride: int
    stages: tuple[Stage, ...]
    head_width: int | None
    activation: str
    output_stride: int | None = None
    pooled_width: int | None = None
    pooled_norm: bool = False

    family = "mobile"

    def __post_init__(self) -> None:
        check_resolution(self.resolution)
        check_stem(self.stem_width, self.stem_stride)
        check_tuple("stages", self.stages, Stage, MAX_STAGES)
        if self.head_width is not None:
            check_integer("head_width", self.head_width, 1, MAX_WIDTH)
        check_name("activation", self.activation)
        check_pooled(self.pooled_width, self.pooled_norm)
        width = self.first_width
        for index, stage in enumerate(self.stages):
            if stage.activation == self.activation:
                raise InputError(f"stages[{index}].activation: {stage.activation} is the network's own; leave it out")
            if stage.depth == 0 and stage.width != width:
                raise InputError(f"stages[{index}].width: expected {width}, as before the stage, which is left out")
            width = stage.width
        if self.output_stride is not None:
            check_output_stride(self.output_stride, self.stem_stride, [stage.stride for stage in self.stages])

    @property
    def first_width(self) -> int:
        """Channels that the first stage sees: the stem's, or the picture's."""
        return first_width(self.stem_width)

    @property
    def total_stride(self) -> int:
        """Input pixels per pixel of the last feature map, along one side."""
        return self.strides[-1]

    @property
    def strides(self) -> tuple[int, ...]:
        """See `Architecture.strides`."""
        return tuple(dict.fromkeys(self.strides_along[self.stem_width is None :]))

    @property
    def strides_along(self) -> tuple[int, ...]:
        """The stride of what the first stage sees, and of the map after each stage."""
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
            {**_told(stage), "attention": [{**vars(attention)} for attention in stage.attention]}
            for stage in self.stages
        ]
        return {**_told(self), "stages": stages}

    def rows(self) -> tuple[Row, ...]:
        """Stem, stages and, where there is one, head."""
        rows = []
        if self.stem_width is not None:
            kernel = ("kernel", 3)
            rows += [
                Row("stem", "stem", "convolution", self.stem_width, self.stem_stride, (None,), (kernel,), end=True)
            ]
        for index, (stage, spread) in enumerate(zip(self.stages, self.spreads, strict=True)):
            numbers: list[tuple[str, int | float]] = []
            if stage.depth and stage.start_kernel_size:
                numbers.append(("start kernel", stage.start_kernel_size))
            if stage.depth:
                numbers += [("kernel", stage.kernel_size), ("expansion", stage.expansion)]
            stride = 1 if spread.unstrided else stage.stride
            dilation = spread.dilation * stage.stride // stride
            if stage.depth and dilation > 1:
                numbers.append(("dilation", dilation))
            place, name = f"stages.{index}", f"{index + 1}"
            rows.append(Row(name, place, stage.block, stage.width, stride, stage.attention, tuple(numbers)))
        if self.head_width is not None:
            rows.append(Row("head", "head", "convolution", self.head_width, None, (None,), (("kernel", 1),), end=True))
        if self.pooled_width is not None:
            rows.append(Row("pooled", "pooled", "layer after the mean", self.pooled_width, None, (None,), end=True))
        return tuple(rows)

    def decided(self, name: str) -> Any:
        """What it has where the decision `name` is made; None if it has no such block."""
        if name == "resolution":
            return self.resolution
        place, *inner = name.partition("(")[0].split(".")  # options in brackets may have dots of their own
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
        """The activation; where some stages have another, these as well."""
        others = dict.fromkeys(stage.activation for stage in self.stages if stage.activation is not None)
        own = (
            f"{other} in stages {_numbered([stage.activation == other for stage in self.stages])}" for other in others
        )
        return ", ".join([self.activation, *own])

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The value that `to_dict` described. Raises InputError naming the field that is wrong."""
        fields = check_fields("", data, cls, free=_free(cls))
        stages = check_list("stages", fields.pop("stages"), MAX_STAGES)
        return cls(stages=tuple(_stage(f"stages[{i}]", stage) for i, stage in enumerate(stages)), **fields)


def _told(value: Any) -> dict[str, Any]:
    """The fields of a value; one that may be missing only where it says something: digests stay when it is new."""
    kind: Any = type(value)
    return {name: own for name, default in _defaults(kind).items() if (own := getattr(value, name)) != default}


@functools.lru_cache
def _defaults(cls: Any) -> dict[str, Any]:
    """The fields of a dataclass with their defaults, MISSING for those that are always there."""
    return {field.name: field.default for field in dataclasses.fields(cls)}


def _free(cls: Any) -> tuple[str, ...]:
    """The fields that may be missing."""
    return tuple(name for name, default in _defaults(cls).items() if default is not dataclasses.MISSING)


def _numbered(wanted: Sequence[bool]) -> str:
    """The numbers, from 1, of what is wanted, neighbours as a range: `1 to 3, 5`."""
    found: list[list[int]] = []
    for number, one in enumerate(wanted, 1):
        if one and found and found[-1][-1] == number - 1:
            found[-1].append(number)
        elif one:
            found.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in found)


def first_width(stem_width: int | None) -> int:
    """Channels after a stem of that width; the picture's where there is none."""
    return 3 if stem_width is None else stem_width


def check_stem(width: object, stride: object) -> None:
    """Raises InputError if it is neither a stem nor none."""
    if width is not None:
        check_integer("stem_width", width, 1, MAX_WIDTH)
    check_integer("stem_stride", stride, 1, 1 if width is None else 2)


def check_pooled(width: object, norm: object) -> None:
    """Raises InputError if it is no layer after the mean."""
    if width is not None:
        check_integer("pooled_width", width, 1, MAX_WIDTH)
    if type(norm) is not bool or (norm and width is None):
        raise InputError(f"pooled_norm: expected false, or with a pooled_width true, got {shown(norm)}")


def _check_expansion(value: object) -> None:
    """Raises InputError if it is neither an integer from 1 to 16 nor a number between these with two decimals."""
    if type(value) is float and 1 < value < 16 and value != int(value) and value == round(value, 2):
        return
    if type(value) is float:
        raise InputError(f"expansion: expected an integer from 1 to 16, or 2.25 and the like, got {shown(value)}")
    check_integer("expansion", value, 1, 16)


def _stage(place: str, data: object) -> Stage:
    fields = check_fields(place, data, Stage, free=_free(Stage))
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
