"""What is done to training pictures, as one value that a recipe makes and every kind of split understands."""

from dataclasses import dataclass

from search_space.errors import InputError

CROPS = ("none", "crop-flip", "random-resized-crop")


@dataclass(frozen=True)
class Augmentation:
    """Changes to single training pictures; what mixes several is `training.mixing`.

    Attributes:
        crop: `none`; `crop-flip` for shifts by up to an eighth of the side and mirroring; `random-resized-crop` for 8
            to 100 % of the area at aspect ratios 3:4 to 4:3, scaled to the resolution, and mirroring (Inception's,
            arXiv:1409.4842, section 6).
        rand_augment: magnitude, 1 to 30, of two operations a picture (RandAugment, arXiv:1909.13719); 0 for none.
        erasing: probability that a rectangle is erased (random erasing, arXiv:1708.04896); 0 for none.
    """

    crop: str = "none"
    rand_augment: int = 0
    erasing: float = 0.0

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise InputError(f"augmentation: {self.crop!r} is unknown; known: {', '.join(CROPS)}")
        if not 0 <= self.rand_augment <= 30:
            raise InputError(f"rand_augment: expected 0 to 30, got {self.rand_augment}")
        if not 0.0 <= self.erasing <= 1.0:
            raise InputError(f"erasing: expected 0 to 1, got {self.erasing}")


PLAIN = Augmentation()
