"""A single picture as a trained network sees it in evaluation: prepared and normalised."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from foundation.errors import InputError
from training.data.corrupt import CorruptError
from training.data.preparation import Bytes, View, prepared, prepared_image, read_file
from training.model_file import ModelInfo


def normalised(content: Bytes, info: ModelInfo) -> Tensor:
    """A file's picture, 3×H×W float32, normalised, at the resolution of the network: see `training.data.preparation`.

    A network trained on grey pictures (one channel's mean and std) sees every picture grey. Raises CorruptError.
    """
    view = View.of(info.data, info.architecture.resolution)
    return _normalised(prepared(content, view, grey=len(info.mean) == 1)[0], info)


def normalised_image(image: Image.Image, info: ModelInfo) -> Tensor:
    """As `normalised`, of a picture that a program has: see `training.data.preparation.prepared_image`."""
    view = View.of(info.data, info.architecture.resolution)
    return _normalised(prepared_image(image, view, grey=len(info.mean) == 1)[0], info)


def _normalised(pixels: Tensor, info: ModelInfo) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (info.mean, info.std))
    return ((pixels.float() / 255 - mean) / std).contiguous()


def read_picture(path: Path, info: ModelInfo) -> Tensor:
    """The picture of a file, normalised. Raises InputError naming a file that cannot be read, or not be decoded."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        return normalised(read_file(str(path)), info)
    except CorruptError as error:
        raise InputError(f"{path}: cannot be read as a picture ({str(error)[:200]})") from None
