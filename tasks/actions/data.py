"""People in clips, a picture of tiles each, with what they do."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.progress import Reporter
from foundation.seeds import derive
from tasks.actions.frame_ap import crowd_index
from tasks.actions.tiles import BEFORE, FRAMES, mirrored, scene_of, tiled, window, with_scenes
from tasks.pose.data import MEAN, STD, check_people, divided, frame_of, identity_of, read_videos
from training.data.annotated import tell_lacking
from training.data.corrupt import TRAINED
from training.data.dataset import Dataset, Wanted
from training.data.people import clips
from training.data.people.clip import Array, People
from training.data.people.crops import squares
from training.data.people.film import Film, FilmedSplit, evenly
from training.data.people.hieve import ACTIONS as HIEVE
from training.data.people.hieve import Video
from training.data.people.made_worse import worse
from training.data.pictures import Pictures
from training.targets import Target

SPECS = "scenes:actions, scenes:people, hieve:PATH"

MADE = {"scenes:actions": clips.WITH_A_PAIR, "scenes:people": clips.TOLD_BY_MOTION}

ONE_FRAME, NO_SCENE, SHUFFLED, REVERSED, DETECTED = "frame", "no-scene", "shuffled", "reversed", "detected"
OPTIONS = (ONE_FRAME, NO_SCENE, SHUFFLED, REVERSED, DETECTED)
"""What may stand after a spec, each after a comma; see docs/actions.md."""

NOBODY = -1
"""The action of a box that is nobody's."""

_SIDES = (32, 384)
_GREY = tuple(round(255 * value) for value in MEAN)
_HELD = 16  # frames that stay decoded


class _Footage(NamedTuple):
    """A video: its frames by place, and who is in them."""

    name: str
    picture: Callable[[int], Array]
    people: Sequence[People]


class _Seen(NamedTuple):
    """A box, of whom among a frame's people (None: of nobody), and whether it was found."""

    box: Array
    person: int | None
    found: bool


@dataclass(frozen=True)
class _Making:
    """How the pictures of a split are made of its videos."""

    split: str
    side: int
    classes: tuple[str, ...]
    options: frozenset[str]


def load_clips(wanted: Wanted) -> Dataset:
    """The people that a spec names, each at a frame, with a clip around it: see `tasks.actions.tiles`.

    Every person of a frame is a picture, and every box that is nobody's. Targets are a dictionary each: `label`, the
    action's number or `NOBODY`; `true`, the person's box, and `box`, what was found of them, 4 each in pixels of the
    frame; `found`, whether something was; `frame`, its number; `crowd`, its crowd index; `corners`, two of the
    picture's, which say whether it was moved.

    Raises InputError for an unknown spec or option, a side that clips are not made at, and files that cannot be used.
    """
    base, options = read_spec(wanted.spec)
    if not _SIDES[0] <= wanted.side <= _SIDES[1]:
        raise InputError(
            f"`data` {wanted.spec}: clips of {_SIDES[0]} to {_SIDES[1]} pixels, but the space wants {wanted.side}; "
            "choose a `space` of other resolutions"
        )
    if base.startswith("hieve:") or base == "hieve":
        return _of_videos(wanted, base.partition(":")[2], options)
    if base not in MADE:
        raise InputError(f"`data` {wanted.spec}: unknown to task actions; known: {SPECS}")
    classes = MADE[base].actions

    def load(split: str) -> FilmedSplit:
        making = _Making(split, wanted.side, classes, options)
        made = _made(base, split, options, wanted.reporter)
        first = next(iter(_made(base, split, options, Reporter(quiet=True))))
        return FilmedSplit(_pictures(made, making), MEAN, STD, wanted.device, lambda: _film(first, making))

    name = ",".join((base, *sorted(options)))
    return Dataset(name, f"{name.replace(':', ' ')} clips", classes, MEAN, STD, load, wanted.device)


def read_spec(spec: str) -> tuple[str, frozenset[str]]:
    """A spec without its options, and these. Raises InputError for options that do not go together or are unknown."""
    base, options = spec, []
    while "," in base and base.rpartition(",")[2] in OPTIONS:
        base, _, option = base.rpartition(",")
        options.append(option)
    if base.startswith("scenes") and "," in base:
        raise InputError(f"`data` {spec}: {base.partition(',')[2]} is no option; known: {', '.join(OPTIONS)}")
    if {NO_SCENE, SHUFFLED} <= set(options):
        raise InputError(f"`data` {spec}: {NO_SCENE} and {SHUFFLED} do not go together; leave one out")
    if REVERSED in options and not base.startswith("scenes"):
        raise InputError(f"`data` {spec}: {REVERSED} is for clips that are made; leave it out")
    return base, frozenset(options)


def _made(base: str, split: str, options: frozenset[str], reporter: Reporter) -> Iterable[_Footage]:
    """The clips of a split; of those to test on scene and action disagree as often as they agree, where asked."""
    agreement = 1 - clips.AGREEMENT if REVERSED in options and split == "test" else clips.AGREEMENT
    count = clips.COUNTS[split]
    with reporter.track(f"{split} clips", count, "clips") as advance:
        for number in range(count):
            clip = clips.clip(split, number, agreement=agreement, repertoire=MADE[base])
            yield _Footage(clip.name, clip.pictures.__getitem__, clip.frames)
            advance("")


def _of_videos(wanted: Wanted, root: str, options: frozenset[str]) -> Dataset:
    """The videos in a folder, each in a folder of its own."""
    videos = read_videos(root, wanted.spec, wanted.reporter)
    parts = divided(videos, wanted.reporter)
    there = {action for video in videos for people in video.frames for action in people.actions}
    classes = tuple(action for action in dict.fromkeys((*HIEVE, *clips.WITH_A_PAIR.actions)) if action in there)
    if not classes:
        raise InputError(f"`data` {wanted.spec}: nobody is in any frame; add videos with people")
    check_people(wanted.spec, parts, _taken)

    def load(split: str) -> FilmedSplit:
        making = _Making(split, wanted.side, classes, options)
        own = [_read(video) for video in parts[split]]
        pictures = _pictures(own, making)
        if split == TRAINED:  # of a test its table says so, and each contrast would say it again
            counts = [_count(action, parts[split]) for action in classes]
            tell_lacking(split, "people", torch.tensor(counts), classes, wanted.reporter)
        return FilmedSplit(pictures, MEAN, STD, wanted.device, lambda: _film(own[0], making))

    identity = f"hieve {identity_of(videos)} {_digest(videos)} clips {','.join(sorted(options))}".rstrip()
    return Dataset("hieve", identity, classes, MEAN, STD, load, wanted.device)


def _count(action: str, videos: Sequence[Video]) -> int:
    """How many people do it in the frames that are taken."""
    return sum(video.frames[place].actions.count(action) for video in videos for place in _taken(len(video.frames)))


def _digest(videos: Sequence[Video]) -> str:
    """What tells the same people apart where they do something else."""
    said = "\n".join(" ".join(people.actions) for video in videos for people in video.frames)
    return hashlib.sha256(said.encode()).hexdigest()[:8]


def _read(video: Video) -> _Footage:
    @lru_cache(maxsize=_HELD)
    def picture(place: int) -> Array:
        return frame_of(video, place)

    return _Footage(video.name, picture, video.frames)


def _taken(length: int) -> range:
    """Of a video of so many frames, the places of those that pictures are made of."""
    return range(min(BEFORE, length // 2), length, FRAMES)


def _pictures(videos: Iterable[_Footage], making: _Making) -> Pictures:
    """Everybody in every eighth frame; `sources` says of which video each is."""
    images: list[Tensor] = []
    scenes: list[list[Tensor]] = []
    targets: list[Target] = []
    places: list[tuple[int, int]] = []  # of each frame its video and its place among the video's scenes
    sources: list[int] = []
    for number, video in enumerate(videos):
        scenes.append([])
        for place in _taken(len(video.people)):
            if not len(video.people[place]):
                continue
            seen = _seen(video, place, making)
            boxes = np.stack([one.box for one in seen])
            images.append(_clip(video, place, boxes, making))
            targets += _targets(video.people[place], seen, len(places), making)
            places.append((number, len(scenes[-1])))
            scenes[-1].append(scene_of(video.picture(place), boxes[[one.found for one in seen]], making.side))
            sources += [number] * len(boxes)
    if NO_SCENE not in making.options:
        given = _shuffled(places, scenes, making) if SHUFFLED in making.options else [scenes[n][k] for n, k in places]
        images = [with_scenes(own, scene) for own, scene in zip(images, given, strict=True)]
    whole = torch.cat(images)
    if making.split == "train":  # figures walk to either side; which one says nothing
        whole, targets, sources = torch.cat([whole, mirrored(whole)]), targets * 2, sources * 2
    return Pictures(whole, targets, torch.tensor(sources))


def _clip(video: _Footage, place: int, boxes: Array, making: _Making) -> Tensor:
    around = window(place, len(video.people)) if ONE_FRAME not in making.options else [place] * FRAMES
    return tiled([video.picture(other) for other in around], squares(boxes), making.side, _GREY)


def _seen(video: _Footage, place: int, making: _Making) -> list[_Seen]:
    """Everybody in a frame at their true boxes; or as a detector might find them, where asked."""
    people = video.people[place]
    if DETECTED not in making.options:
        return [_Seen(box, number, True) for number, box in enumerate(people.boxes)]
    rng = np.random.default_rng(derive(0, "detections", video.name, place))
    boxes, whose = worse(people, video.picture(place).shape[:2], rng)
    found = [_Seen(box, number if number >= 0 else None, True) for box, number in zip(boxes, whose, strict=True)]
    missed = (number for number in range(len(people)) if number not in whose)
    return [*found, *(_Seen(people.boxes[number], number, False) for number in missed)]


def _targets(people: People, seen: Sequence[_Seen], frame: int, making: _Making) -> list[Target]:
    """See `load_clips`."""
    from torchvision.tv_tensors import KeyPoints  # takes a second to import

    side, crowd = making.side, torch.tensor(crowd_index(people))
    return [
        {
            "label": torch.tensor(NOBODY if one.person is None else making.classes.index(people.actions[one.person])),
            "true": torch.tensor(one.box if one.person is None else people.boxes[one.person]).float(),
            "box": torch.tensor(one.box).float(),
            "found": torch.tensor(one.found),
            "frame": torch.tensor(frame),
            "crowd": crowd,
            "corners": KeyPoints(torch.tensor([[0.0, 0.0], [side, side]]), canvas_size=(side, side)),
        }
        for one in seen
    ]


def _shuffled(places: Sequence[tuple[int, int]], scenes: Sequence[Sequence[Tensor]], making: _Making) -> list[Tensor]:
    """For each frame the scene of another video, which is the same for all frames of one."""
    known = [number for number, own in enumerate(scenes) if own]
    if len(known) < 2:
        raise InputError(f"`data`: {SHUFFLED} needs two videos in each split; add some")
    shift = 1 + int(np.random.default_rng(derive(0, "actions", making.split)).integers(len(known) - 1))
    other = {number: known[(place + shift) % len(known)] for place, number in enumerate(known)}
    return [scenes[other[number]][place % len(scenes[other[number]])] for number, place in places]


def _film(video: _Footage, making: _Making) -> Film:
    """A few frames of a video, with everybody in them at their true boxes."""
    places = evenly(len(video.people))
    inputs = []
    for place in places:
        people = video.people[place]
        own = _clip(video, place, people.boxes, making)
        scene = scene_of(video.picture(place), people.boxes, making.side)
        inputs.append(with_scenes(own, scene) if NO_SCENE not in making.options else own)
    return Film([video.picture(place) for place in places], [video.people[place] for place in places], inputs)


def contrasts(spec: str) -> Mapping[str, str]:
    """What tells, of a spec, what the scene adds: the same pictures otherwise, by what is changed in them."""
    base, options = read_spec(spec)
    own = ",".join((base, *sorted(options - {NO_SCENE, SHUFFLED, REVERSED})))
    found = {"scene of another clip": f"{own},{SHUFFLED}", "no scene": f"{own},{NO_SCENE}"}
    if base in MADE:
        found["scene and action reversed"] = f"{own},{REVERSED}"
    return {name: other for name, other in found.items() if read_spec(other)[1] != options}
