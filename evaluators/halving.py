"""How many candidates of a generation go on to the next rung of training."""

import itertools
from dataclasses import dataclass

from foundation.errors import InputError
from training.setting import check, setting


@dataclass(frozen=True)
class Halving:
    """Successive halving of a generation of candidates.

    Attributes:
        generation: these are proposed together, and told together.
    """

    generation: int = setting(27, "candidates that compete for the proxy's later rungs", 1, 100_000)
    epochs: tuple[int, ...] = setting(
        (1, 3, 9), "passes of the proxy training by the end of each rung, e.g. 1,3,9", 1, 100_000, called="proxy_epochs"
    )
    eta: int = setting(3, "one of so many goes on to the next rung", 2, 1000)
    bins: int = setting(3, "parts of equal size, by MACs, within which candidates are ranked", 1, 1000)

    def __post_init__(self) -> None:
        check(self)
        if list(self.epochs) != sorted(set(self.epochs)):
            raise InputError(f"`proxy_epochs`: expected more by the end of each rung, such as 1,3,9, got {self.epochs}")


def entrants_by_rung(halving: Halving) -> list[int]:
    """How many candidates of a generation take each rung, as `studies.halving` sends them on."""
    bounds = [halving.generation * index // halving.bins for index in range(halving.bins + 1)]
    sizes = [end - start for start, end in itertools.pairwise(bounds) if end > start]
    found = []
    for _ in halving.epochs:
        found.append(sum(sizes))
        sizes = [max(1, size // halving.eta) for size in sizes]
    return found
