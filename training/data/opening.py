"""Where files of pictures are opened: how many pixels one may have, and none of Pillow's warnings for the user."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image

from foundation.library_warnings import ignored

MOST_PIXELS = 1 << 28
"""Of a picture that is decoded. Phones take photographs of 200 million pixels.

A small file can claim any number, so there has to be a bound. Pillow takes 4 bytes a pixel of what is decoded whole: 1
GiB for this many, and as much again where it is turned or has transparency. Of a JPEG it decodes a fraction, where that
is enough.
"""
TOO_MANY = "pixels are too many"
"""In the reason of a picture that has more: it is no broken one, so mending is no remedy."""
_PILLOWS = (1 << 30) // 4 // 3  # Pillow's own value

if Image.MAX_IMAGE_PIXELS == _PILLOWS:  # a program that has set another one means it
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow warns above it, and refuses above twice as many


@contextmanager
def opened(file: str | Path | IO[bytes], formats: list[str] | None = None) -> Iterator[Image.Image]:
    """A file's picture, not decoded yet: its size is known. As `PIL.Image.open`, whose errors it raises.

    Args:
        formats: as Pillow calls them, to try no others.
    """
    with ignored(), Image.open(file, formats=formats) as image:  # notes on metadata; a picture that decodes is fine
        yield image


def too_many(error: Image.DecompressionBombError) -> str:
    """The pixels of a picture that Pillow refuses for their number, and how many it may have."""
    counts = [f"{int(count):,}" for count in re.findall(r"\d+", str(error))]
    claimed, most = counts[:2] if len(counts) > 1 else ("the", f"{MOST_PIXELS:,}")
    return f"{claimed} {TOO_MANY}: at most {most} are decoded"
