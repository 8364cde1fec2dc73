"""Which networks a step of the supernet trains, and on what: the sandwich rule, distillation, even turns for attention.

A step trains the largest network on the task's targets, and the smallest and some random ones on the largest's soft
predictions (BigNAS, arXiv:2003.11142, section 3.1; the sandwich rule is from arXiv:1903.05134). Each part can be left
out; without the largest, or where targets are no class labels, every network learns from the targets. Largest and
smallest mean depth, width, expansion, kernel and resolution. Random networks are drawn uniformly from those within the
budget, where the search will look.

Attention is not ordered by size: at every stage, or block where each has its own, its kinds come round as random
permutations over the networks trained, whatever the draw from the budget says, then a reduction ratio is drawn within
the kind, so that every kind is trained equally often (strict fairness, FairNAS, arXiv:1907.01845).
"""

import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from evaluators.supernet.settings import SupernetRecipe
from evaluators.supernet.store import SubNetwork, WeightStore
from foundation import distributed
from foundation.errors import InputError
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.decisions import dimension
from tasks.classification.room import CLASSIFICATION
from training.attacks.pgd import uniform
from training.lanes import side_by_side
from training.methods.base import Method
from training.methods.class_labels import TaskLoss
from training.precision import autocast
from training.probe_loss import AddProbes, learning
from training.resize import resized_batch
from training.targets import Targets, in_float32
from training.task import Attacking, Task

MAX_REDRAWS = 10_000


class Sandwich(Method):
    """The step of the training loop, and the architectures it trains.

    Args:
        largest_steps: steps at the start that train the largest network alone.
    """

    def __init__(
        self,
        store: WeightStore,
        recipe: SupernetRecipe,
        *,
        seed: int,
        priced: PricedSpace | None = None,
        task: Task = CLASSIFICATION,
        largest_steps: int = 0,
    ):
        super().__init__(store)
        self.store = store
        self.recipe = recipe
        self.seed = seed
        self.priced = priced or PricedSpace(store.space, store.num_classes)
        self.largest_steps = largest_steps
        self.task = task
        self.task_loss = TaskLoss(task, recipe)
        self.distils = recipe.largest and recipe.distillation and task.class_labels
        self._sizes = ["largest"] * recipe.largest + ["smallest"] * recipe.smallest
        self._sizes += ["random"] * recipe.random_networks

    def __call__(self, images: Tensor, targets: Targets, step: int) -> float:
        """Adds the gradients of all the step's networks, in their order; returns the first one's loss."""
        first, *others = self.architectures(step)
        start = uniform(images) if isinstance(self.task, Attacking) else None
        leading = self.store.sub_network(first)
        outputs, own_targets, with_probes = self._outputs(leading, images, targets, start)
        loss = with_probes(self.task_loss(outputs, own_targets))
        soft = outputs.detach().softmax(1) if self.distils else None

        def lead() -> SubNetwork:
            loss.backward()
            return leading

        def follow(architecture: Architecture) -> SubNetwork:
            following = self.store.sub_network(architecture)
            own, own_targets, with_probes = self._outputs(following, images, targets, start)
            # Soft cross-entropy: its gradient is that of the KL divergence from the largest network.
            loss = self.task_loss(own, own_targets) if soft is None else nn.functional.cross_entropy(own, soft)
            with_probes(loss).backward()
            return following

        works: list[Callable[[], SubNetwork]] = [lead, *(partial(follow, architecture) for architecture in others)]
        # Where networks wait for other processes' statistics, all processes have to take them in one order.
        alone = self.recipe.sync_batch_norm and distributed.world() > 1
        for trained in [work() for work in works] if alone else side_by_side(works):
            self.store.add_gradients(trained.leaves)
        return loss.item()

    def _outputs(
        self, trained: SubNetwork, images: Tensor, targets: Targets, start: Tensor | None
    ) -> tuple[Any, Targets, AddProbes]:
        """What the network says of the images at its resolution, the targets there, and what adds its probes' loss.

        Args:
            start: of an attack, where the task has one, on each network by itself.
        """
        if isinstance(self.task, Attacking):
            images = self.task.attacked(
                trained.network, images, targets, trained.network.architecture.resolution, start
            )
        sized, sized_targets = resized_batch(images, targets, trained.network.architecture.resolution)
        with autocast(images.device), learning(trained.network, sized_targets) as with_probes:
            outputs = trained.network(sized)
        return in_float32(outputs), sized_targets, with_probes

    def architectures(self, step: int) -> list[Architecture]:
        """What the step trains, the largest first where there is one; a function of the seed and the step alone."""
        later = step - self.largest_steps
        if later < 0:
            return [self._architecture(step, "largest")]
        first = self.largest_steps + later * len(self._sizes)
        return [self._architecture(first + index, size) for index, size in enumerate(self._sizes)]

    def _architecture(self, turn: int, size: str) -> Architecture:
        """The network of a turn; every network that is trained has one."""
        space = self.store.space
        rng = random.Random(derive(self.seed, "sandwich", turn))
        drawn = self._drawn(rng) if size == "random" and self.recipe.within_budget else None

        def choose(name: str, options: Sequence[Any]) -> Any:
            what = dimension(name)
            if what == "attention":
                return self._kind(name, options, turn)
            if what == "reduction" or drawn is None:
                return rng.choice(options)
            return space.decided(drawn, name)

        return space.assemble(choose) if size == "random" else space.extreme(choose, largest=size == "largest")

    def _drawn(self, rng: random.Random) -> Architecture:
        """A uniform draw from the budget, or from its window."""
        least = math.ceil(self.recipe.window * (self.priced.budget.max_macs or 0))
        for _ in range(MAX_REDRAWS):
            architecture = self.priced.sample(rng)
            if not least or self.priced.cost(architecture).macs >= least:
                return architecture
        raise InputError(f"window: {MAX_REDRAWS} draws met no network of {least} MACs or more; lower it")

    def _kind(self, name: str, kinds: Sequence[str], turn: int) -> str:
        """The kind whose turn it is where `name` decides: each once in every `len(kinds)` turns, in a random order.

        A block that not every network has misses turns, whichever kind's they are.
        """
        round_, position = divmod(turn, len(kinds))
        order = list(kinds)
        random.Random(derive(self.seed, name, round_)).shuffle(order)
        return order[position]
