"""Pictures and what there is to say of them: in memory, or where they lie."""

from typing import NamedTuple

from torch import Tensor

from training.targets import Targets


class Pictures(NamedTuple):
    """Images N×C×H×W (uint8, C of 1 or 3) and their targets: of classes, labels N (int64).

    `sources` (N, int64) says which pictures are made from the same original, where several are: such pictures are not
    independent, and an interval has to be drawn over originals.
    """

    images: Tensor
    targets: Targets
    sources: Tensor | None = None


class Listed(NamedTuple):
    """Files N, and their labels N (int64)."""

    paths: list[str]
    labels: Tensor

    def of(self, chosen: Tensor) -> "Listed":
        """Some of them, by number (int64)."""
        return Listed([self.paths[number] for number in chosen.tolist()], self.labels[chosen])
