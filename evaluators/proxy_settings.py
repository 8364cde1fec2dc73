"""How the proxy trains candidates, and which of them go on."""

from dataclasses import dataclass, field

from foundation.errors import InputError
from training.recipe import Recipe
from training.setting import check, setting


@dataclass(frozen=True)
class Halving:
    """Successive halving of a generation of candidates.

    Attributes:
        generation: these are proposed together, and told together.
    """

    generation: int = setting(27, "candidates that compete for the proxy's later rungs", 1, 100_000)
    epochs: tuple[int, ...] = setting(
        (1, 3, 9), "passes of the proxy training by the end of each rung, e.g. 1,3,9", 1, 100_000
    )
    eta: int = setting(3, "one of so many goes on to the next rung", 2, 1000)
    bins: int = setting(3, "parts of equal size, by MACs, within which candidates are ranked", 1, 1000)

    def __post_init__(self) -> None:
        check(self, "proxy ")
        if list(self.epochs) != sorted(set(self.epochs)):
            raise InputError(f"proxy epochs: expected more by the end of each rung, such as 1,3,9, got {self.epochs}")


@dataclass(frozen=True)
class ProxySettings:
    """How a candidate is trained.

    Attributes:
        recipe: of every rung; its epochs are those of the rung. Each rung is a cycle of the learning rate of its own,
            from the warm-up to zero: a rung's accuracy is one of settled weights, and does not depend on how many
            rungs follow. Where rungs grow by one factor this is SGDR with that factor (arXiv:1608.03983, section 3).
        halving: rungs and promotions.
        pictures: the same ones for every candidate.
    """

    recipe: Recipe = field(default_factory=Recipe)
    halving: Halving = field(default_factory=Halving)
    pictures: float = setting(0.5, "share of the training pictures that a proxy training sees", share=True)
    resolution: float = setting(1.0, "share of its resolution that a proxy training has", share=True)

    def __post_init__(self) -> None:
        check(self, "proxy ")
