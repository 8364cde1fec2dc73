"""Pictures with boxes in COCO's format: `annotations.json` beside the pictures of each split.

```text
PATH/                                  PATH/
├── train/                             ├── annotations/
│   ├── annotations.json               │   ├── instances_train2017.json
│   └── 1.jpg …                        │   └── instances_val2017.json
├── val/ …                             ├── train2017/ …
└── test/ …                            └── val2017/ …
```

On the left splits are named and missing ones made up as for class folders (`training.data.folders`); a lone
`annotations.json` may also lie in PATH itself. On the right, as COCO's archives unpack, `val` is for testing, since the
annotations of COCO's test pictures are not public, and validation is held out of `train`, 15 % of it.

The format: https://cocodataset.org/#format-data. The classes are the categories in the order of their ids, which may
have gaps, and every split has the same. A box is `bbox`: [x, y, width, height] in pixels from the upper left corner.
"""

import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from foundation.errors import InputError
from foundation.json_files import read_json, shown
from training.data import annotated
from training.data.boxes import Boxed, Boxes, Corners, Thing, of_boxed
from training.data.dataset import Dataset, Wanted
from training.data.division import layout
from training.data.picture_files import NO_PICTURE, Finder, LeftOut, Reason
from training.data.whole_pictures import Size

FILE = "annotations.json"
LONGEST = 1 << 29  # characters: COCO's own file of training annotations has 470 million

_ARCHIVES = "annotations"  # the folder of files that COCO's archives unpack into
_UNNAMED = Reason("picture that no annotations name", "pictures that no annotations name")

_Entry = dict[str, Any]


class _Read(NamedTuple):
    """What a file of annotations says: names of categories by id, in order, and pictures."""

    file: Path
    categories: dict[int, str]
    pictures: list[Boxed]


def load(wanted: Wanted) -> Dataset:
    """The data set of `coco:PATH`, held in memory; for its targets see `training.data.boxes.of_boxed`.

    Annotations with `iscrowd` are `ignored`, as in COCO's evaluation, and a line says how many there are. Their
    `segmentation` is not read. A picture without annotations stays: it shows what is none of the classes.

    Raises InputError for a folder or file that is not there, broken JSON, entries that lack something, ids that repeat,
    annotations of an unknown image or category, categories that are not the same in all splits, images without a
    picture, an empty split, and boxes without area or beyond their picture (with `skip_corrupt` such boxes are left
    out, and told); when a split is asked for, for a picture of another size than its entry says.
    """
    spec, root = wanted.spec, annotated.root_of(wanted)
    place = f"`data` {spec}: "
    finder = Finder(place, root)
    boxes = Boxes(wanted.skip_corrupt)
    folders, files = _found(spec, root, finder)
    read = {
        split: _read(place, root, file, f"{root}/{folders[split]}" if folders else root, boxes, finder.left_out)
        for split, file in files.items()
    }
    first, *others = read.values()
    for other in others:
        if odd := sorted(set(first.categories.items()) ^ set(other.categories.items())):
            number, name = odd[0]
            raise InputError(
                f"{place}category {number} ({shown(name)}) is not in both {first.file} and {other.file}; give each all"
            )
    parts = annotated.parts_of(spec, {split: own.pictures for split, own in read.items()})
    classes = tuple(first.categories.values())
    crowds = sum(thing.ignored for items in parts.values() for boxed in items for thing in boxed.things)
    notes = [
        f"{wanted.kind}: {len(classes)} classes ({annotated.some(classes)}); {layout(folders, annotated.OF_ALL)}",
        *([f"boxes around crowds (iscrowd), which a training leaves out: {crowds}"] if crowds else []),
        *boxes.notes,
        *([str(finder.left_out)] if finder.left_out else []),
    ]
    return of_boxed(wanted, root, classes, parts, notes)


def _found(spec: str, root: str, finder: Finder) -> tuple[dict[str, str], dict[str, Path]]:
    """By split the folder of its pictures in `root`, none for `root` itself, and the file of its annotations."""
    unpacked = {
        split: name
        for split, own in (("train", "train"), ("test", "val"))
        for name in _years(spec, f"{root}/{_ARCHIVES}", own)
    }
    if "train" in unpacked:
        folders = unpacked
        files = {split: Path(root, _ARCHIVES, f"instances_{name}.json") for split, name in folders.items()}
    else:
        folders = annotated.splits_in(spec, root, finder)
        files = {split: Path(root, folder, FILE) for split, folder in folders.items()} or {"train": Path(root, FILE)}
    for split, file in files.items():
        if not file.exists():
            raise InputError(
                f"`data` {spec}: no such file: {file}; the annotations of the {split} pictures belong there, in COCO's "
                "format"
            )
        if folders and not os.path.isdir(f"{root}/{folders[split]}"):
            raise InputError(
                f"`data` {spec}: no such folder: {root}/{folders[split]}, of the pictures of {file}; add it"
            )
    return folders, files


def _years(spec: str, folder: str, split: str) -> list[str]:
    """`train2017`, for instance, if there is its file. Raises InputError for several years."""
    files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    matches = [re.fullmatch(rf"instances_({split}\d*)\.json", name) for name in files]
    names = [match[1] for match in matches if match]
    if len(names) > 1:
        raise InputError(
            f"`data` {spec}: {folder} has annotations of {names[0]} and of {names[1]}; move one of them elsewhere"
        )
    return names


def _read(place: str, root: str, file: Path, folder: str, boxes: Boxes, left_out: LeftOut) -> _Read:
    try:
        said = read_json(file, LONGEST)
    except InputError as error:
        raise InputError(f"{error}; mend it, or give the right file") from None
    if not isinstance(said, dict):
        raise InputError(f"{file}: expected an object of images, annotations and categories, got {shown(said)}")
    categories = {
        number: _value(entry, "name", where, str) for number, (where, entry) in _by_id(said, "categories", file).items()
    }
    if not categories:
        raise InputError(f"{file}: has no categories; name at least one")
    if twice := [name for name, count in Counter(categories.values()).items() if count > 1]:
        raise InputError(f"{file}: two categories are called {shown(twice[0])}; rename one")
    labels = {number: label for label, number in enumerate(categories)}

    images = _by_id(said, "images", file)
    things: dict[int, list[Thing]] = {number: [] for number in images}
    sizes = {number: _size(entry, where) for number, (where, entry) in images.items()}
    ids: set[object] = set()
    for where, entry in _entries(said, "annotations", file):
        own = entry.get("id")
        if type(own) is int and own in ids:
            raise InputError(f"{where}: another one has the id {own}; give each its own")
        ids.add(own if type(own) is int else None)  # one without an id is as good as any
        image, category = (_value(entry, name, where, int) for name in ("image_id", "category_id"))
        if image not in images:
            raise InputError(f"{where}: image_id {image} is none of the images; correct it or remove the annotation")
        if category not in labels:
            raise InputError(f"{where}: category_id {category} is no category; correct it or remove the annotation")
        corners = boxes.cut(where, shown(entry.get("bbox")), _corners(entry, where), sizes[image])
        if corners is not None:
            things[image].append(Thing(corners, labels[category], _is_crowd(entry, where)))
    finder, unread = Finder(place, root), LeftOut(root)
    # A disk may have letters and their accents apart, where the file has them in one.
    there = {unicodedata.normalize("NFC", name): name for name in finder.below(folder)}
    unread.take(finder.left_out, but=NO_PICTURE)  # such as the annotations' own file
    named: dict[str, Boxed] = {}
    for number, (where, entry) in images.items():
        told = _value(entry, "file_name", where, str)
        name = there.get(unicodedata.normalize("NFC", told))
        if name is None:
            why = f" ({unread})" if unread else ""
            raise InputError(f"{where}: {shown(told)} is no picture in {folder}{why}; add it or remove the image")
        if name in named:
            raise InputError(f"{where}: {shown(name)} is of another image too; remove one")
        named[name] = Boxed(f"{folder}/{name}", str(file), sizes[number], tuple(things[number]))
    for name in set(there.values()) - named.keys():
        left_out.note(_UNNAMED, f"{folder}/{name}")
    left_out.take(unread)
    return _Read(file, categories, list(named.values()))


def _entries(said: _Entry, name: str, file: Path) -> list[tuple[str, _Entry]]:
    """The entries of a list, each with how a message calls it."""
    entries = said.get(name)
    if not isinstance(entries, list):
        raise InputError(f"{file}: {name}: expected a list, got {shown(entries)}; give COCO's format")
    found = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{file}: {name}[{place}]: expected an object, got {shown(entry)}; give COCO's format")
        number = entry.get("id")
        found.append((f"{file}: {name}[{place}]{f' (id {number})' if type(number) is int else ''}", entry))
    return found


def _by_id(said: _Entry, name: str, file: Path) -> dict[int, tuple[str, _Entry]]:
    """The entries of a list by their ids, in order of these."""
    found: dict[int, tuple[str, _Entry]] = {}
    for where, entry in _entries(said, name, file):
        number = _value(entry, "id", where, int)
        if number in found:
            raise InputError(f"{where}: another one has the id {number}; give each its own")
        found[number] = (where, entry)
    return dict(sorted(found.items()))


def _value(entry: _Entry, name: str, where: str, kind: type) -> Any:
    """A value of that type, and not of one that inherits from it, as a bool from int."""
    value = entry.get(name)
    if type(value) is not kind:
        expected = {int: "an integer", str: "a text"}[kind]
        raise InputError(f"{where}: {name}: expected {expected}, got {shown(value)}; correct it")
    return value


def _size(entry: _Entry, where: str) -> Size:
    return _value(entry, "width", where, int), _value(entry, "height", where, int)


def _corners(entry: _Entry, where: str) -> Corners:
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or any(type(value) not in (int, float) for value in box):
        raise InputError(f"{where}: bbox: expected [x, y, width, height], got {shown(box)}; correct it")
    left, top, width, height = box
    return left, top, left + width, top + height


def _is_crowd(entry: _Entry, where: str) -> bool:
    value = entry.get("iscrowd", 0)
    if value not in (0, 1):
        raise InputError(f"{where}: iscrowd: expected 0 or 1, got {shown(value)}; correct it")
    return bool(value)
