"""How the proxy trains candidates, and which of them go on."""

from dataclasses import dataclass, field

from evaluators.halving import Halving
from training.recipe import Recipe
from training.setting import check, setting


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
    pictures: float = setting(
        0.5, "share of the training pictures that a proxy training sees", share=True, called="proxy_pictures"
    )
    resolution: float = setting(
        1.0, "share of its resolution that a proxy training has", share=True, called="proxy_resolution"
    )

    def __post_init__(self) -> None:
        check(self)
