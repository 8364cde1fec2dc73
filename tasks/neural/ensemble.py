"""Networks of another family than the hidden one, for the attack that needs no neurons: the ensemble attack."""

from pathlib import Path

from torch import nn

from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.cost.priced_space import PricedSpace
from search_space.network import Network, build
from search_space.spaces import named_space
from tasks.neural.brief_training import kept_or_made, trained_briefly
from training.data.dataset import Dataset

COUNT = 2
SPACE = "mobile-32"
"""Whose smallest network they are."""


def ensemble_of(data: Dataset, folder: Path, reporter: Reporter, seed: int = 0) -> list[nn.Module]:
    """Small mobile networks of other seeds, trained on the same pictures: read from the folder, or kept there."""
    architecture = PricedSpace(named_space(SPACE), data.num_classes).smallest
    found: list[nn.Module] = []
    for number in range(1, COUNT + 1):
        own = {"kind": "ensemble", "architecture": architecture.digest(), "seed": seed, "number": number}
        name = f"ensemble-{number}"

        def fresh() -> Network:
            return build(architecture, data.num_classes)

        def make(checkpoint: Path, name: str = name, own: dict[str, object] = own, number: int = number) -> Network:
            return trained_briefly(
                fresh,
                data,
                seed=derive(seed, "ensemble", number),
                checkpoint=checkpoint,
                identity=own,
                reporter=reporter,
                what=name,
            )

        network = kept_or_made(fresh(), make, data, folder, name, own)
        found.append(network.eval().requires_grad_(False).to(data.device))
    return found
