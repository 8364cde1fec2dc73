"""How the shared weights are trained, and how many pictures a score takes."""

from dataclasses import dataclass, replace
from typing import Self

from foundation.errors import InputError
from training.recipe import Recipe
from training.setting import setting


@dataclass(frozen=True)
class SupernetRecipe(Recipe):
    """A recipe for the shared weights.

    What each setting is stands at its field; here is what more there is to say.

    Attributes:
        largest_epochs: as in once-for-all (arXiv:1908.09791, section 3.3): a third of a step's cost while there is
            nothing yet to distil.
        own_kernels: else each has the centre of the largest's. Of 64 networks of equal MACs the supernet then ranks
            with τ .19 instead of -.11, see docs/ranking.md (`python -m benchmarks.rank_correlation`).
    """

    epochs: int = setting(
        10, "passes over the training pictures for the shared weights", 1, 10_000, called="supernet_epochs"
    )
    batch_size: int = setting(128, "pictures a step of the supernet", 2, 65_536)
    largest: bool = setting(True, "whether every step trains the space's largest network, on the labels")
    smallest: bool = setting(True, "whether every step trains the space's smallest network")
    random_networks: int = setting(2, "networks of a step beside the largest and the smallest", 0, 64)
    distillation: bool = setting(True, "whether the others learn from the largest's predictions, not from the labels")
    largest_epochs: int = setting(0, "epochs at the start in which the largest network trains alone", 0, 100_000)
    within_budget: bool = setting(
        True, "whether random networks are drawn uniformly from the budget, or else decision by decision"
    )
    window: float = setting(0.0, "random networks have at least this share of the budget's MACs; 0: no lower bound")
    own_kernels: bool = setting(True, "whether each kernel size has depthwise weights of its own")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.largest + self.smallest + self.random_networks:
            raise InputError("random_networks: 0 without largest and smallest leaves a step nothing to train")
        if not 0 <= self.window < 1:
            raise InputError(f"window: expected a share from 0 to below 1, got {self.window}")

    def lasting(self, epochs: int) -> Self:
        """The same training over so many epochs, of which the largest network alone has its share."""
        return replace(self, epochs=epochs, largest_epochs=round(self.largest_epochs * epochs / self.epochs))


@dataclass(frozen=True)
class Scoring:
    """How many pictures a score takes."""

    calibration: int = setting(512, "training pictures from which batch statistics are recomputed")
    validation: int = setting(1000, "validation pictures for ranking the many; a thorough score takes all of them")
    batch_size: int = setting(256, "pictures a forward pass")
