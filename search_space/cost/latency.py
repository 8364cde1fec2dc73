"""How long each piece of a network takes on one device, as a table in a file: measured here, or elsewhere.

A network's latency is the sum over its pieces (a convolution with its normalisation and activation, an attention, the
addition of a skip, the classifier), less what a call of the runtime itself takes, times `scale`, plus `constant_ns`.
The file is JSON:

    {
     "device": "Pixel 8, one Cortex-X3",
     "runtime": "onnxruntime 1.22",
     "threads": 1,
     "call_ns": 3100,
     "scale": 1.04,
     "constant_ns": 12000,
     "networks": 14,
     "pieces": {
      "conv 3>32 k3 s2 relu6 @224": 412300,
      "depthwise 96 k5 s2 relu6 @112": 633100,
      "attention ca/16 96 relu6 @56": 201800,
      "add 24 @56": 9100,
      "classifier 1280>1000 @7": 150200
     }
    }

All times are integers, nanoseconds for one image: a piece's by a call of it alone, `call_ns` by a call that computes
nothing. `@` gives the side of the piece's square input in pixels, `k` the kernel's, `s` the stride; an
attention with a probe has the number of classes after that of channels, `attention cifs 96>10 relu6 @56`. `scale` and
`constant_ns` correct the sum towards whole networks, which meet other caches than a piece that runs again and again;
`networks` says on how many they were fitted, 0 (with 1 and 0) where they were not. Device and runtime are free text.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.json_files import MAX_OF_A_RUN, read_json
from search_space.parts import Addition, Part, Piece

MAX_PIECES = 50_000
MAX_NANOSECONDS = 10**12
MAX_KEY = 120


def key(piece: Piece, size: int) -> str:
    """The name in a table of a piece on `size`×`size` pixels."""
    return f"{piece.label} @{size}"


def timed_pieces(part: Part, size: int) -> Iterator[tuple[Piece, int]]:
    """The pieces of a part that take time, each with the side of its input, for an input of `size`×`size` pixels."""
    if part.skips:
        yield Addition(part.in_channels), size
    for _, piece in part.pieces:
        if piece.takes_time:
            yield piece, size
        size = piece.output_size(size)


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Times of pieces on one device, by name; the module's text says what the fields mean.

    Raises InputError, `field: problem`, for a field of another type or out of range.
    """

    device: str
    runtime: str
    threads: int
    pieces: dict[str, int] = field(repr=False)
    call_ns: int = 0
    scale: float = 1.0
    constant_ns: int = 0
    networks: int = 0

    def __post_init__(self) -> None:
        for name in ("device", "runtime"):
            text = getattr(self, name)
            if not isinstance(text, str) or not 1 <= len(text) <= 200 or not text.isprintable():
                raise InputError(f"{name}: expected one line of 1 to 200 characters, got {repr(text)[:60]}")
        _check_integer("threads", self.threads, 1, 4096)
        _check_integer("call_ns", self.call_ns, 0, MAX_NANOSECONDS)
        _check_integer("constant_ns", self.constant_ns, -MAX_NANOSECONDS, MAX_NANOSECONDS)
        _check_integer("networks", self.networks, 0, 10**6)
        if type(self.scale) not in (int, float) or not 0.01 <= self.scale <= 100:
            raise InputError(f"scale: expected a number from 0.01 to 100, got {repr(self.scale)[:60]}")
        if not isinstance(self.pieces, dict) or len(self.pieces) > MAX_PIECES:
            raise InputError(f"pieces: expected an object of at most {MAX_PIECES} times by name")
        for name, value in self.pieces.items():
            if not isinstance(name, str) or len(name) > MAX_KEY:
                raise InputError(f"pieces: expected names of at most {MAX_KEY} characters, got {repr(name)[:60]}")
            if value is None:
                raise InputError(f"pieces[{name!r}]: null; fill in the time that it takes, in nanoseconds")
            _check_integer(f"pieces[{name!r}]", value, 1, MAX_NANOSECONDS)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LatencyTable) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return f"{self.device}, {self.runtime}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the table as canonical JSON."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def nanoseconds(self, piece: Piece, size: int) -> int:
        """Time of a piece on `size`×`size` pixels within a network. Raises InputError for one that is missing."""
        if not piece.takes_time:
            return 0
        name = key(piece, size)
        if name not in self.pieces:
            raise InputError(f"latency table of {self}: lacks {name!r}; measure it with measure_latency.py")
        return max(0, round(self.scale * (self.pieces[name] - self.call_ns)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the file holds them."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_dict(cls, data: object) -> "LatencyTable":
        """The table that `to_dict` described. Raises InputError naming the field that is wrong."""
        known = [one.name for one in fields(cls)]
        if not isinstance(data, dict):
            raise InputError("not a latency table: expected an object")
        for name in data:
            if name not in known:
                raise InputError(f"{repr(name)[:60]}: unknown field; a latency table has {', '.join(known)}")
        for name in ("device", "runtime", "threads", "pieces"):
            if name not in data:
                raise InputError(f"{name}: missing")
        return cls(**data)


def read_latency_table(path: Path) -> LatencyTable:
    """The table in a file. Raises InputError naming the file and the field that is wrong."""
    content = read_json(path, MAX_OF_A_RUN)
    try:
        return LatencyTable.from_dict(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def fitted(sums: list[int], measured: list[int]) -> tuple[float, int]:
    """The scale and the constant (ns) that bring sums of pieces nearest to the measured networks.

    Least squares of relative errors; a scale alone where the sums hardly differ.
    """
    # Σ(s·x/y + c/y − 1)² over s and c, by its normal equations.
    u = [x / y for x, y in zip(sums, measured, strict=True)]
    v = [1 / y for y in measured]
    uu, vv, uv = (math.fsum(a * b for a, b in zip(p, q, strict=True)) for p, q in ((u, u), (v, v), (u, v)))
    determinant = uu * vv - uv * uv
    if determinant > 1e-6 * uu * vv:
        scale = (math.fsum(u) * vv - math.fsum(v) * uv) / determinant
        constant = (math.fsum(v) * uu - math.fsum(u) * uv) / determinant
        if scale > 0:
            return round(scale, 6), round(constant)
    return round(math.fsum(u) / uu, 6), 0


def _check_integer(place: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{place}: expected an integer from {low} to {high}, got {repr(value)[:60]}")
