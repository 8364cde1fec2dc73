"""RandAugment (arXiv:1909.13719, section 3): operations drawn at random, all of one magnitude, for a batch at once.

Boxes, masks and points move with their picture, by the same functions of torchvision.

The strength of every operation follows from the magnitude as in torchvision's `RandAugment`. Only which operations a
picture gets, and their signs, are random, so pictures that get the same are altered together.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

from training.augmentation.places import have_places, moved_places
from training.targets import Batch, Targets

LARGEST = 30  # magnitude


def rand_augment(images: Tensor, targets: Targets, operations: Tensor, signs: Tensor, magnitude: int) -> Batch:
    """N×C×H×W pictures (uint8), each altered by its operations one after the other, and their targets.

    Args:
        operations, signs: N×k, see `training.augmentation.draws.Draws`; on the CPU, so that no step waits for a GPU.
        magnitude: 1 to 30.
    """
    strength = magnitude / LARGEST
    size = (images.shape[-2], images.shape[-1])
    images = images.clone()
    for numbers, directions in zip(operations.unbind(1), signs.unbind(1), strict=True):
        for number, operation in enumerate(_OPERATIONS):
            for direction in (-1, 1) if operation.signed else (1,):
                chosen = numbers == number
                if operation.signed:
                    chosen &= directions == direction
                index = chosen.nonzero()[:, 0].to(images.device)
                if len(index):
                    images[index] = operation.alter(images[index], strength * direction, size)
    if not have_places(targets):
        return images, targets
    drawn = list(zip(operations.tolist(), signs.tolist(), strict=True))

    def moved(picture: int, place: Tensor) -> Tensor:
        for number, direction in zip(*drawn[picture], strict=True):
            if _OPERATIONS[number].moves:
                place = _OPERATIONS[number].alter(place, strength * direction, size)
        return place

    return images, moved_places(targets, moved)


def _affine(images: Tensor, *, across: int = 0, down: int = 0, shear: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    sheared = shear != (0.0, 0.0)
    return F.affine(
        images,
        angle=0.0,
        translate=[across, down],
        scale=1.0,
        shear=[math.degrees(math.atan(slope)) for slope in shear],
        interpolation=InterpolationMode.BILINEAR,
        center=[0, 0] if sheared else None,
    )


def _reach(side: int, strength: float) -> int:
    """Pixels of a translation."""
    return int(150 / 331 * side * strength)


class _Operation(NamedTuple):
    """Attributes:
    alter: the pictures by a strength in -1 to 1; of those that move pixels, also boxes, masks or points in a picture
        of a size (height, width).
    signed: whether a strength may be below 0.
    moves: whether it moves pixels.
    """

    alter: Callable[[Tensor, float, tuple[int, int]], Tensor]
    signed: bool
    moves: bool = False


_OPERATIONS: tuple[_Operation, ...] = (
    _Operation(lambda images, strength, size: images, False),
    _Operation(lambda images, strength, size: _affine(images, shear=(0.3 * strength, 0.0)), True, True),
    _Operation(lambda images, strength, size: _affine(images, shear=(0.0, 0.3 * strength)), True, True),
    _Operation(lambda images, strength, size: _affine(images, across=_reach(size[1], strength)), True, True),
    _Operation(lambda images, strength, size: _affine(images, down=_reach(size[0], strength)), True, True),
    _Operation(
        lambda images, strength, size: F.rotate(images, 30 * strength, interpolation=InterpolationMode.BILINEAR),
        True,
        True,
    ),
    _Operation(lambda images, strength, size: F.adjust_brightness(images, 1 + 0.9 * strength), True),
    _Operation(lambda images, strength, size: F.adjust_saturation(images, 1 + 0.9 * strength), True),
    _Operation(lambda images, strength, size: F.adjust_contrast(images, 1 + 0.9 * strength), True),
    _Operation(lambda images, strength, size: F.adjust_sharpness(images, 1 + 0.9 * strength), True),
    _Operation(lambda images, strength, size: F.posterize(images, 8 - round(4 * strength)), False),
    _Operation(lambda images, strength, size: F.solarize(images, 255 * (1 - strength)), False),
    _Operation(lambda images, strength, size: F.autocontrast(images), False),
    _Operation(lambda images, strength, size: F.equalize(images), False),
)

__all__ = ["rand_augment"]
