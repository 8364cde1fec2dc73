"""Batches at another resolution."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from training.augmentation.places import have_places, moved_places, scaled
from training.targets import Batch, Targets


def resized(images: Tensor, resolution: int) -> Tensor:
    """N×3×H×W images at `resolution` pixels a side, antialiased; the same tensor if they have it already."""
    if images.shape[-2:] == (resolution, resolution):
        return images
    return nn.functional.interpolate(images, size=(resolution, resolution), mode="bilinear", antialias=True)


def resized_batch(images: Tensor, targets: Targets, resolution: int) -> Batch:
    """The images as `resized` has them, and what of the targets has a place in them moved along."""
    size = (images.shape[-2], images.shape[-1])
    if size != (resolution, resolution) and have_places(targets):
        targets = moved_places(targets, lambda _, place: scaled(place, size, (resolution, resolution)))
    return resized(images, resolution), targets


def resized_batches(batches: Iterable[Batch], resolution: int) -> Iterator[Batch]:
    """Batches as a network of that resolution has them."""
    return (resized_batch(images, targets, resolution) for images, targets in batches)
