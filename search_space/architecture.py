"""An architecture as a value: everything about a network's backbone, and nothing about the number of classes.

Only the standard library is used here, so an architecture can be read, compared and printed without torch.
"""

import dataclasses
import functools
import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

from foundation.errors import InputError
from foundation.json_files import parse_json, shown
from foundation.registry import Registry
from search_space.family import OR_A_PLUGIN, found_in
from search_space.fields import check_integer, check_name

MAX_RESOLUTION = 4096

FIRST_FAMILY = "mobile"
"""What JSON without a family describes: it was the only one once."""


@dataclass(frozen=True)
class Attention:
    """The attention of one block: an op's registered kind, and its reduction ratio where the op declares one."""

    kind: str
    reduction: int | None = None

    def __post_init__(self) -> None:
        check_name("kind", self.kind)
        if self.reduction is not None:
            check_integer("reduction", self.reduction, 1, 1024)

    @property
    def label(self) -> str:
        """Short form for tables: `ca/16`, `simam`, and `–` for no attention."""
        if self.kind == "none":
            return "–"
        return self.kind if self.reduction is None else f"{self.kind}/{self.reduction}"


@dataclass(frozen=True)
class Row:
    """A stage of a network, or an end of it, as tables and drawings show it.

    Attributes:
        name: `stem`, `1` and so on for stages, `head`.
        place: the name of its module.
        kind: of its blocks, such as `inverted_residual`; of an end what it is, in words.
        width: channels of its output.
        stride: pixels of its input to one of its output, along one side; None where there is nothing to say.
        blocks: the attention of each block, None for one without a place for attention.
        numbers: what else was decided for it or tells it apart, by name, such as `kernel` and `expansion`.
        end: whether it is an end, for which a search decides nothing.
    """

    name: str
    place: str
    kind: str
    width: int
    stride: int | None
    blocks: tuple[Attention | None, ...]
    numbers: tuple[tuple[str, int | float], ...] = ()
    end: bool = False

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def attention(self) -> tuple[Attention, ...]:
        """The attention of each block that has a place for one."""
        return tuple(own for own in self.blocks if own is not None)

    @property
    def attention_label(self) -> str:
        """Short form for tables: one label if all blocks agree, else one a block joined by `+`; – where none can be."""
        labels = [attention.label for attention in self.attention] or ["–"]
        return labels[0] if len(set(labels)) == 1 else "+".join(labels)


@functools.total_ordering
class Architecture(ABC):
    """A network's backbone as a frozen value; each family has a dataclass of its own.

    A family's dataclass is registered in `ARCHITECTURES`, in the file `architecture.py` of the family's room.
    `Architecture(…)` itself makes one of the first family, the mobile networks.

    Attributes:
        family: the name of its room in `search_space.families`.
        resolution: the side in pixels of the square input the network is trained, scored and costed at.
    """

    family: ClassVar[str]
    resolution: int

    def __new__(cls, *_args: Any, **_fields: Any) -> Self:
        """Where there was one family only, its value had this name: who makes one by it still gets it."""
        made = found_in(ARCHITECTURES, FIRST_FAMILY, "architecture") if cls is Architecture else cls
        return cast(Self, object.__new__(made))

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        return self.to_json() < other.to_json()

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers, strings and None; `family` says which, but for the first."""

    @abstractmethod
    def rows(self) -> tuple[Row, ...]:
        """Its stages and ends in order: all that tables and drawings read."""

    @abstractmethod
    def decided(self, name: str) -> Any:
        """What it has where a space's decision of that name is made; None where it has no such place."""

    @classmethod
    @abstractmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The value that `to_dict` described, without its family. Raises InputError naming the field that is wrong."""

    @property
    @abstractmethod
    def strides(self) -> tuple[int, ...]:
        """Of its network's maps, the finest first: pixels of the picture to one of the map, along one side."""

    @property
    @abstractmethod
    def everywhere(self) -> str:
        """What is the same in all of its stages, in a word or two: of mobile networks the activation."""

    def at(self, resolution: int) -> Self:
        """The same network at another resolution."""
        return cast(Self, dataclasses.replace(cast(Any, self), resolution=resolution))

    def stage_rows(self) -> tuple[Row, ...]:
        """Its stages alone."""
        return tuple(row for row in self.rows() if not row.end)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces; numbers are integers, or have two decimals at most."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal: the architecture's identity everywhere."""
        return self._digest

    @functools.cached_property  # a search asks for it many times
    def _digest(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @staticmethod
    def from_dict(data: object) -> "Architecture":
        """The architecture that `to_dict` described. Raises InputError naming the field that is wrong."""
        if not isinstance(data, dict):
            raise InputError(f"architecture: expected an object, got {shown(data)}")
        fields = {**data}
        family = fields.pop("family", FIRST_FAMILY)
        check_name("family", family)
        return found_in(ARCHITECTURES, family, "architecture").read(fields)

    @staticmethod
    def from_json(text: object) -> "Architecture":
        """The architecture that `to_json` wrote. Raises InputError naming the field that is wrong."""
        if not isinstance(text, str):
            raise InputError(f"architecture: expected a JSON text, got {shown(text)}")
        return _parsed(text)


@functools.lru_cache(maxsize=1 << 14)  # a study's trials are read by the search, and again by its report
def _parsed(text: str) -> Architecture:
    return Architecture.from_dict(parse_json(text))


ARCHITECTURES: Registry[type[Architecture]] = Registry("family", OR_A_PLUGIN)
"""The value of each family."""


def check_resolution(value: object) -> None:
    """Raises InputError if it is no side of a picture in pixels."""
    check_integer("resolution", value, 1, MAX_RESOLUTION)
