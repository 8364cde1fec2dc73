"""How large the pictures are and how many, before one is decoded: what a search's defaults are chosen by."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from foundation.errors import InputError
from training.data import folders, imagenet
from training.data.opening import opened

SAMPLE = 200


@dataclass(frozen=True)
class PictureSizes:
    """Of a data set's training pictures.

    Attributes:
        shorter: median of the shorter sides, in pixels.
        sampled: pictures whose sizes were read.
        training: how many there are.
        classes: of the data set.
    """

    shorter: int
    sampled: int
    training: int
    classes: int


def picture_sizes(spec: str) -> PictureSizes | None:
    """Sizes as the files' headers say; None for data that are no files, or none that can be read."""
    kind, _, path = spec.partition(":")
    try:
        if kind == "folder":
            tree = folders.scan(spec, path)
            files: Sequence[str] = [str(file) for file, _ in tree.files["train"]]
            classes = len(tree.classes)
        elif kind == "imagenet":
            listed = imagenet.scan_imagenet(spec, path)
            files, classes = listed.splits["train"].paths, len(listed.classes)
        else:
            return None
    except InputError:  # said when the pictures are loaded
        return None
    count = min(SAMPLE, len(files))
    sides = [side for side in (_shorter(files[i * len(files) // count]) for i in range(count)) if side]
    return PictureSizes(round(statistics.median(sides)), len(sides), len(files), classes) if sides else None


def _shorter(file: str) -> int | None:
    """Pixels of the shorter side; None for a file that is no picture, or too large: that is said when it is decoded."""
    try:
        with opened(file) as image:
            return min(image.size)
    except Exception:  # Pillow's plugins raise nearly anything on a broken file
        return None
