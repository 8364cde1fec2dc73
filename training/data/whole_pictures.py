"""Pictures of which all is seen, with the class of every pixel or with boxes: scaled to a square, aspect not kept.

So does torchvision's SSD (`torchvision.models.detection.ssdlite320_mobilenet_v3_large`: `fixed_size`). Pictures are
scaled by Pillow's antialiased bilinear filter, masks to the nearest pixel, boxes by the ratio of the sides. All are
turned upright as their EXIF says: that is how annotation programs show a picture. Files are decoded whole.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foundation.errors import InputError
from training.data.corrupt import CorruptError
from training.data.preparation import Bytes, Found, decoded, opened_picture, read_file, turn_of

IGNORED = 255
"""The value in a mask of pixels that have no class: they count nowhere."""

_OF_NUMBERS = ("L", "P", "1")  # modes of Pillow whose pixels are a number of 8 bits or less

Size = tuple[int, int]
"""Width and height, in pixels."""


def whole_picture(content: Bytes, side: int) -> tuple[Tensor, Size, Found]:
    """The picture of a file's content as 3×side×side (uint8), and its size once it is upright.

    Raises CorruptError for a content that is no picture that can be decoded.
    """
    with opened_picture(content) as file:
        image, found = decoded(file, file.size, turn_of(file))
        pixels = torch.from_numpy(np.array(image.resize((side, side), Image.Resampling.BILINEAR)))
        return pixels.permute(2, 0, 1), image.size, found


def mask_values(path: str) -> Bytes:
    """The numbers in a mask's file, H×W, upright: grey values of 8 bits, or numbers in a palette.

    Of one bit the numbers are 0 and 1; grey values of 2 or 4 bits are refused. Raises CorruptError for what cannot be
    decoded, InputError for what cannot be read or has other pixels.
    """
    try:
        with opened_picture(read_file(path)) as file:
            mode, turn = file.mode, turn_of(file)
            if mode == "L" and _bits(path) < 8:  # which Pillow spreads over the 256 grey values
                mode = f"L of {_bits(path)} bits"
            image = file if turn is None else file.transpose(turn)
            values = np.array(image)
    except CorruptError as error:
        raise CorruptError(f"its mask {path}: {error}") from None
    if mode not in _OF_NUMBERS:
        raise InputError(
            f"{path}: a mask of mode {mode}; expected the number of a class in each pixel, as one channel of 8 bits or "
            "with a palette; save it so"
        )
    return values.astype(np.uint8)


def _bits(path: str) -> int:
    """Bits of a PNG's channel, by its header (https://www.w3.org/TR/png-3/#11IHDR); 8 of another format's."""
    with open(path, "rb") as file:
        header = file.read(25)
    return header[24] if header[:8] == b"\x89PNG\r\n\x1a\n" and len(header) == 25 else 8


def there(values: Bytes) -> list[int]:
    """Which numbers a mask holds, in order, without that of pixels that count nowhere."""
    counts = np.bincount(values.ravel(), minlength=IGNORED + 1)
    return [int(number) for number in np.flatnonzero(counts[:IGNORED])]


def scaled_mask(values: Bytes, side: int) -> Tensor:
    """Of H×W numbers those of the nearest pixels, side×side (uint8)."""
    return torch.from_numpy(np.array(Image.fromarray(values).resize((side, side), Image.Resampling.NEAREST)))


def scaled_boxes(corners: Tensor, size: Size, side: int) -> Tensor:
    """Boxes K×4 (left, top, right, bottom, in pixels of a picture of that size) in the square."""
    width, height = size
    return corners * torch.tensor([side / width, side / height] * 2, dtype=corners.dtype)
