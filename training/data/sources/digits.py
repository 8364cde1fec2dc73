"""The canvases of handwritten digits."""

from foundation.errors import InputError
from training.data import digits
from training.data.dataset import DATASETS, Dataset, Wanted
from training.data.held import HeldSplit

SPECS = "digits, digits:clutter"


@DATASETS.register("digits")
def canvases(wanted: Wanted) -> Dataset:
    """The variant that the spec names, composed when a split is asked for."""
    variant = wanted.rest or "pointed"
    if variant not in digits.VARIANTS:
        raise InputError(f"`data` {wanted.spec}: unknown variant; known: {SPECS}")
    if wanted.side != digits.SIDE:
        raise InputError(f"`data` {wanted.spec}: pictures of {digits.SIDE} pixels, but the space wants {wanted.side}")
    mean, std = (digits.MEAN[variant],), (digits.STD[variant],)
    return Dataset(
        name=wanted.spec,
        identity=wanted.spec,
        classes=tuple(str(digit) for digit in range(10)),
        mean=mean,
        std=std,
        load=lambda split: HeldSplit(digits.compose(variant, split), mean, std, wanted.device),
        device=wanted.device,
        counts=digits.SIZES,
    )
