"""How the proxy trains candidates, and which of them go on."""

from dataclasses import dataclass, field

from search_space.errors import InputError
from training.recipe import Recipe


@dataclass(frozen=True)
class Halving:
    """Successive halving of a generation of candidates.

    Attributes:
        generation: candidates that compete; they are proposed together, and told together.
        epochs: that a candidate has been trained for in all by the end of each rung.
        eta: one of so many goes on to the next rung.
        bins: parts of equal size, by MACs, within which candidates are ranked.
    """

    generation: int = 27
    epochs: tuple[int, ...] = (1, 3, 9)
    eta: int = 3
    bins: int = 3

    def __post_init__(self) -> None:
        for name, low, high in (("generation", 1, 100_000), ("eta", 2, 1000), ("bins", 1, 1000)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"proxy {name}: expected {low} to {high}, got {getattr(self, name)}")
        if not self.epochs or not self.epochs[0] >= 1 or not self.epochs[-1] <= 100_000:
            raise InputError(f"proxy epochs: expected 1 to 100000 for every rung, got {self.epochs}")
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
        pictures: share of the training pictures, the same ones for every candidate.
        resolution: share of the architecture's own resolution.
    """

    recipe: Recipe = field(default_factory=Recipe)
    halving: Halving = field(default_factory=Halving)
    pictures: float = 0.5
    resolution: float = 1.0

    def __post_init__(self) -> None:
        for name in ("pictures", "resolution"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"proxy {name}: expected a share above 0 and up to 1, got {getattr(self, name)}")
