"""Handwritten digits: canvases of several, and single ones of two sources."""

from foundation.errors import InputError
from training.data import digits, handwriting
from training.data.dataset import DATASETS, Dataset, Wanted
from training.data.held import HeldSplit

SPECS = "digits[:VARIANT]"


@DATASETS.register("digits")
def of_digits(wanted: Wanted) -> Dataset:
    """The variant that the spec names, made when a split is asked for."""
    variant = wanted.rest or "pointed"
    single = variant in handwriting.SOURCES
    if not single and variant not in digits.VARIANTS:
        known = ", ".join([*digits.VARIANTS, *handwriting.SOURCES])
        raise InputError(f"`data` {wanted.spec}: unknown variant; known: {known}")
    if wanted.side != digits.SIDE:
        raise InputError(f"`data` {wanted.spec}: pictures of {digits.SIDE} pixels, but the space wants {wanted.side}")
    made = handwriting if single else digits
    make = handwriting.handwriting if single else digits.compose
    mean, std = (made.MEAN[variant],), (made.STD[variant],)
    return Dataset(
        name=wanted.spec,
        identity=wanted.spec,
        classes=tuple(str(digit) for digit in range(10)),
        mean=mean,
        std=std,
        load=lambda split: HeldSplit(make(variant, split), mean, std, wanted.device),
        device=wanted.device,
        counts={} if single else digits.SIZES,
    )
