"""A single picture as a trained network sees it in evaluation."""

import math
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from search_space.errors import InputError
from training.model_file import ModelInfo
from training.pictures import eight_bits

MARGINS = {"imagenet": 256 / 224}
"""By kind of data, how much larger than the input a picture's shorter side is made before its centre is cut out.

Pictures of every other kind are shown whole: the central square, scaled to the resolution, as `training.folders` and
the small data sets have them.
"""


def margin(data: str) -> float:
    """The margin of a kind of data, `digits:clutter` for instance; 1 for pictures that are shown whole."""
    return MARGINS.get(data.partition(":")[0], 1.0)


def prepared(picture: Image.Image, info: ModelInfo) -> Tensor:
    """3×H×W float32, normalised, at the resolution of the network.

    The central square, less the margin of the network's data, scaled by Pillow's antialiased bilinear filter. A network
    trained on grey pictures (one channel's mean and std) sees every picture grey, repeated to three channels.
    """
    resolution = info.architecture.resolution
    mode = "L" if len(info.mean) == 1 else "RGB"
    image = eight_bits(picture).convert("RGB").convert(mode)
    side = min(image.size) / margin(info.data)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = (left, top, left + side, top + side)
    scaled = image.resize((resolution, resolution), Image.Resampling.BILINEAR, square)
    pixels = torch.from_numpy(np.array(scaled)).view(resolution, resolution, -1).permute(2, 0, 1)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (info.mean, info.std))
    return ((pixels.float() / 255 - mean) / std).expand(3, -1, -1).contiguous()


def read_picture(path: Path, info: ModelInfo) -> Tensor:
    """The picture of a file, prepared. Raises InputError naming a file that is missing or cannot be decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes on metadata; a picture that decodes is fine
            with Image.open(path) as picture:
                # Scales JPEGs while decoding; never below the size that is needed, as pictures for training are.
                needed = math.ceil(info.architecture.resolution * margin(info.data))
                picture.draft("RGB", (needed, needed))
                return prepared(picture, info)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as a picture ({reason[:200]})") from None
