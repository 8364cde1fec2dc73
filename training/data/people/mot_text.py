"""Tracks as text, a line a box: MOTChallenge's format, which track 1 of HiEve has as well.

`frame, id, left, top, width, height, flag or confidence, -1, -1, -1`, in pixels, frames counted from 1. In a truth 0
says that a box counts nowhere. Fields beyond the seventh are not read: in some truths they are a place in the world.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foundation.errors import InputError
from foundation.files import write_atomically
from foundation.json_files import read_text, shown
from training.data.people.clip import Array

LONGEST = 1 << 26  # characters of a file that are read
MOST_FRAMES = 10_000_000

_FIELDS = 7
_FEWEST = 6


class Tracked(NamedTuple):
    """The K boxes of a frame.

    Attributes:
        boxes: K×4 (float32): left, top, right, bottom in pixels.
        identities: K (int64); -1 for a detection that is of no track.
        scores: K (float32): the seventh field.
    """

    boxes: Array
    identities: Array
    scores: Array


NOTHING = Tracked(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))


def read_tracks(path: Path) -> dict[int, Tracked]:
    """The boxes of each frame that has any, by its number, in the order of the file.

    Raises InputError for a file that cannot be read, a line with fewer than six fields or with what is no number, a box
    without area, and an identity that is in a frame twice.
    """
    rows: dict[int, list[tuple[float, ...]]] = {}
    for number, line in enumerate(read_text(path, LONGEST).splitlines(), 1):
        if line.strip():
            frame, *row = _row(line, f"{path}: line {number}")
            rows.setdefault(int(frame), []).append(tuple(row))
    return {frame: _tracked(own, f"{path}: frame {frame}") for frame, own in sorted(rows.items())}


def write_tracks(path: Path, frames: Mapping[int, Tracked]) -> None:
    """Writes a line for each box, atomically; numbers with two decimals."""
    lines = []
    for frame, (boxes, identities, scores) in sorted(frames.items()):
        for (left, top, right, bottom), identity, score in zip(boxes, identities, scores, strict=True):
            box = ",".join(f"{value:.2f}" for value in (left, top, right - left, bottom - top))
            lines.append(f"{frame},{identity},{box},{score:g},-1,-1,-1\n")

    def write(temporary: Path) -> None:
        temporary.write_text("".join(lines), encoding="utf-8")

    write_atomically(path, write)


def _row(line: str, where: str) -> list[float]:
    """Frame, identity, left, top, width, height, score."""
    fields = line.replace(",", " ").split()
    if len(fields) < _FEWEST:
        raise InputError(
            f"{where}: expected frame, id, left, top, width, height, score; got {shown(line.strip())}; correct it"
        )
    values = []
    for field in fields[:_FIELDS]:
        try:
            value = float(field)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{where}: expected numbers, got {shown(field)}; correct it")
        values.append(value)
    if not 0 <= values[0] <= MOST_FRAMES or values[0] != int(values[0]) or values[1] != int(values[1]):
        raise InputError(f"{where}: expected whole numbers of frame and id, got {shown(line.strip())}; correct it")
    if min(values[4:6]) <= 0:
        raise InputError(f"{where}: a box without area; correct or remove it")
    return [*values, 1.0][:_FIELDS]


def _tracked(rows: list[tuple[float, ...]], where: str) -> Tracked:
    table = np.array(rows, np.float64)
    identities = table[:, 0].astype(np.int64)
    known = identities[identities >= 0]
    if len(np.unique(known)) < len(known):
        raise InputError(f"{where}: an id is there twice; give each box its own")
    boxes = np.concatenate([table[:, 1:3], table[:, 1:3] + table[:, 3:5]], 1)
    return Tracked(boxes.astype(np.float32), identities, table[:, 5].astype(np.float32))
