"""PASCAL VOC as its archives unpack (`VOCdevkit/VOC2012`), for masks and for boxes, and folders laid out like it.

`ImageSets/Segmentation` and `ImageSets/Main` list the pictures of `train.txt` and `val.txt` by their names in
`JPEGImages`; masks are in `SegmentationClass`, boxes in `Annotations`. The annotations of VOC 2012's test pictures are
not public, so `val.txt` is for testing, and validation is held out of `train.txt`, 15 % of it. A `test.txt` is not
read. The classes are VOC's 20, and in masks 0 is the background; or those that a `classes.txt` beside `ImageSets`
names, one a line, in masks in the order of their numbers from 0.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from foundation.errors import InputError, one_line
from foundation.json_files import read_text, shown
from training.data import annotated, masks
from training.data.boxes import Boxed, Boxes, Thing, of_boxed
from training.data.dataset import Dataset, Wanted
from training.data.masks import Pair, of_pairs, read_classes
from training.data.picture_files import Finder

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
BACKGROUND = "background"

LISTS = {"train": "train", "test": "val"}
"""By split the list that names its pictures."""

NAMES = masks.CLASSES
"""The file that names classes of one's own."""

_NONE = f"none of VOC's 20, such as {CLASSES[0]}; correct it, or name classes of your own in a {NAMES} beside ImageSets"
_PICTURES = "JPEGImages"
_EDGES = ("xmin", "ymin", "xmax", "ymax")


class _Kind(NamedTuple):
    """Where lists and annotations of a task lie."""

    lists: str
    folder: str
    suffix: str


_MASKS = _Kind("Segmentation", "SegmentationClass", "png")
_BOXES = _Kind("Main", "Annotations", "xml")


def load_masks(wanted: Wanted) -> Dataset:
    """The data set of `voc:PATH` for segmentation, held in memory; see `training.data.masks.load`.

    Raises InputError for a folder or a list that is not there, an empty one, a name without a picture or a mask, and
    one in both lists; when a split is asked for, for masks as there.
    """
    root = annotated.root_of(wanted)
    found = {
        split: [Pair(picture, mask) for picture, mask in files]
        for split, files in _listed(wanted.spec, root, _MASKS).items()
    }
    parts = annotated.parts_of(wanted.spec, found)
    file = Path(root, NAMES)
    classes = read_classes(file) if file.exists() else (BACKGROUND, *CLASSES)
    return of_pairs(wanted, root, classes, parts, [_told(wanted, parts)])


def load_boxes(wanted: Wanted) -> Dataset:
    """The data set of `voc:PATH` for detection, held in memory; for its targets see `training.data.boxes.of_boxed`.

    VOC counts pixels from 1, and a box's last pixel belongs to it, so left and top edges lie one lower here. Objects
    that it calls difficult are `ignored`, as in its evaluation: what finds one is neither right nor wrong.

    Raises InputError for a folder or a list that is not there, an empty one, a name without a picture or an annotation,
    and one in both lists; for XML that is broken or lacks something, a class that is none of them, and boxes without
    area or beyond their picture (with `skip_corrupt` such boxes are left out, and told); when a split is asked for, for
    a picture of another size than its annotation says.
    """
    root = annotated.root_of(wanted)
    boxes, names = Boxes(wanted.skip_corrupt), Path(root, NAMES)
    classes = read_classes(names, fewest=1) if names.exists() else CLASSES
    place = {name: number for number, name in enumerate(classes)}
    lacking = f"no class of {names}; name it there" if names.exists() else _NONE
    found = {
        split: [_boxed(picture, file, boxes, place, lacking) for picture, file in files]
        for split, files in _listed(wanted.spec, root, _BOXES).items()
    }
    parts = annotated.parts_of(wanted.spec, found)
    return of_boxed(wanted, root, classes, parts, [_told(wanted, parts), *boxes.notes])


def _told(wanted: Wanted, parts: Mapping[str, Sequence[object]]) -> str:
    held = len(parts["validation"])
    return f"{wanted.kind}: training: train.txt; validation: {held} of it, held out; test: val.txt"


def _listed(spec: str, root: str, kind: _Kind) -> dict[str, list[tuple[str, str]]]:
    """By split, in order, the paths of the pictures that its list names and of what is said of each."""
    folder, place = f"{root}/{_PICTURES}", f"`data` {spec}: "
    for inner in (folder, f"{root}/{kind.folder}"):
        if not os.path.isdir(inner):
            raise InputError(f"{place}no such folder: {inner}; give VOC's own, such as VOCdevkit/VOC2012")
    pictures = annotated.by_stem(spec, folder, Finder(place, root).below(folder))
    found: dict[str, list[tuple[str, str]]] = {}
    seen: set[str] = set()
    for split, own in LISTS.items():
        file = Path(root, "ImageSets", kind.lists, f"{own}.txt")
        if not file.exists():
            raise InputError(f"{place}no such file: {file}; it names the {split} pictures, one a line")
        names = sorted(line.strip() for line in read_text(file).splitlines() if line.strip())
        found[split] = []
        for name in names:
            said = f"{root}/{kind.folder}/{name}.{kind.suffix}"
            if name in seen:
                raise InputError(f"{place}{file} names {shown(name)}, which is named before; remove one")
            if name not in pictures:
                raise InputError(
                    f"{place}{file} names {shown(name)}, which is no picture in {folder}; add or remove it"
                )
            if not os.path.isfile(said):
                raise InputError(
                    f"{place}{file} names {shown(name)}, but there is no {said}; add it or remove the name"
                )
            seen.add(name)
            found[split].append((f"{folder}/{pictures[name]}", said))
    return found


def _boxed(picture: str, file: str, boxes: Boxes, classes: Mapping[str, int], lacking: str) -> Boxed:
    annotation = _parsed(file)
    size = int(_number(annotation, "size/width", file)), int(_number(annotation, "size/height", file))
    things = []
    for number, found in enumerate(annotation.findall("object"), 1):
        where = f"{file}: object {number}"
        name = found.findtext("name", "").strip()
        if name not in classes:
            raise InputError(f"{where}: class {shown(name)} is {lacking}")
        left, top, right, bottom = box = [_number(found, f"bndbox/{edge}", where) for edge in _EDGES]
        corners = boxes.cut(where, shown(box), (left - 1, top - 1, right, bottom), size)
        if corners is not None:
            difficult = found.find("difficult") is not None and _number(found, "difficult", where) != 0
            things.append(Thing(corners, classes[name], difficult))
    return Boxed(picture, file, size, tuple(things))


def _parsed(file: str) -> ElementTree.Element:
    """The annotation in a file. VOC's declare no entities, so one that does is refused: an entity may grow enormous."""
    text = read_text(Path(file))
    if "<!DOCTYPE" in text:
        raise InputError(f"{file}: declares a document type, which VOC's annotations do not; remove the declaration")
    try:
        annotation = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"{file}: broken XML ({one_line(error)}); mend it") from None
    if annotation.tag != "annotation":
        raise InputError(
            f"{file}: expected XML of VOC's, an <annotation>, got <{annotation.tag:.60}>; give the right file"
        )
    return annotation


def _number(element: ElementTree.Element, path: str, where: str) -> float:
    text = element.findtext(path)
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        got = "nothing" if text is None else shown(text.strip())
        raise InputError(f"{where}: {path}: expected a number, got {got}; correct it")
    return value
