"""The frames of a video that a command line names, with who is in them where that is known."""

import os
import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from deployment.prediction import find_pictures
from foundation.errors import InputError
from foundation.progress import Reporter
from tasks.pose.data import frame_of, read_frame
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
    """The frames of a folder of pictures, in the order of the numbers in their names; of a video's folder in HiEve's
    format, whose people are known; or of `scenes:people:N`, the clip of that number of the test split (default: 0).

    Raises InputError for a folder that is not there, has no pictures, or has them in several folders, and for a number
    that is none.
    """
    if spec == MADE or spec.startswith(f"{MADE}:"):
        number = spec.removeprefix(MADE).removeprefix(":") or "0"
        if not number.isdecimal() or int(number) >= clips.COUNTS["test"]:
            raise InputError(f"{spec}: expected {MADE}:N with N from 0 to {clips.COUNTS['test'] - 1}, got {number}")
        clip = clips.clip("test", int(number))
        return Footage(clip.name, len(clip.pictures), clip.pictures.__getitem__, tuple(clip.frames))
    folder = Path(spec)
    if os.path.isfile(spec):
        raise InputError(f"{spec}: is a file; cut a video's frames into a folder, by ffmpeg for example, and give that")
    if not os.path.isdir(spec):  # of a name that is too long `Path.is_dir` raises an error
        raise InputError(f"{spec}: no such folder; give one of frames, or {MADE}")
    if any(re.fullmatch(r"\d+\.(xml|json)", name) for name in os.listdir(folder)):
        video = read_video(folder)
        return Footage(video.name, len(video.pictures), _held(partial(frame_of, video)), video.frames)
    pictures, left_out = find_pictures([spec], gone=False)
    for line in left_out:
        reporter.say(line)
    folders = sorted({picture.parent for picture in pictures})
    if len(folders) > 1:
        raise InputError(f"{spec}: frames lie in {folders[0]} and in {folders[1]}; give the folder of one video")
    paths = [str(picture) for picture in sorted(pictures, key=_in_time)]
    return Footage(folder.resolve().name, len(paths), _held(lambda place: read_frame(paths[place])), None)


def _in_time(picture: Path) -> tuple[list[str | int], str]:
    """Digits in a name count as a number: frame2 comes before frame10."""
    parts = re.split("([0-9]+)", picture.stem)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], picture.name


def truth_of(people: tuple[People, ...]) -> dict[int, Tracked]:
    """The boxes of each frame that has any, frames counted from 1, all of which count."""
    frames = {}
    for number, there in enumerate(people, 1):
        if len(there):
            frames[number] = Tracked(there.boxes, there.identities, (there.identities * 0 + 1).astype("float32"))
    return frames


def _held(picture: Callable[[int], Array]) -> Callable[[int], Array]:
    return lru_cache(maxsize=_HELD)(picture)
