"""How the shared weights are trained, and how many pictures a score takes."""

from dataclasses import dataclass, replace
from typing import Self

from search_space.errors import InputError
from training.recipe import Recipe


@dataclass(frozen=True)
class SupernetRecipe(Recipe):
    """A recipe for the shared weights.

    Attributes:
        largest: whether every step trains the space's largest network, on the labels.
        smallest: whether every step trains its smallest.
        random_networks: networks of a step beside these.
        distillation: whether the others learn from the largest's predictions, not from the labels.
        largest_epochs: epochs at the start in which the largest network trains alone, as in once-for-all
            (arXiv:1908.09791, section 3.3): a third of a step's cost while there is nothing yet to distil.
        within_budget: whether random networks are drawn uniformly from the budget, or else decision by decision.
        own_kernels: whether each kernel size has depthwise weights of its own, not the centre of the largest's. Of 64
            networks of equal MACs the supernet then ranks with τ .19 instead of -.11, see docs/ranking.md
            (`python -m benchmarks.rank_correlation`).
        window: random networks have at least this share of the budget's MACs; 0 for no lower bound.
    """

    largest: bool = True
    smallest: bool = True
    random_networks: int = 2
    distillation: bool = True
    largest_epochs: int = 0
    within_budget: bool = True
    window: float = 0.0
    own_kernels: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.random_networks <= 64:
            raise InputError(f"random_networks: expected 0 to 64, got {self.random_networks}")
        if not self.largest + self.smallest + self.random_networks:
            raise InputError("random_networks: 0 without largest and smallest leaves a step nothing to train")
        if not 0 <= self.largest_epochs <= 100_000:
            raise InputError(f"largest_epochs: expected 0 to 100000, got {self.largest_epochs}")
        if not 0 <= self.window < 1:
            raise InputError(f"window: expected a share from 0 to below 1, got {self.window}")

    def lasting(self, epochs: int) -> Self:
        """The same training over so many epochs, of which the largest network alone has its share."""
        return replace(self, epochs=epochs, largest_epochs=round(self.largest_epochs * epochs / self.epochs))


@dataclass(frozen=True)
class Scoring:
    """How many pictures a score takes.

    Attributes:
        calibration: training pictures from which batch statistics are recomputed.
        validation: validation pictures for ranking the many; a thorough score takes all of them.
        batch_size: pictures a forward pass.
    """

    calibration: int = 512
    validation: int = 1000
    batch_size: int = 256
