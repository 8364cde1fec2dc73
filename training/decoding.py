"""One picture file to pixels: cropped for a training or an evaluation, and scaled to a network's resolution.

JPEGs are decoded by torchvision, whose decoder is the fastest on ImageNet's photographs, and scaled by torch on bytes;
one of at least twice the pixels a side that are needed is decoded by Pillow at a half, a quarter or an eighth of its
size, and so are, whole, all other formats (`benchmarks/data_loading.py` measures them). An orientation that a camera
noted in the file's EXIF is not applied, as torchvision's reference trainings do not.
"""

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn
from torchvision.io import ImageReadMode, decode_jpeg

from search_space.errors import InputError
from training.corrupt import CorruptError
from training.pictures import eight_bits
from training.rectangles import Rectangle, crop

FINER = 2.0  # in evaluation, a JPEG decoded at less than its size keeps so many times the pixels that are needed

_Bytes = NDArray[np.uint8]


def read_file(path: str) -> _Bytes:
    """The file's bytes. Raises InputError naming a file that cannot be read, or is gone."""
    try:
        return np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); is the disk still there?") from None


def training_crop(content: _Bytes, resolution: int, draws: Sequence[Sequence[float]]) -> Tensor:
    """The random-resized-crop that the draws say (see `training.rectangles`): 3×resolution×resolution, uint8.

    Raises CorruptError.
    """

    def needed(width: int, height: int) -> tuple[int, int]:
        box = crop(draws, width, height)
        return math.ceil(width * resolution / box.width), math.ceil(height * resolution / box.height)

    image, (width, height) = _decoded(content, needed)
    box = crop(draws, width, height)
    return _scaled(_cut(image, box, width, height), resolution, resolution)


def centre_crop(content: _Bytes, resolution: int, margin: float) -> Tensor:
    """The centre of the picture whose shorter side was scaled to resolution × margin.

    3×resolution×resolution, uint8; pixels as in torchvision's reference evaluation, whose margin is 256 / 224. Raises
    CorruptError.
    """
    shorter = round(resolution * margin)

    def needed(width: int, height: int) -> tuple[int, int]:
        scale = FINER * shorter / min(width, height)
        return math.ceil(scale * width), math.ceil(scale * height)

    image, (width, height) = _decoded(content, needed)
    wide, high = max(shorter, int(shorter * width / height)), max(shorter, int(shorter * height / width))
    image = _scaled(image, high, wide)
    top, left = round((high - resolution) / 2), round((wide - resolution) / 2)
    return image[:, top : top + resolution, left : left + resolution]


def _decoded(content: _Bytes, needed: Callable[[int, int], tuple[int, int]]) -> tuple[Tensor, tuple[int, int]]:
    """The picture (3×h×w, uint8), and the width and height that it has in its file.

    `needed` says from these which size is enough.
    """
    if not len(content):
        raise CorruptError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes on metadata; a picture that decodes is fine
            with Image.open(io.BytesIO(content.data)) as image:
                size = image.size
                if image.format == "JPEG":
                    image.draft("RGB", needed(*size))
                    if image.size == size and image.mode in ("RGB", "L"):
                        with contextlib.suppress(RuntimeError):  # Pillow has the last word on what is broken
                            return decode_jpeg(torch.from_numpy(content), mode=ImageReadMode.RGB), size
                return _rgb(image), size
    except MemoryError:  # is the machine's fault
        raise
    except UnidentifiedImageError:
        raise CorruptError("no picture of a known format") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on a broken file
        raise CorruptError(str(error) or type(error).__name__) from None


def _rgb(image: Image.Image) -> Tensor:
    """3×h×w, uint8. Transparency is dropped; of 16 bits the upper eight stay, where Pillow would cut off at 255."""
    image = eight_bits(image)
    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _cut(image: Tensor, box: Rectangle, width: int, height: int) -> Tensor:
    """A view of the box, which is in pixels of the file's size."""
    if image.shape[1:] == (height, width):
        return image[:, box.top : box.top + box.height, box.left : box.left + box.width]
    down, across = image.shape[1] / height, image.shape[2] / width
    top, left = int(box.top * down), int(box.left * across)
    bottom, right = math.ceil((box.top + box.height) * down), math.ceil((box.left + box.width) * across)
    return image[:, top:bottom, left:right]


def _scaled(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[1:] == (height, width):
        return image
    return nn.functional.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True)[0]
