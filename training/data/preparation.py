"""One picture file to the pixels that a network sees in evaluation: the only definition of them.

Pictures in memory, streamed ones, those of `predict.py` and those for exported networks are all prepared by `prepared`.
It consists of Pillow's own steps, so that others can repeat it bit for bit (docs/deployment.md shows how):

1. A JPEG of at least twice the size that is needed is decoded at a half, a quarter or an eighth of its size (`draft`),
   which for a camera's photographs takes a fifth of the time; all else is decoded whole.
2. It is turned upright as its EXIF says, but not for `imagenet:`, since torchvision's reference does not.
3. More than 8 bits a pixel become 8, see `eight_bits`; all becomes RGB, and transparency is dropped.
4. The central square, less a margin, is scaled by Pillow's antialiased bilinear filter, which works on bytes.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from foundation.errors import InputError, one_line
from foundation.library_warnings import ignored
from training.data.corrupt import CorruptError
from training.data.opening import opened, too_many

MARGINS = {"imagenet": 256 / 224}
"""By kind of data, how much larger than the input a picture's shorter side is made before its centre is cut out.

That of torchvision's reference evaluation. Pictures of every other kind are shown whole: the central square.
"""
MOST_PIPED = 256 << 20  # bytes of a picture that comes through a pipe, which may never end
FINER = 2  # a JPEG decoded at less than its size keeps so many times the pixels that are needed
JPEG = ("JPEG", "MPO")  # as Pillow calls them; phones write the second

RANGES = (255, 4095, 65_535)  # of 8, 12 and 16 bits
OVERSHOOT = 1.25  # times white: what filters leave in pictures of floats

_BAND = 1 << 20  # values that are looked at together
_ORIENTATION = 0x0112  # in EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Bytes = NDArray[np.uint8]


class View(NamedTuple):
    """What of a picture is seen.

    Attributes:
        resolution: of the result, in pixels a side.
        margin: see `MARGINS`.
        upright: whether it is turned as its EXIF says.
    """

    resolution: int
    margin: float = 1.0
    upright: bool = True

    @classmethod
    def of(cls, data: str, resolution: int) -> "View":
        """For a kind of data, or a network trained on it: `digits:clutter`, for instance."""
        kind = data.partition(":")[0]
        return cls(resolution, MARGINS.get(kind, 1.0), kind != "imagenet")


class Found(NamedTuple):
    """What a picture's file turned out to be.

    Attributes:
        turned: whether it was turned upright.
        white: the value that is taken for white, where it has more than 8 bits a pixel.
    """

    turned: bool = False
    white: float | None = None


def read_file(path: str) -> Bytes:
    """The bytes of a file, or all that come from a pipe.

    Raises InputError naming a file that cannot be read, or is gone, or a pipe that gives more than `MOST_PIPED`.
    """
    try:
        with open(path, "rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return np.fromfile(file, dtype=np.uint8)
            piped = file.read(MOST_PIPED + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); is the disk still there?") from None
    if len(piped) > MOST_PIPED:
        raise InputError(
            f"{path}: a pipe or device that gives more than {MOST_PIPED >> 20} MiB; save the picture as a file, and "
            "give that"
        )
    return np.frombuffer(bytearray(piped), dtype=np.uint8)  # which may be written to, as torch wants it


def prepared(content: Bytes, view: View, *, grey: bool = False) -> tuple[Tensor, Found]:
    """The picture of a file's content, 3×resolution×resolution, uint8; with `grey` all channels are its brightness.

    Raises CorruptError for a content that is no picture that can be decoded.
    """
    with opened_picture(content) as file:
        return _prepared(file, turn_of(file) if view.upright else None, view, grey)


def prepared_image(image: Image.Image, view: View, *, grey: bool = False) -> tuple[Tensor, Found]:
    """As `prepared`, of a picture that a program has; it is not changed.

    It is decoded whole, so a JPEG of at least twice the size that is needed comes out with slightly other pixels than
    from its file.
    """
    with ignored():
        turn = turn_of(image) if view.upright else None
        return _prepared(image.copy(), turn, view, grey)


def _prepared(file: Image.Image, turn: Image.Transpose | None, view: View, grey: bool) -> tuple[Tensor, Found]:
    needed = FINER * round(view.resolution * view.margin)
    image, found = decoded(file, (needed, needed), turn)
    if grey:
        image = image.convert("L")
    pixels = torch.from_numpy(central(image, view)).view(view.resolution, view.resolution, -1)
    return pixels.permute(2, 0, 1).expand(3, -1, -1), found


def central(image: Image.Image, view: View) -> Bytes:
    """The central square, less the margin, of a picture of 8 bits a channel, scaled to the resolution."""
    side = min(image.size) / view.margin
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = (left, top, left + side, top + side)
    return np.array(image.resize((view.resolution, view.resolution), Image.Resampling.BILINEAR, square))


@contextmanager
def opened_picture(content: Bytes) -> Iterator[Image.Image]:
    """The picture, not decoded yet. Whatever goes wrong with it is raised as CorruptError, in words."""
    if not len(content):
        raise CorruptError("the file is empty")
    try:
        with opened(io.BytesIO(content.data)) as image:
            yield image
    except (MemoryError, CorruptError):  # the first is the machine's fault
        raise
    except UnidentifiedImageError:
        raise CorruptError("no picture of a known format") from None
    except Image.DecompressionBombError as error:
        raise CorruptError(too_many(error)) from None
    except Exception as error:  # Pillow's plugins raise nearly anything on a broken file
        raise CorruptError(one_line(error)) from None


def turn_of(file: Image.Image) -> Image.Transpose | None:
    """What turns an opened picture upright. Pillow itself does it to a TIFF."""
    if file.format == "TIFF":
        return None
    if file.format not in JPEG:
        file.load()  # some have their EXIF behind the pixels
    try:
        return _TURNS.get(file.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF is no damaged picture
        return None


def decoded(file: Image.Image, needed: tuple[int, int], turn: Image.Transpose | None) -> tuple[Image.Image, Found]:
    """An opened picture as RGB, turned. A JPEG may come smaller than it is, but not than `needed`, as it lies."""
    file.draft("RGB", needed)
    image, white = eight_bits(file)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return image if turn is None else image.transpose(turn), Found(turn is not None, white)


def eight_bits(picture: Image.Image) -> tuple[Image.Image, float | None]:
    """A picture of more than 8 bits a pixel in 8, and the value that is taken for white; others as they are.

    Such a file does not say what white is, so the values do: it is the first of 255, 4095 and 65535 that none exceeds
    (of floats 1, too, and a quarter more is allowed, since filters overshoot), else the largest value. So 16 bits keep
    their upper eight, 12 bits in 16 as well, and 8 bits in 16 stay what they are. What is below 0 is black.

    A picture is judged by itself, since a lone one has to come out as it did among others. So a dark picture may be
    taken for one of fewer bits than the others of its set have: `training.data.remarks` says so where a set is mixed.
    """
    if picture.mode[0] not in "IF":
        return picture, None
    largest = max(float(values.max()) for _, values in _bands(picture))
    floats = picture.mode == "F"
    if floats:
        white = next((white for white in (1, *RANGES) if largest <= OVERSHOOT * white), largest)
    else:
        white = next((white for white in RANGES if largest <= white), largest)
    result = np.empty((picture.height, picture.width), dtype=np.uint8)
    for rows, values in _bands(picture):
        scaled = np.rint(values * (255 / white)) if floats else np.floor(values * (256 / (white + 1)))
        result[rows] = scaled.clip(0, 255)
    return Image.fromarray(result), white


def _bands(picture: Image.Image) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The values of some rows after others, since those of a large picture would take gigabytes at once."""
    height = max(1, _BAND // picture.width)
    for top in range(0, picture.height, height):
        rows = slice(top, min(top + height, picture.height))
        values = np.asarray(picture.crop((0, rows.start, picture.width, rows.stop))).astype(np.float64)
        yield rows, np.where(np.isfinite(values), values, 0).clip(0)
