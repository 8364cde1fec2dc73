"""Batches at another resolution."""

from torch import Tensor, nn


def resized(images: Tensor, resolution: int) -> Tensor:
    """N×3×H×W images at `resolution` pixels a side, antialiased; the same tensor if they have it already."""
    if images.shape[-2:] == (resolution, resolution):
        return images
    return nn.functional.interpolate(images, size=(resolution, resolution), mode="bilinear", antialias=True)
