"""The frames of a video that a command line names, with who is in them where that is known."""

import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from deployment.prediction import find_pictures
from foundation.errors import InputError
from foundation.progress import Reporter
from tasks.pose.data import read_frame
from training.data.people import clips
from training.data.people.clip import Array, People
from training.data.people.hieve import read_video
from training.data.people.mot_text import Tracked

MADE = "scenes:people"

_HELD = 4  # frames that stay decoded


class Footage(NamedTuple):
    """T frames in order.

    Attributes:
        name: without any path.
        picture: of a frame's place, from 0 on: H×W×3 (uint8).
        people: who is in each of them; None where that is not known.
    """

    name: str
    length: int
    picture: Callable[[int], Array]
    people: tuple[People, ...] | None


def find_footage(spec: str, reporter: Reporter) -> Footage:
    """The frames of a folder of pictures, in the order of their names; of a video's folder in HiEve's format, whose
    people are known; or of `scenes:people:N`, the clip of that number of the test split (default: 0).

    Raises InputError for a folder that is not there or has no pictures, and for a number that is none.
    """
    if spec == MADE or spec.startswith(f"{MADE}:"):
        number = spec.removeprefix(MADE).removeprefix(":") or "0"
        if not number.isdecimal() or int(number) >= clips.COUNTS["test"]:
            raise InputError(f"{spec}: expected {MADE}:N with N from 0 to {clips.COUNTS['test'] - 1}, got {number}")
        clip = clips.clip("test", int(number))
        return Footage(clip.name, len(clip.pictures), clip.pictures.__getitem__, tuple(clip.frames))
    folder = Path(spec)
    if not folder.is_dir():
        raise InputError(f"{spec}: no such folder; give one of frames, or {MADE}")
    if any(re.fullmatch(r"\d+\.(xml|json)", name) for name in os.listdir(folder)):
        video = read_video(folder)
        return Footage(video.name, len(video.pictures), _reader(video.pictures), video.frames)
    pictures, left_out = find_pictures([spec], gone=False)
    for line in left_out:
        reporter.say(line)
    return Footage(folder.resolve().name, len(pictures), _reader(tuple(map(str, pictures))), None)


def truth_of(people: tuple[People, ...]) -> dict[int, Tracked]:
    """The boxes of each frame that has any, frames counted from 1, all of which count."""
    frames = {}
    for number, there in enumerate(people, 1):
        if len(there):
            frames[number] = Tracked(there.boxes, there.identities, (there.identities * 0 + 1).astype("float32"))
    return frames


def _reader(paths: tuple[str, ...]) -> Callable[[int], Array]:
    @lru_cache(maxsize=_HELD)
    def picture(place: int) -> Array:
        return read_frame(paths[place])

    return picture
