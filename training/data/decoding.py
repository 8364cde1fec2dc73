"""One picture file to the random-resized-crop of a training, whose pixels nobody has to repeat: the fastest way counts.

JPEGs are decoded by torchvision, whose decoder is the fastest on ImageNet's photographs, and scaled by torch on bytes;
one of at least twice the pixels a side that are needed is decoded by Pillow at a half, a quarter or an eighth of its
size, and so are, whole, all other formats (`benchmarks/data_loading.py` measures them). Evaluation has
`training.data.preparation`.
"""

import contextlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.io import ImageReadMode, decode_jpeg

from training.augmentation.rectangles import Rectangle, crop
from training.data.preparation import JPEG, Bytes, Found, decoded, opened_picture, turn_of

_ASIDE = (Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90)


def training_crop(
    content: Bytes, resolution: int, draws: Sequence[Sequence[float]], *, upright: bool
) -> tuple[Tensor, Found]:
    """The random-resized-crop that the draws say (see `training.augmentation.rectangles`): 3×resolution×resolution, uint8.

    Args:
        upright: whether the picture is turned as its EXIF says.

    Raises CorruptError for a content that is no picture that can be decoded.
    """
    with opened_picture(content) as file:
        turn = turn_of(file) if upright else None
        aside = turn in _ASIDE
        width, height = file.size[::-1] if aside else file.size
        box = crop(draws, width, height)
        needed = math.ceil(width * resolution / box.width), math.ceil(height * resolution / box.height)
        image, found = _decoded(file, content, needed[::-1] if aside else needed, turn)
    if file.format not in JPEG:  # whose size may be another once it is decoded
        height, width = image.shape[1:]
        box = crop(draws, width, height)
    return _scaled(_cut(image, box, width, height), resolution, resolution), found


def _decoded(
    file: Image.Image, content: Bytes, needed: tuple[int, int], turn: Image.Transpose | None
) -> tuple[Tensor, Found]:
    """The picture (3×h×w, uint8), turned."""
    size = file.size
    if file.format == "JPEG" and turn is None and file.mode in ("RGB", "L"):
        file.draft("RGB", needed)
        if file.size == size:
            with contextlib.suppress(RuntimeError):  # Pillow has the last word on what is broken
                return decode_jpeg(torch.from_numpy(content), mode=ImageReadMode.RGB), Found()
    image, found = decoded(file, needed, turn)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1), found


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
