"""A single picture as a trained network sees it in evaluation: prepared and normalised."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foundation.errors import InputError
from foundation.library_warnings import ignored
from training.data.corrupt import CorruptError
from training.data.opening import TOO_MANY
from training.data.preparation import (
    Bytes,
    View,
    decoded,
    opened_picture,
    prepared,
    prepared_image,
    read_file,
    turn_of,
)
from training.model_file import ModelInfo

WHOLE = ("masks", "voc", "coco")
"""Kinds of data whose pictures are seen whole, aspect not kept: see `training.data.whole_pictures`."""

_T = TypeVar("_T")


def normalised(content: Bytes, info: ModelInfo) -> Tensor:
    """A file's picture, 3×H×W float32, normalised, at the resolution of the network: see `training.data.preparation`.

    A network trained on grey pictures (one channel's mean and std) sees every picture grey. Raises CorruptError.
    """
    side = info.architecture.resolution
    if _is_whole(info):
        with opened_picture(content) as file:
            return _normalised(_scaled(_upright(file), (side, side)), info)
    return _normalised(prepared(content, View.of(info.data, side), grey=len(info.mean) == 1)[0], info)


def normalised_image(image: Image.Image, info: ModelInfo) -> Tensor:
    """As `normalised`, of a picture that a program has: see `training.data.preparation.prepared_image`."""
    side = info.architecture.resolution
    if _is_whole(info):
        with ignored():
            return _normalised(_scaled(_upright(image.copy()), (side, side)), info)
    return _normalised(prepared_image(image, View.of(info.data, side), grey=len(info.mean) == 1)[0], info)


def photograph(path: Path, info: ModelInfo, side: int) -> Tensor:
    """What the network sees of a file's picture, to be drawn over: 3×H×W (uint8), in colour, in its own aspect.

    Args:
        side: the longer one of the result, in pixels.

    Raises InputError naming a file that cannot be read, or not be decoded.
    """

    def seen(content: Bytes) -> Tensor:
        if not _is_whole(info):
            return prepared(content, View.of(info.data, side))[0]
        with opened_picture(content) as file:
            image = _upright(file)
            width, height = (max(1, round(own * side / max(image.size))) for own in image.size)
            return _scaled(image, (width, height))

    return _read(path, seen)


def _is_whole(info: ModelInfo) -> bool:
    return info.data.partition(":")[0] in WHOLE


def _upright(file: Image.Image) -> Image.Image:
    return decoded(file, file.size, turn_of(file))[0]


def _scaled(image: Image.Image, size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(np.array(image.resize(size, Image.Resampling.BILINEAR))).permute(2, 0, 1)


def _normalised(pixels: Tensor, info: ModelInfo) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (info.mean, info.std))
    return ((pixels.float() / 255 - mean) / std).contiguous()


def read_picture(path: Path, info: ModelInfo) -> Tensor:
    """The picture of a file, normalised. Raises InputError naming a file that cannot be read, or not be decoded."""
    return _read(path, lambda content: normalised(content, info))


def _read(path: Path, make: Callable[[Bytes], _T]) -> _T:
    _check_there(path)
    try:
        return make(read_file(str(path)))
    except CorruptError as error:
        remedy = "; scale it down" if TOO_MANY in str(error) else ""
        raise InputError(f"{path}: cannot be read as a picture ({str(error)[:200]}){remedy}") from None


def _check_there(path: Path) -> None:
    """Raises InputError for a name that no file has, or that leads to none."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last of a name with a zero byte
        if os.path.islink(path):
            message = f"{path}: a link to {os.readlink(path)}, which is not there; mend or remove it"
            raise InputError(message) from None
        raise InputError(f"{path}: no such file") from None
    except OSError as error:  # a name that is too long, links in a circle, a folder without permission
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
