"""HiEve's annotations of a video, all of them in a file a frame (http://humaninevents.org/format.html, "all-track").

```text
VIDEO/
├── 000000.xml …    annotations: JSON, as the format's page shows them, or XML of the same names
└── 0.jpg …         the frames, as the annotations name them
```

An object is a person: `name` P-1, the identity; `action`; and in `bndbox` the edges of the box in pixels and each joint
as "x,y,flag". What the page says of the formats of tracks 2 and 3 by themselves is not used here.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from foundation.errors import InputError, one_line
from foundation.files import write_atomically, write_json
from foundation.json_files import parse_json, read_text, shown
from training.data.people.clip import NOBODY, Array, Clip, People
from training.data.people.joints import ABSENT, HIDDEN, JOINTS, VISIBLE
from training.data.people.motion import ACTIONS as MADE

ACTIONS = (
    "walking-alone",
    "walking-together",
    "running-alone",
    "running-together",
    "riding",
    "sitting-talking",
    "sitting-alone",
    "queuing",
    "standing-alone",
    "gathering",
    "fighting",
    "fall-over",
    "walking-up-down-stairs",
    "crouching-bowing",
)
"""In the order of the format's table 2."""

LONGEST = 1 << 24  # characters of a file that are read

_NAMES = tuple(name.capitalize() for name in JOINTS)
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_FILE = re.compile(r"(\d{1,9})\.(xml|json)")


class Video(NamedTuple):
    """A video whose frames lie in files.

    Attributes:
        pictures: of each frame its path.
        frames: of each frame who is in it.
        files: of each frame its annotations' path.
        sizes: of each frame its width and height as they were annotated; None where the annotations do not say.
    """

    name: str
    pictures: tuple[str, ...]
    frames: tuple[People, ...]
    files: tuple[str, ...]
    sizes: tuple[tuple[int, int] | None, ...]


def read_video(folder: Path) -> Video:
    """The annotated frames of a folder, in the order of their numbers.

    Raises InputError for a folder that is not there or has no annotations, a file that is neither JSON nor XML of the
    format, two files of one frame, and a frame whose picture is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a video's, with a file of annotations for each frame")
    files = sorted(
        (int(match[1]), entry) for entry in os.listdir(folder) if (match := _FILE.fullmatch(entry)) is not None
    )
    if not files:
        raise InputError(f"{folder}: holds no annotations (000000.xml …); give a video's folder in HiEve's format")
    for (number, one), (other, twin) in pairwise(files):
        if number == other:
            raise InputError(f"{folder}: {one} and {twin} are both of frame {number}; keep one of them")
    pictures, frames, sizes = [], [], []
    for _, file in files:
        path = folder / file
        annotation = _annotation(path)
        picture = folder / _text(annotation, "filename", str(path))
        if not picture.is_file():
            raise InputError(f"{path}: names {shown(picture.name)}, which is not in {folder}; add the picture")
        pictures.append(str(picture))
        frames.append(_people(annotation, str(path)))
        sizes.append(_size(annotation, str(path)))
    return Video(
        folder.name, tuple(pictures), tuple(frames), tuple(str(folder / file) for _, file in files), tuple(sizes)
    )


def write_video(folder: Path, clip: Clip) -> None:
    """Writes the frames as PNG files, and their annotations as JSON. The scene has no place in the format."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (picture, people) in enumerate(zip(clip.pictures, clip.frames, strict=True)):
        name = f"{number}.png"
        _write_picture(folder / name, picture)
        height, width = picture.shape[:2]
        written = {
            "folder": clip.name,
            "filename": name,
            "path": name,
            "source": {"database": "Unknown"},
            "size": {"width": str(width), "height": str(height), "depth": "3"},
            "segmented": "0",
            "object": [_object(people, index) for index in range(len(people))],
        }
        write_json(folder / f"{number:06}.xml", {"annotation": written})


def _write_picture(path: Path, picture: Array) -> None:
    write_atomically(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG"))


def _object(people: People, index: int) -> dict[str, Any]:
    box = dict(zip(_EDGES, map(_written, people.boxes[index]), strict=True))
    joints = {
        name: f"{_written(x)},{_written(y)},{flag}"
        for name, (x, y), flag in zip(_NAMES, people.joints[index], people.flags[index], strict=True)
    }
    return {
        "name": f"P-{people.identities[index]}",
        "action": people.actions[index],
        "pose": "unspecified",
        "truncated": "0",
        "difficult": "0",
        "bndbox": {**box, **joints},
    }


def _written(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _annotation(path: Path) -> Mapping[str, Any]:
    text = read_text(path, LONGEST)
    try:
        said = _of_xml(text) if text.lstrip().startswith("<") else parse_json(text, LONGEST)
    except InputError as error:
        raise InputError(f"{path}: {error}; mend it, or give the right file") from None
    annotation = said.get("annotation") if isinstance(said, dict) else None
    if not isinstance(annotation, dict):
        raise InputError(f"{path}: expected an object 'annotation', got {shown(said)}; give HiEve's format")
    return annotation


def _of_xml(text: str) -> dict[str, Any]:
    """The same as of JSON: elements by name, and a list of objects."""
    if "<!DOCTYPE" in text:  # its entities may grow enormous
        raise InputError("declares a document type, which the format does not")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"broken XML ({one_line(error)})") from None
    found: dict[str, Any] = {"object": []}
    for element in root:
        if element.tag == "object":
            box = element.find("bndbox")
            inner: dict[str, Any] = {child.tag: (child.text or "").strip() for child in element}
            inner["bndbox"] = {} if box is None else {child.tag: (child.text or "").strip() for child in box}
            found["object"].append(inner)
        elif element.tag == "size":
            found["size"] = {child.tag: (child.text or "").strip() for child in element}
        else:
            found[element.tag] = (element.text or "").strip()
    return {root.tag: found}


def _size(annotation: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    size = annotation.get("size")
    if not size:
        return None
    if not isinstance(size, dict):
        raise InputError(f"{where}: size: expected an object, got {shown(size)}; give HiEve's format")
    width, height = (_number(size.get(side), f"{where}: size: {side}") for side in ("width", "height"))
    return int(width), int(height)


def _people(annotation: Mapping[str, Any], where: str) -> People:
    objects = annotation.get("object", [])
    if isinstance(objects, dict):  # of one person, as converters from XML write it
        objects = [objects]
    if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
        raise InputError(f"{where}: object: expected a list of people, got {shown(objects)}; give HiEve's format")
    if not objects:
        return NOBODY
    identities, actions, boxes, joints, flags = [], [], [], [], []
    for number, one in enumerate(objects):
        place = f"{where}: object {number + 1}"
        name = _text(one, "name", place)
        match = re.fullmatch(r"P-(\d{1,9})", name)
        if match is None:
            raise InputError(f"{place}: name: expected P- and a number, got {shown(name)}; correct it")
        identities.append(int(match[1]))
        action = _text(one, "action", place)
        if action not in ACTIONS and action not in MADE:
            raise InputError(f"{place}: action {shown(action)} is none of HiEve's, such as {ACTIONS[0]}; correct it")
        actions.append(action)
        box = one.get("bndbox")
        if not isinstance(box, dict):
            raise InputError(f"{place}: bndbox: expected an object, got {shown(box)}; give HiEve's format")
        boxes.append(_box(box, place))
        own = [_joint(box, joint, place) for joint in _NAMES]
        joints.append([point for point, _ in own])
        flags.append([flag for _, flag in own])
    if len(set(identities)) < len(identities):
        raise InputError(f"{where}: a name is there twice; give each person their own")
    return People(
        np.array(boxes, np.float32),
        np.array(identities, np.int64),
        np.array(joints, np.float32),
        np.array(flags, np.int8),
        tuple(actions),
    )


def _text(entry: Mapping[str, Any], name: str, where: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value or "/" in value or "\\" in value:
        raise InputError(f"{where}: {name}: expected a plain name, got {shown(value)}; correct it")
    return value


def _box(box: Mapping[str, Any], where: str) -> Sequence[float]:
    values = [_number(box.get(edge), f"{where}: {edge}") for edge in _EDGES]
    left, top, right, bottom = values
    if not (left < right and top < bottom):
        raise InputError(f"{where}: a box without area: {shown(values)}; correct it or remove the object")
    return values


def _joint(box: Mapping[str, Any], name: str, where: str) -> tuple[tuple[float, float], int]:
    """Its place and flag; one that is not named is absent."""
    text = box.get(name)
    if text is None:
        return (0.0, 0.0), ABSENT
    parts = text.split(",") if isinstance(text, str) else []
    if len(parts) != 3:
        raise InputError(f'{where}: {name}: expected "x,y,flag", got {shown(text)}; correct it')
    x, y, flag = (_number(part, f"{where}: {name}") for part in parts)
    if flag not in (VISIBLE, HIDDEN, ABSENT):
        raise InputError(f"{where}: {name}: expected the flag 0, 1 or -1, got {shown(parts[2])}; correct it")
    return (x, y), int(flag)


def _number(value: Any, where: str) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: expected a number, got {shown(value)}; correct it")
    return number
