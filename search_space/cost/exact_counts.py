"""Exact integers of any size in arrays: counts by number of buckets, and their convolution with a histogram.

A count is a column of limbs of 14 bits, the lowest first. Convolutions are by real FFT, limb by limb, of counts and
histograms both in limbs: so the rounding error of a transform stays far below one half, which would be wrong.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from search_space.chain import State

LIMB_BITS = 14
WORD_BITS = 2 * LIMB_BITS

_LIMB = (1 << LIMB_BITS) - 1


class Counts:
    """Counts by state and number of buckets, each a column of words of 28 bits.

    Attributes:
        words: words × (states in ascending order, and within each the numbers of buckets from 0).
    """

    def __init__(self, limbs: Mapping[State, NDArray[np.int64]], size: int):
        self.size = size
        self._starts = {state: column * size for column, state in enumerate(sorted(limbs))}
        longest = max(len(rows) for rows in limbs.values())
        self.words = np.zeros(((longest + 1) // 2, len(limbs) * size), dtype=np.uint32)
        for state, start in self._starts.items():
            for index, row in enumerate(limbs[state]):
                self.words[index // 2, start : start + size] |= (row << (LIMB_BITS * (index % 2))).astype(np.uint32)

    def starts(self, states: Iterable[State]) -> NDArray[np.int64]:
        """Where in `words` the counts of each of some states begin."""
        return np.array([self._starts[state] for state in states], dtype=np.int64)

    def number(self, state: State, buckets: int) -> int:
        """The count of a state within so many buckets."""
        return integer(self.words[:, self._starts[state] + buckets])


def integer(words: NDArray[np.generic]) -> int:
    """The number that a column of words makes."""
    return sum(word << (WORD_BITS * index) for index, word in enumerate(words.tolist()))


def spectrum(limbs: NDArray[np.int64]) -> NDArray[np.complex128]:
    """What `convolved` needs of counts: limbs × numbers of buckets."""
    return np.fft.rfft(limbs.astype(np.float64), padded(limbs.shape[1]), axis=1)


def convolved(
    histograms: Mapping[State, NDArray[np.int64]], spectra: Mapping[State, NDArray[np.complex128]], size: int
) -> NDArray[np.int64]:
    """For each number of buckets, in limbs: the sum over states and costs of histogram × count of what is left."""
    rows: list[NDArray[np.complex128] | None] = []
    for state, histogram in histograms.items():
        parts = _carried(histogram[None])
        factors = np.fft.rfft(parts.astype(np.float64), padded(size), axis=1)
        for shift, factor in enumerate(factors):
            for index, row in enumerate(spectra[state] * factor, start=shift):
                rows += [None] * (index + 1 - len(rows))
                total = rows[index]
                rows[index] = row if total is None else total + row
    sums = [np.fft.irfft(row, padded(size))[:size] for row in rows if row is not None]
    return _carried(np.rint(sums).astype(np.int64))


def padded(size: int) -> int:
    """A transform length at which the convolution does not wrap around."""
    return 1 << (2 * size - 2).bit_length()


def _carried(limbs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same numbers with every limb (lowest first) within 14 bits, in as many limbs as they need."""
    rows = []
    carry = np.zeros_like(limbs[0])
    for row in limbs:
        carry = carry + row
        rows.append(carry & _LIMB)
        carry = carry >> LIMB_BITS
    while carry.any():
        rows.append(carry & _LIMB)
        carry = carry >> LIMB_BITS
    return np.stack(rows)
