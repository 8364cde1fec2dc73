"""The ways in which pictures are changed towards a target category's responses, of one budget each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundation.seeds import derive
from search_space.network import Network
from tasks.neural.brain import Brain
from tasks.neural.brief_training import SIDE
from tasks.neural.fooling import blended, descended, noisy
from tasks.neural.substitute import Pixels, Recording, Substitute
from training.resize import resized

NOISE, BLEND, ENSEMBLE, GUIDED, CEILING = "noise", "blend", "ensemble", "neuron-guided", "hidden network"
METHODS = (NOISE, BLEND, ENSEMBLE, GUIDED, CEILING)
"""In the order of tables: what knows nothing, what knows of the target's pictures, of networks, of neurons, of all."""
SMOOTHING = 1 / 12
"""Of gradients, for the attacks that are made on one network and judged by another."""


@dataclass(frozen=True)
class Attacks:
    """What the attacks know.

    Attributes:
        brain: only the one through the hidden network looks into it.
        ensemble: networks beside the substitute's own.
        seed: of noise, and of the pictures to blend with.
    """

    brain: Brain
    recording: Recording
    substitute: Substitute
    ensemble: Sequence[nn.Module]
    pixels: Pixels
    seed: int

    def changed(self, method: str, pictures: Tensor, towards: Tensor, numbers: Sequence[int], budget: float) -> Tensor:
        """The pictures, N×C×H×W, changed so within the budget.

        Args:
            towards: the category that each is to be taken for, N (int64, on the pictures' device).
            numbers: of the pictures, by which alone each has its noise and what it is blended with.
        """
        made: Mapping[str, Callable[[], Tensor]] = {
            NOISE: lambda: noisy(pictures, budget, [derive(self.seed, "noise", number) for number in numbers]),
            BLEND: lambda: blended(pictures, self._others(towards, numbers).to(pictures), budget),
            ENSEMBLE: lambda: descended(self._unlikely(towards), pictures, budget, smoothing=SMOOTHING),
            GUIDED: lambda: descended(self._far(self.substitute, towards), pictures, budget, smoothing=SMOOTHING),
            CEILING: lambda: descended(self._far(self.brain.clean, towards), pictures, budget),
        }
        return made[method]()

    def _far(self, see: Callable[[Tensor], Tensor], towards: Tensor) -> Callable[[Tensor], Tensor]:
        """Distances of responses from the target's mean response, a mean square over neurons."""

        def distances(pictures: Tensor) -> Tensor:
            wanted = self.recording.targets.to(pictures)[towards]
            return ((see(self.pixels.shown(pictures)) - wanted) ** 2).mean(1)

        return distances

    def _unlikely(self, towards: Tensor) -> Callable[[Tensor], Tensor]:
        """Mean cross-entropies of the target category over all networks."""

        def distances(pictures: Tensor) -> Tensor:
            images = self.pixels.shown(pictures)
            found = [
                nn.functional.cross_entropy(network(resized(images, _side(network))), towards, reduction="none")
                for network in (self.substitute.network, *self.ensemble)
            ]
            return torch.stack(found).mean(0)

        return distances

    def _others(self, towards: Tensor, numbers: Sequence[int]) -> Tensor:
        """For each picture one of the training pictures of its target category, drawn by the picture's number."""
        chosen = []
        for category, number in zip(towards.tolist(), numbers, strict=True):
            known = (self.recording.labels == category).nonzero()[:, 0]
            chosen.append(int(known[derive(self.seed, "blend", number) % len(known)]))
        return self.recording.pictures[chosen]


def _side(network: nn.Module) -> int:
    return network.architecture.resolution if isinstance(network, Network) else SIDE


def targets_of(labels: Tensor, known: Tensor, numbers: Sequence[int], seed: int) -> Tensor:
    """For each picture a category that is not its own, drawn by the picture's number: N (int64).

    Args:
        labels: the pictures' own, N (int64).
        known: categories that there are responses of.
    """
    found = []
    for label, number in zip(labels.tolist(), numbers, strict=True):
        others = known[known != label]
        found.append(int(others[derive(seed, "target", number) % len(others)]))
    return torch.tensor(found, dtype=torch.int64)
