"""RandAugment (arXiv:1909.13719, section 3): operations drawn at random, all of one magnitude, for a batch at once.

The strength of every operation follows from the magnitude as in torchvision's `RandAugment`. Only which operations a
picture gets, and their signs, are random, so pictures that get the same are altered together.
"""

import math
from collections.abc import Callable

import torchvision.transforms.v2.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode

LARGEST = 30  # magnitude


def rand_augment(images: Tensor, operations: Tensor, signs: Tensor, magnitude: int) -> Tensor:
    """N×C×H×W pictures (uint8), each altered by its operations one after the other.

    Args:
        operations, signs: N×k, see `training.augmentation.draws.Draws`; on the CPU, so that no step waits for a GPU.
        magnitude: 1 to 30.
    """
    strength = magnitude / LARGEST
    images = images.clone()
    for numbers, directions in zip(operations.unbind(1), signs.unbind(1), strict=True):
        for number, (operation, signed) in enumerate(_OPERATIONS):
            for direction in (-1, 1) if signed else (1,):
                chosen = numbers == number
                if signed:
                    chosen &= directions == direction
                index = chosen.nonzero()[:, 0].to(images.device)
                if len(index):
                    images[index] = operation(images[index], strength * direction)
    return images


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


# Each with whether it has a sign. A strength is in -1 to 1.
_OPERATIONS: tuple[tuple[Callable[[Tensor, float], Tensor], bool], ...] = (
    (lambda images, strength: images, False),
    (lambda images, strength: _affine(images, shear=(0.3 * strength, 0.0)), True),
    (lambda images, strength: _affine(images, shear=(0.0, 0.3 * strength)), True),
    (lambda images, strength: _affine(images, across=_reach(images.shape[-1], strength)), True),
    (lambda images, strength: _affine(images, down=_reach(images.shape[-2], strength)), True),
    (lambda images, strength: F.rotate(images, 30 * strength, interpolation=InterpolationMode.BILINEAR), True),
    (lambda images, strength: F.adjust_brightness(images, 1 + 0.9 * strength), True),
    (lambda images, strength: F.adjust_saturation(images, 1 + 0.9 * strength), True),
    (lambda images, strength: F.adjust_contrast(images, 1 + 0.9 * strength), True),
    (lambda images, strength: F.adjust_sharpness(images, 1 + 0.9 * strength), True),
    (lambda images, strength: F.posterize(images, 8 - round(4 * strength)), False),
    (lambda images, strength: F.solarize(images, 255 * (1 - strength)), False),
    (lambda images, strength: F.autocontrast(images), False),
    (lambda images, strength: F.equalize(images), False),
)

__all__ = ["rand_augment"]
