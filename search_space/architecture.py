"""An architecture as a value: everything about a network except the number of classes.

Only the standard library is used here, so an architecture can be read, compared and printed without torch.
"""

import dataclasses
import functools
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from foundation.errors import InputError
from foundation.json_files import parse_json, shown

MAX_WIDTH = 8192
MAX_STAGES = 32
MAX_DEPTH = 32
MAX_RESOLUTION = 4096

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True)
class Attention:
    """The attention of one block: an op's registered kind, and its reduction ratio where the op declares one."""

    kind: str
    reduction: int | None = None

    def __post_init__(self) -> None:
        _check_name("kind", self.kind)
        if self.reduction is not None:
            _check_integer("reduction", self.reduction, 1, 1024)

    @property
    def label(self) -> str:
        """Short form for tables: `ca/16`, `simam`, and `–` for no attention."""
        if self.kind == "none":
            return "–"
        return self.kind if self.reduction is None else f"{self.kind}/{self.reduction}"


@dataclass(frozen=True)
class Stage:
    """A row of blocks with one output width; the first block has the stride.

    `attention` has one entry a block, so its length is the stage's depth. Widths count channels; `expansion` is
    the ratio of a block's hidden to its input channels (of its input to its hidden channels in a sandglass).
    """

    block: str
    width: int
    stride: int
    expansion: int
    kernel_size: int
    attention: tuple[Attention, ...]

    def __post_init__(self) -> None:
        _check_name("block", self.block)
        _check_integer("width", self.width, 1, MAX_WIDTH)
        _check_integer("stride", self.stride, 1, 2)
        _check_integer("expansion", self.expansion, 1, 16)
        _check_integer("kernel_size", self.kernel_size, 1, 11)
        if self.kernel_size % 2 == 0:
            raise InputError(f"kernel_size: expected an odd integer, got {self.kernel_size}")
        _check_tuple("attention", self.attention, Attention, MAX_DEPTH)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.attention)

    @property
    def attention_label(self) -> str:
        """Short form for tables: one label if all blocks agree, else one a block joined by `+`."""
        labels = [attention.label for attention in self.attention]
        return labels[0] if len(set(labels)) == 1 else "+".join(labels)


@functools.total_ordering
@dataclass(frozen=True)
class Architecture:
    """A whole network: stem convolution, stages, head convolution (absent where `head_width` is None), classifier.

    `resolution` is the side in pixels of the square input the network is trained, scored and costed at.
    """

    resolution: int
    stem_width: int
    stem_stride: int
    stages: tuple[Stage, ...]
    head_width: int | None
    activation: str

    def __post_init__(self) -> None:
        _check_integer("resolution", self.resolution, 1, MAX_RESOLUTION)
        _check_integer("stem_width", self.stem_width, 1, MAX_WIDTH)
        _check_integer("stem_stride", self.stem_stride, 1, 2)
        _check_tuple("stages", self.stages, Stage, MAX_STAGES)
        if self.head_width is not None:
            _check_integer("head_width", self.head_width, 1, MAX_WIDTH)
        _check_name("activation", self.activation)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        return self.to_json() < other.to_json()

    @property
    def total_stride(self) -> int:
        """Input pixels per pixel of the last feature map, along one side."""
        stride = self.stem_stride
        for stage in self.stages:
            stride *= stage.stride
        return stride

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, integers, strings and None."""
        stages = [
            {**vars(stage), "attention": [{**vars(attention)} for attention in stage.attention]}
            for stage in self.stages
        ]
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "stages": stages}

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, integers only."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal: the architecture's identity everywhere."""
        return self._digest

    @functools.cached_property  # a search asks for it many times
    def _digest(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_dict(cls, data: object) -> "Architecture":
        """The architecture that `to_dict` described. Raises InputError naming the field that is wrong."""
        fields = _check_fields("", data, cls)
        stages = _check_list("stages", fields.pop("stages"), MAX_STAGES)
        return cls(stages=tuple(_stage(f"stages[{i}]", stage) for i, stage in enumerate(stages)), **fields)

    @classmethod
    def from_json(cls, text: object) -> "Architecture":
        """The architecture that `to_json` wrote. Raises InputError naming the field that is wrong."""
        if not isinstance(text, str):
            raise InputError(f"architecture: expected a JSON text, got {shown(text)}")
        return _parsed(text)


@functools.lru_cache(maxsize=1 << 14)  # a study's trials are read by the search, and again by its report
def _parsed(text: str) -> Architecture:
    return Architecture.from_dict(parse_json(text))


def _stage(place: str, data: object) -> Stage:
    fields = _check_fields(place, data, Stage)
    entries = _check_list(f"{place}.attention", fields.pop("attention"), MAX_DEPTH)
    attention = tuple(_attention(f"{place}.attention[{i}]", entry) for i, entry in enumerate(entries))
    try:
        return Stage(attention=attention, **fields)
    except InputError as error:
        raise InputError(f"{place}.{error}") from None


def _attention(place: str, data: object) -> Attention:
    fields = _check_fields(place, data, Attention)
    try:
        return Attention(**fields)
    except InputError as error:
        raise InputError(f"{place}.{error}") from None


def _check_fields(place: str, data: object, cls: type) -> dict[str, Any]:
    """`data` as a dictionary with exactly the fields of the dataclass `cls`."""
    where = place or "architecture"
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected an object, got {shown(data)}")
    known = {field.name for field in dataclasses.fields(cls)}
    prefix = f"{place}." if place else ""
    for name in sorted(known - data.keys()):
        raise InputError(f"{prefix}{name}: missing")
    for name in sorted(data.keys() - known):
        raise InputError(f"{prefix}{shown(name)}: unknown field; {where} has {', '.join(sorted(known))}")
    return dict(data)


def _check_list(place: str, value: object, longest: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= longest:
        got = f"{len(value)} entries" if isinstance(value, list) else shown(value)
        raise InputError(f"{place}: expected a list of 1 to {longest} entries, got {got}")
    return value


def _check_tuple(place: str, value: object, kind: type, longest: int) -> None:
    if not isinstance(value, tuple) or not all(isinstance(entry, kind) for entry in value):
        raise InputError(f"{place}: expected a tuple of {kind.__name__}, got {shown(value)}")
    if not 1 <= len(value) <= longest:
        raise InputError(f"{place}: expected 1 to {longest} entries, got {len(value)}")


def _check_integer(place: str, value: object, low: int, high: int) -> None:
    # bool is an int in Python; `true` for a width is a mistake all the same.
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{place}: expected an integer from {low} to {high}, got {shown(value)}")


def _check_name(place: str, value: object) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InputError(f"{place}: expected a name in lower case, got {shown(value)}")
