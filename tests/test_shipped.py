"""What other packages ship is read as they read it themselves."""

import numpy as np
from sklearn.datasets import load_digits, load_sample_images

from training.data.digits import SIZES, source
from training.data.scenes import photographs


def test_digits_are_those_that_scikit_learn_reads() -> None:
    bunch = load_digits()
    expected = sorted(
        (label, image.tobytes()) for image, label in zip(np.float32(bunch.images / 16), bunch.target, strict=True)
    )
    splits = (zip(*source(split), strict=True) for split in SIZES)
    assert sorted((label, image.tobytes()) for split in splits for image, label in split) == expected


def test_photographs_are_those_that_scikit_learn_reads() -> None:
    read = photographs()
    assert len(read) == 3
    for one, expected in zip(read, load_sample_images().images, strict=False):
        assert np.array_equal(one, expected)
