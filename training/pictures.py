"""Labelled pictures in memory."""

from typing import NamedTuple

from torch import Tensor


class Pictures(NamedTuple):
    """Images N×C×H×W (uint8, C of 1 or 3) and labels N (int64)."""

    images: Tensor
    labels: Tensor
