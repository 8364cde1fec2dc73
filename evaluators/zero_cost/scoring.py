"""Zero-cost scores of architectures: fresh weights, a fixed batch, and ranks within the budget for the aggregates."""

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from evaluators.zero_cost.registry import AGGREGATES, OF_CLASS_LABELS, SCORES, components
from foundation.errors import InputError, first_line
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.network import build
from tasks.classification.room import CLASSIFICATION
from training.data.datasets import Dataset
from training.resize import resized_batch
from training.targets import Targets
from training.task import Task, check_class_labels


@dataclass(frozen=True)
class Batch:
    """What a score is computed on.

    Attributes:
        size: training pictures, the same for every candidate.
        reference: networks drawn from the budget, among which an aggregate ranks a candidate.
        draws: initialisations of a candidate, over which a score is averaged. The literature takes one.
    """

    size: int = 64
    reference: int = 64
    draws: int = 1


class Scores(NamedTuple):
    """What a score gave for each architecture, and the seconds that one took on average."""

    values: list[float]
    seconds: float


@dataclass
class Scorer:
    """Scores architectures; a score depends on the architecture, the seed, the data and, if aggregated, the budget.

    Torch's global random state is left as it was.
    """

    priced: PricedSpace
    data: Dataset
    seed: int
    batch: Batch = Batch()
    remedy: str = "use another `score` or `seed`"
    references: dict[str, list[float]] = field(default_factory=dict)
    task: Task = CLASSIFICATION
    _loaded: tuple[Tensor, Targets] | None = None

    def score(self, architecture: Architecture, name: str) -> float:
        """The score, the higher the better.

        An aggregate is Σ log(rank / m) over its components (AZ-NAS, arXiv:2403.19232). The paper ranks the
        candidates of a whole search among each other; here a candidate is ranked among a fixed sample of m - 1
        architectures, drawn uniformly from the budget, so that its score does not depend on what else was scored. The
        best rank is m, and equals share theirs.

        Raises InputError naming score and architecture if the score cannot be computed or is no finite number, or if it
        needs class labels and the task has none.
        """
        if name not in AGGREGATES:
            return self._single(architecture, name)
        return sum(
            math.log(_rank(self._single(architecture, component), self.reference(component)))
            for component in components(name)
        )

    def reference(self, name: str) -> list[float]:
        """A single score of the reference networks."""
        if name not in self.references:
            self.references[name] = [self._single(architecture, name) for architecture in self.sample()]
        return self.references[name]

    def sample(self) -> list[Architecture]:
        """The reference networks."""
        rng = random.Random(derive(self.seed, "zero-cost reference"))
        return [self.priced.sample(rng) for _ in range(self.batch.reference)]

    def _single(self, architecture: Architecture, name: str) -> float:
        values = [self._drawn(architecture, name, draw) for draw in range(self.batch.draws)]
        return math.fsum(values) / len(values)

    def _drawn(self, architecture: Architecture, name: str, draw: int) -> float:
        if SCORES[name] in OF_CLASS_LABELS:
            check_class_labels(self.task, f"score {name}", self.remedy)
        images, targets = resized_batch(*self.pictures(), architecture.resolution)
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.enable_grad():
            seed = derive(self.seed, "zero-cost", architecture.digest(), *([draw] if draw else []))
            torch.default_generator.manual_seed(seed)
            for device in devices:  # and of no other device, whose state would stay changed
                torch.cuda.default_generators[device.index or 0].manual_seed(seed)
            network = build(architecture, self.task.head(self.data.num_classes, architecture))
            network = network.to(images.device).to(memory_format=torch.channels_last)
            try:
                value = SCORES.get(name)(network.train(), images, targets)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ArithmeticError, ValueError) as error:
                raise self._failed(name, architecture, first_line(error)) from error
        if not math.isfinite(value):
            raise self._failed(name, architecture, f"it is {value}")
        return value

    def _failed(self, name: str, architecture: Architecture, reason: str) -> InputError:
        return InputError(
            f"score {name} of architecture {architecture.digest()[:12]} cannot be computed: {reason}; {self.remedy}"
        )

    def pictures(self) -> tuple[Tensor, Targets]:
        """What scores are computed on: normalised images and their targets."""
        if self._loaded is None:
            batches = self.data.train.batches(self.batch.size, seed=derive(self.seed, "zero-cost batch"))
            self._loaded = next(batches)
        return self._loaded


def scores(architectures: Sequence[Architecture], names: Sequence[str], scorer: Scorer) -> dict[str, Scores]:
    """Every named score of every architecture. The seconds leave out what an aggregate does once, its reference."""
    found = {}
    for name in names:
        for component in components(name) if name in AGGREGATES else ():
            scorer.reference(component)
        started = time.monotonic()
        values = [scorer.score(architecture, name) for architecture in architectures]
        found[name] = Scores(values, (time.monotonic() - started) / max(1, len(architectures)))
    return found


def _rank(value: float, reference: Sequence[float]) -> float:
    """Share of the reference and the candidate itself that are no better than it, equals counted half."""
    below = sum(other < value for other in reference)
    equal = sum(other == value for other in reference)
    return (1 + below + equal / 2) / (1 + len(reference))
