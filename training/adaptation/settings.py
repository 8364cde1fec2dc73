"""What an adaptation does with pictures without labels; how it steps is a `Recipe`'s. Without torch, for a help."""

from dataclasses import dataclass

from training.setting import check, setting


@dataclass(frozen=True)
class Adaptation:
    """Weights of the losses of SHOT and SHOT++ (arXiv:2012.07297), which their digits have.

    Raises InputError for one out of its range.

    Attributes:
        pseudo_labels, rotation, diversity: 0 leaves the term out.
        backbone_rate: SHOT's objects have 0.1, its digits 1.
        centroid_above: SHOT has 0, and 10 where the pictures have some of the classes alone.
        transfer_rate, unlabelled: SHOT++ has 0.01 and 100; on a thousand pictures, which are few steps, all came to be
            predicted as one class by that.
        transfer_batch, mixup, sharpening, view_magnitude: of the labelling transfer as well, which is MixMatch's.
            Views of a picture always differ, also where pictures are not augmented otherwise.
    """

    pseudo_labels: float = setting(0.1, "weight of the pseudo-labels' loss; 0: none", 0.0, 10.0)
    rotation: float = setting(0.2, "weight of telling a picture's rotation; 0: none", 0.0, 10.0)
    rotation_epochs: int = setting(5, "passes that first teach the rotation's classifier alone", 1, 1000)
    diversity: float = setting(1.0, "weight of the term that wants all classes equally often; 0: none", 0.0, 10.0)
    backbone_rate: float = setting(1.0, "learning rate of what was trained before, as a share", share=True)
    centroid_above: int = setting(0, "predictions that a class has more of, to be a pseudo-label", 0, 1_000_000)
    transfer_batch: int = setting(36, "pictures with labels, and without, in a step of MixMatch", 2, 65_536)
    transfer_rate: float = setting(0.1, "MixMatch's highest learning rate, of the new head", 1e-6, 10.0)
    unlabelled: float = setting(10.0, "weight that MixMatch's unlabelled pictures come to", 0.0, 10_000.0)
    mixup: float = setting(0.1, "α of MixMatch's mixing", 0.001, 100.0)
    sharpening: float = setting(0.5, "temperature that MixMatch's guesses are sharpened by", 0.05, 1.0)
    view_magnitude: int = setting(5, "magnitude of RandAugment on MixMatch's views of a picture", 1, 30)

    def __post_init__(self) -> None:
        check(self)
