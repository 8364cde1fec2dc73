"""What is done to training pictures, as one value that a recipe makes and every kind of split understands."""

from dataclasses import dataclass

from training.setting import check, setting

CROPS = ("none", "crop-flip", "random-resized-crop")


@dataclass(frozen=True)
class Augmentation:
    """Changes to single training pictures; what mixes several is `training.augmentation.mixing`.

    Attributes:
        crop: `crop-flip` for shifts by up to an eighth of the side and mirroring; `random-resized-crop` for 8 to 100 %
            of the area at aspect ratios 3:4 to 4:3, scaled to the resolution, and mirroring (Inception's,
            arXiv:1409.4842, section 6).
        rand_augment: two operations a picture (arXiv:1909.13719).
        erasing: random erasing (arXiv:1708.04896).
        colour: see `training.augmentation.colour`.
        views: of each picture, drawn apart; a batch has the first of all its pictures, then the second of all.
    """

    crop: str = setting("none", ", ".join(CROPS), choices=CROPS)
    rand_augment: int = setting(0, "magnitude of RandAugment, 1 to 30; 0: none", 0, 30)
    erasing: float = setting(0.0, "probability that a rectangle is erased", 0, 1)
    colour: float = setting(0.0, "strength of SimCLR's colour distortion; 0: none", 0, 1)
    views: int = 1

    def __post_init__(self) -> None:
        check(self)


PLAIN = Augmentation()
