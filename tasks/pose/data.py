"""People in crops, with their joints."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from training.data.annotated import some
from training.data.corrupt import CorruptError
from training.data.dataset import Dataset, Wanted
from training.data.division import divided_by
from training.data.opening import TOO_MANY
from training.data.people import clips
from training.data.people.clip import Array, Clip, People
from training.data.people.crops import crops, into, squares
from training.data.people.film import Film, FilmedSplit, evenly
from training.data.people.hieve import Video, read_video
from training.data.people.joints import JOINTS
from training.data.picture_files import Finder
from training.data.pictures import Pictures
from training.data.preparation import Found, decoded, opened_picture, read_file, turn_of
from training.targets import Target

SPECS = "scenes:people, hieve:PATH"

EVERY = 8
"""Of the frames of a clip that is made, one in so many: those between are nearly the same."""

MEAN, STD = (0.32, 0.32, 0.31), (0.29, 0.25, 0.25)
"""Of channels of the training crops of `scenes:people`, in 0 to 1, rounded."""

SHARES = (0.7, 0.15, 0.15)
"""Of a folder's videos, for training, validation and testing: whole videos, by a draw that is always the same."""

_SIDES = (32, 384)


def load_people(wanted: Wanted) -> Dataset:
    """The people that a spec names, one a crop of `side` pixels around the true box.

    Targets are a dictionary each: `joints`, 16×2 in pixels, the 14 joints and then the ends of the picture's upper
    edge, which say whether it was mirrored; `flags` 14 (int8); and `area`, that of the box as a share of the crop's.

    Raises InputError for an unknown spec, a side that crops are not made at, and files that cannot be used.
    """
    if not _SIDES[0] <= wanted.side <= _SIDES[1]:
        raise InputError(
            f"`data` {wanted.spec}: crops of {_SIDES[0]} to {_SIDES[1]} pixels, but the space wants {wanted.side}; "
            "choose a `space` of other resolutions"
        )
    if wanted.kind == "hieve":
        return _of_videos(wanted)
    if wanted.spec != "scenes:people":
        raise InputError(f"`data` {wanted.spec}: unknown to task pose; known: {SPECS}")

    def load(split: str) -> FilmedSplit:
        shown = range(0, clips.FRAMES, EVERY)
        frames = (
            (picture, people, number)
            for number, clip in enumerate(_made(split, clips.COUNTS[split], wanted.reporter, shown))
            for picture, people in zip(clip.pictures, clip.frames, strict=True)
        )
        return FilmedSplit(
            _pictures(frames, wanted.side), MEAN, STD, wanted.device, lambda: _film_of_clip(split, wanted.side)
        )

    return Dataset("scenes:people", "scenes people crops", JOINTS, MEAN, STD, load, wanted.device)


def _made(split: str, count: int, reporter: Reporter, shown: range) -> Iterable[Clip]:
    with reporter.track(f"{split} clips", count, "clips") as advance:
        for number in range(count):
            yield clips.clip(split, number, frames=shown)
            advance("")


def _of_videos(wanted: Wanted) -> Dataset:
    """The videos in a folder, each in a folder of its own."""
    videos = read_videos(wanted.rest, wanted.spec, wanted.reporter)
    parts = divided(videos, wanted.reporter)
    check_people(wanted.spec, parts, range)

    def load(split: str) -> FilmedSplit:
        pictures = _pictures(_frames(parts[split]), wanted.side)
        return FilmedSplit(pictures, MEAN, STD, wanted.device, lambda: _film_of(parts[split][0], wanted.side))

    return Dataset("hieve", f"hieve {identity_of(videos)}", JOINTS, MEAN, STD, load, wanted.device)


def read_videos(root: str, spec: str, reporter: Reporter) -> list[Video]:
    """The videos of a folder in the order of their names, and a line on what else is in it, if anything.

    Raises InputError for too few, and what cannot be read.
    """
    if not root or not os.path.isdir(root):
        raise InputError(f"`data` {spec}: no such folder: {root or '(empty)'}; give one that is there")
    finder = Finder(f"`data` {spec}: ", root)
    folders, _ = finder.folders(root)
    if finder.left_out:
        reporter.say_once(f"hieve: {finder.left_out}")
    videos = [read_video(Path(root, name)) for name in folders]
    if len(videos) < len(SHARES):
        raise InputError(
            f"`data` {spec}: {len(videos)} videos, too few to hold two parts out; give {len(SHARES)} or more"
        )
    return videos


def divided(videos: list[Video], reporter: Reporter) -> dict[str, list[Video]]:
    """Whole videos for each split, and a line on how many they are."""
    parts = dict(zip(("train", "validation", "test"), divided_by(videos, SHARES), strict=True))
    reporter.say_once(
        f"hieve: {len(videos)} videos; training, validation and test: {', '.join(str(len(p)) for p in parts.values())}"
    )
    return parts


def check_people(spec: str, parts: Mapping[str, Sequence[Video]], taken: Callable[[int], Iterable[int]]) -> None:
    """Raises InputError for a split in whose frames nobody is.

    Args:
        taken: of a video of so many frames the places of those that are used.
    """
    for split, videos in parts.items():
        if not any(len(video.frames[place]) for video in videos for place in taken(len(video.frames))):
            raise InputError(
                f"`data` {spec}: nobody is in the frames that the {split} split takes of its videos "
                f"({some([video.name for video in videos])}); add videos with people"
            )


def _frames(videos: list[Video]) -> Iterable[tuple[Array, People, int]]:
    """Frame after frame, with the number of its video; those with nobody are not opened."""
    for number, video in enumerate(videos):
        for place, people in enumerate(video.frames):
            if len(people):
                yield frame_of(video, place), people, number


def frame_of(video: Video, place: int) -> Array:
    """As `read_frame`, of a video. Raises InputError for a frame of another size than its annotations say, too."""
    path, said = video.pictures[place], video.sizes[place]
    picture, found = _decoded(path)
    height, width = picture.shape[:2]
    if said is not None and said != (width, height):
        turned = ", upright as its EXIF says" if found.turned else ""
        raise InputError(
            f"{path}: has {width}×{height} pixels{turned}, but {video.files[place]} says {said[0]}×{said[1]}; give the "
            "frame that was annotated, or the size, the boxes and the joints of the upright picture"
        )
    return picture


def read_frame(path: str) -> Array:
    """A frame's file as H×W×3 (uint8), upright and in 8 bits as any picture is: see `training.data.preparation`.

    Raises InputError for one that cannot be read or decoded.
    """
    return _decoded(path)[0]


def _decoded(path: str) -> tuple[Array, Found]:
    try:
        with opened_picture(read_file(path)) as file:
            image, found = decoded(file, file.size, turn_of(file))
            return np.array(image), found
    except CorruptError as error:
        remedy = "scale it down" if TOO_MANY in str(error) else "replace or remove it"
        raise InputError(f"{path}: cannot be decoded ({error}); {remedy}") from None


def identity_of(videos: list[Video]) -> str:
    """What tells videos apart, by their frames' names and sizes, and by all that is said of who is there."""
    lines = [
        f"{video.name} {os.path.basename(path)} {os.path.getsize(path)} {_digest_of(people)}"
        for video in videos
        for path, people in zip(video.pictures, video.frames, strict=True)
    ]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]


def _digest_of(people: People) -> str:
    told = (people.joints, people.flags, people.boxes, people.identities)
    return hashlib.sha256(b"".join(values.tobytes() for values in told)).hexdigest()


def _film_of_clip(split: str, side: int) -> Film:
    """A few frames of the first clip."""
    made = clips.clip(split, 0, frames=evenly(clips.FRAMES))
    return _film(list(made.pictures), made.frames, side)


def _film_of(video: Video, side: int) -> Film:
    places = evenly(len(video.frames))
    return _film([frame_of(video, at) for at in places], [video.frames[at] for at in places], side)


def _film(pictures: Sequence[Array], people: Sequence[People], side: int) -> Film:
    pairs = zip(pictures, people, strict=True)
    return Film(pictures, people, [crops(picture, squares(there.boxes), side) for picture, there in pairs])


def _pictures(frames: Iterable[tuple[Array, People, int]], side: int) -> Pictures:
    """Everybody with a joint that is known, as crops of `side` pixels; `sources` says of which video each is."""
    images: list[Tensor] = []
    targets: list[Target] = []
    sources: list[int] = []
    for picture, people, number in frames:
        around = squares(people.boxes)
        images.append(crops(picture, around, side))
        targets += targets_of(people, around, side)
        sources += [number] * len(people)
    return Pictures(torch.cat(images), targets, torch.tensor(sources))


def targets_of(people: People, around: Array, side: int) -> list[Target]:
    """See `load_people`."""
    from torchvision.tv_tensors import KeyPoints  # takes a second to import

    joints = into(people.joints, around, side)
    ends = np.array([[0, 0], [side, 0]], np.float32)
    areas = (people.boxes[:, 2:] - people.boxes[:, :2]).prod(-1) / (around[:, 2:] - around[:, :2]).prod(-1)
    return [
        {
            "joints": KeyPoints(
                torch.from_numpy(np.concatenate([own, ends]).astype(np.float32)), canvas_size=(side, side)
            ),
            "flags": torch.from_numpy(flags.copy()),
            "area": torch.tensor(float(area)),
        }
        for own, flags, area in zip(joints, people.flags, areas, strict=True)
    ]
