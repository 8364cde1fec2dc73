"""Training the shared weights: the sandwich rule with in-place distillation, and even turns for attention kinds.

Each step trains the largest network on the labels, and the smallest and some random ones on the largest's soft
predictions (BigNAS, arXiv:2003.11142, section 3.1; the sandwich rule is from arXiv:1903.05134). Largest and smallest
mean depth, width, expansion, kernel and resolution. Attention is not ordered that way: at every stage, or block where
each has its own, its kinds come round as random permutations over the networks trained, then a reduction ratio is drawn
within the kind, so that every kind is trained equally often (strict fairness, FairNAS, arXiv:1907.01845).
"""

import random
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from evaluators.supernet.store import WeightStore
from search_space.architecture import Architecture
from search_space.decisions import dimension
from training.loop import autocast
from training.resize import resized
from training.seeds import derive


class Sandwich:
    """The step of the training loop, and the architectures it trains.

    Args:
        largest_steps: steps at the start that train the largest network alone.
    """

    def __init__(
        self, store: WeightStore, *, seed: int, random_networks: int, label_smoothing: float, largest_steps: int = 0
    ):
        self.store = store
        self.seed = seed
        self.networks = 2 + random_networks
        self.label_smoothing = label_smoothing
        self.largest_steps = largest_steps

    def __call__(self, images: Tensor, labels: Tensor, step: int) -> float:
        """Adds the gradients of all networks of the step; returns the largest one's loss on the labels."""
        largest, *others = self.architectures(step)
        with autocast(images.device):
            logits = self.store(largest, resized(images, largest.resolution))
            loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        loss.backward()
        target = logits.detach().float().softmax(1)
        for architecture in others:
            with autocast(images.device):
                logits = self.store(architecture, resized(images, architecture.resolution))
                # Soft cross-entropy: its gradient is that of the KL divergence from the largest network.
                distilled = nn.functional.cross_entropy(logits.float(), target)
            distilled.backward()
        return loss.item()

    def architectures(self, step: int) -> list[Architecture]:
        """What the step trains, the largest first; a function of the seed and the step alone."""
        later = step - self.largest_steps
        if later < 0:
            return [self._architecture(step, 0)]
        first = self.largest_steps + later * self.networks
        return [self._architecture(first + index, index) for index in range(self.networks)]

    def _architecture(self, turn: int, index: int) -> Architecture:
        rng = random.Random(derive(self.seed, "sandwich", turn))

        def choose(name: str, options: Sequence[Any]) -> Any:
            return self._kind(name, options, turn) if dimension(name) == "attention" else rng.choice(options)

        space = self.store.space
        return space.extreme(choose, largest=index == 0) if index < 2 else space.assemble(choose)

    def _kind(self, name: str, kinds: Sequence[str], turn: int) -> str:
        """The kind whose turn it is where `name` decides: each once in every `len(kinds)` turns, in a random order.

        A block that not every network has misses turns, whichever kind's they are.
        """
        round_, position = divmod(turn, len(kinds))
        order = list(kinds)
        random.Random(derive(self.seed, name, round_)).shuffle(order)
        return order[position]
