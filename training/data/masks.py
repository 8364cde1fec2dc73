"""Pictures of the user's own beside masks: the class of every pixel, as numbers in a PNG.

```text
PATH/
├── classes.txt          names, one a line, in the order of their numbers
├── train/
│   ├── images/1.jpg …   any picture
│   └── masks/1.png …    of the same name and size
├── val/ …
└── test/ …
```

A mask has one channel of 8 bits or a palette; 255 stands for pixels that count nowhere. Splits are named and missing
ones made up as for class folders (`training.data.folders`); `images/` and `masks/` may also lie in PATH itself. Without
`classes.txt` all masks are read first: the classes are 0 to the largest number but 255, each of which some mask has to
have, and are called by it. Folders within `images/` are read if `masks/` has the same.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from foundation.errors import InputError
from foundation.json_files import read_text, shown
from training.data import annotated, into_memory
from training.data.corrupt import TRAINED, CorruptError, cannot_decode
from training.data.dataset import Dataset, Wanted
from training.data.division import layout
from training.data.picture_files import Finder
from training.data.pictures import Pictures
from training.data.preparation import Found, read_file
from training.data.whole_pictures import IGNORED, mask_values, scaled_mask, there, whole_picture

CLASSES = "classes.txt"
IMAGES, MASKS = "images", "masks"
CHANNELS = 4  # bytes a pixel: a picture's and its mask's


class Pair(NamedTuple):
    """Paths of a picture and its mask."""

    picture: str
    mask: str


def load(wanted: Wanted) -> Dataset:
    """The data set of `masks:PATH`, held in memory; targets are `tv_tensors.Mask`, N×side×side (uint8).

    Each picture and its mask are scaled to a square, aspect not kept, see `training.data.whole_pictures`. With
    `skip_corrupt` a picture is left out if it or its mask cannot be decoded.

    Raises InputError for a folder that is not there, pictures without masks, masks without pictures, an empty split,
    and fewer than two classes; when a split is asked for, for a mask of another size than its picture, or with a number
    that is no class.
    """
    spec, root = wanted.spec, annotated.root_of(wanted)
    finder = Finder(f"`data` {spec}: ", root)
    folders = annotated.splits_in(spec, root, finder)
    found = {split: _pairs(spec, f"{root}/{folder}", finder) for split, folder in (folders or {"train": "."}).items()}
    parts = annotated.parts_of(spec, found)
    file = Path(root, CLASSES)
    classes = read_classes(file) if file.exists() else _classes_there(wanted, found)
    notes = [
        f"{wanted.kind}: {len(classes)} classes ({annotated.some(classes)}); {layout(folders, annotated.OF_ALL)}",
        *([str(finder.left_out)] if finder.left_out else []),
    ]
    return of_pairs(wanted, root, classes, parts, notes)


def of_pairs(
    wanted: Wanted,
    root: str,
    classes: tuple[str, ...],
    parts: Mapping[str, Sequence[Pair]],
    notes: Sequence[str],
) -> Dataset:
    """The data set of pictures with masks that have been found."""
    return annotated.dataset(
        wanted,
        root,
        classes,
        parts,
        notes,
        picture=lambda pair: pair.picture,
        said=lambda pair: str(os.path.getsize(pair.mask)),
        read=lambda split, pairs: _read(split, pairs, classes, wanted),
    )


def read_classes(file: Path, fewest: int = 2) -> tuple[str, ...]:
    """Names, one a line. Raises InputError for an empty line between others, a name twice, and too few or too many."""
    names = [line.strip() for line in read_text(file).rstrip().splitlines()]
    for number, name in enumerate(names):
        if not name:
            raise InputError(f"{file}: line {number + 1} is empty; each line has the name of a class")
        if name in names[:number]:
            raise InputError(f"{file}: line {number + 1}: class {shown(name)} for the second time; rename one")
    if not fewest <= len(names) <= IGNORED:
        raise InputError(f"{file}: {len(names)} classes; expected {fewest} to {IGNORED}, one a line")
    return tuple(names)


def _pairs(spec: str, folder: str, finder: Finder) -> list[Pair]:
    folder = os.path.normpath(folder)
    for inner in (IMAGES, MASKS):
        if not os.path.isdir(f"{folder}/{inner}"):
            raise InputError(
                f"`data` {spec}: no such folder: {folder}/{inner}; pictures belong into {IMAGES}/, masks of the same "
                f"names into {MASKS}/"
            )
    pictures, masks = (
        annotated.by_stem(spec, f"{folder}/{inner}", finder.below(f"{folder}/{inner}")) for inner in (IMAGES, MASKS)
    )
    for stem, name in masks.items():
        if not name.lower().endswith(".png"):
            raise InputError(f"`data` {spec}: {folder}/{MASKS}/{name}: expected a PNG, which keeps numbers; convert it")
        if stem not in pictures:
            raise InputError(
                f"`data` {spec}: {folder}/{MASKS}/{name} has no picture {stem} in {folder}/{IMAGES}; add or remove one"
            )
    for stem, name in pictures.items():
        if stem not in masks:
            raise InputError(
                f"`data` {spec}: {folder}/{IMAGES}/{name} has no mask {folder}/{MASKS}/{stem}.png; add or remove one"
            )
    return [Pair(f"{folder}/{IMAGES}/{name}", f"{folder}/{MASKS}/{masks[stem]}") for stem, name in pictures.items()]


def _classes_there(wanted: Wanted, found: Mapping[str, Sequence[Pair]]) -> tuple[str, ...]:
    """The numbers in all masks, as names."""
    paths = [pair.mask for pairs in found.values() for pair in pairs]

    def numbers(path: str) -> list[int]:
        try:
            return there(mask_values(path))
        except CorruptError as error:
            if wanted.skip_corrupt:  # it is counted and told when its split is read
                return []
            raise cannot_decode(str(error)) from None

    first: dict[int, str] = {}
    with ThreadPoolExecutor() as pool, wanted.reporter.track("classes", len(paths), "masks") as advance:
        for path, own in zip(paths, pool.map(numbers, paths), strict=True):
            for number in own:
                first.setdefault(number, path)
            advance("")
    lacking = next(number for number in range(IGNORED + 1) if number not in first)
    if first and lacking < max(first):
        raise InputError(
            f"`data` {wanted.spec}: {first[max(first)]} has the number {max(first)}, but no mask has {lacking}; number "
            f"the classes from 0 on, or name all of them in {CLASSES}"
        )
    if len(first) < 2:
        raise InputError(
            f"`data` {wanted.spec}: masks have fewer than two classes; number them from 0 on ({IGNORED} is none, it "
            "stands for pixels that count nowhere)"
        )
    return tuple(map(str, sorted(first)))


def _read(split: str, pairs: Sequence[Pair], classes: tuple[str, ...], wanted: Wanted) -> Pictures:
    from torchvision.tv_tensors import Mask  # takes a second to import, and most commands need none

    into_memory.check_memory(wanted.spec, split, len(pairs), wanted.side, CHANNELS)

    def read(number: int) -> tuple[Tensor, Tensor, Found]:
        pair = pairs[number]
        pixels, size, found = whole_picture(read_file(pair.picture), wanted.side)
        values = mask_values(pair.mask)
        if values.shape[::-1] != size:
            turned = ", upright as its EXIF says" if found.turned else ""
            raise InputError(
                f"{pair.mask}: a mask of {values.shape[1]}×{values.shape[0]} pixels, but {pair.picture} has "
                f"{size[0]}×{size[1]}{turned}; each needs the other's size"
            )
        unknown = [value for value in there(values) if value >= len(classes)]
        if unknown:
            raise InputError(
                f"{pair.mask}: number {unknown[0]} is no class; correct it to one of 0 to {len(classes) - 1}, or "
                f"{IGNORED} for pixels that count nowhere"
            )
        return pixels, scaled_mask(values, wanted.side), found

    images, masks = into_memory.read_all(
        split,
        [pair.picture for pair in pairs],
        wanted.side,
        read,
        wanted.reporter,
        skip_corrupt=wanted.skip_corrupt,
    )
    stacked = torch.stack(masks)
    counts = stacked.view(-1).bincount(minlength=IGNORED + 1)[: len(classes)]
    if split == TRAINED and int((counts > 0).sum()) < 2:
        raise InputError(
            f"`data` {wanted.spec}: all pixels of the training masks are of one class or {IGNORED}, which stands for "
            "pixels that count nowhere; give them the numbers of their classes"
        )
    annotated.tell_lacking(split, "pixels", counts, classes, wanted.reporter)
    return Pictures(images, Mask(stacked))
