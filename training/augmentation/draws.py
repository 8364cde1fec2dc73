"""The random numbers of a batch's augmentation, drawn at once and before anything is decoded or shared out.

They are drawn for the whole batch from the pass's generator, so they depend on the seed and on the batch's place in the
pass, never on processes, workers or on the pictures themselves.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from training.augmentation.recipe import Augmentation

ATTEMPTS = 10  # at a rectangle that fits into its picture
OPERATIONS = 14  # of RandAugment
PER_PICTURE = 2  # of them, one after the other
COLOURS = 6  # numbers of a picture's colour distortion


@dataclass(frozen=True)
class Draws:
    """For each of N pictures; None where the augmentation has no use for it.

    Attributes:
        down, right: pixels that a picture is shifted by (N).
        mirrored: 1 for a mirrored picture, else 0 (N).
        crops, erasures: N×`ATTEMPTS`×4 in 0 to 1, for `training.augmentation.rectangles`.
        colours: N×`COLOURS` in 0 to 1, for `training.augmentation.colour`.
        erased: in 0 to 1, to be compared with the probability of erasing (N).
        operations: numbers of RandAugment's operations (N×`PER_PICTURE`).
        signs: -1 or 1 for each operation (N×`PER_PICTURE`).
    """

    down: Tensor | None = None
    right: Tensor | None = None
    mirrored: Tensor | None = None
    crops: Tensor | None = None
    operations: Tensor | None = None
    signs: Tensor | None = None
    colours: Tensor | None = None
    erased: Tensor | None = None
    erasures: Tensor | None = None

    def of(self, chosen: slice | Tensor) -> "Draws":
        """Those of some of the pictures, by their places (int64)."""
        drawn = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[chosen] for name, value in drawn.items() if value is not None})


NOTHING = Draws()


def draw_alterations(
    augmentation: Augmentation, count: int, size: tuple[int, int], generator: torch.Generator
) -> Draws:
    """The draws for `count` pictures of `size` (height, width)."""

    def whole(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high + 1, (count, *shape), generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    drawn = Draws()
    if augmentation.crop == "crop-flip":
        reach_y, reach_x = size[0] // 8, size[1] // 8
        drawn = Draws(down=whole(-reach_y, reach_y), right=whole(-reach_x, reach_x), mirrored=whole(0, 1))
    elif augmentation.crop == "random-resized-crop":
        drawn = Draws(crops=uniform(ATTEMPTS, 4), mirrored=whole(0, 1))
    if augmentation.rand_augment:
        operations, signs = whole(0, OPERATIONS - 1, PER_PICTURE), whole(0, 1, PER_PICTURE) * 2 - 1
        drawn = replace(drawn, operations=operations, signs=signs)
    if augmentation.colour:
        drawn = replace(drawn, colours=uniform(COLOURS))
    if augmentation.erasing:
        drawn = replace(drawn, erased=uniform(), erasures=uniform(ATTEMPTS, 4))
    return drawn
