"""The task `neural`: labelled pictures, and how well a network's features predict simulated neurons."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.errors import InputError
from foundation.metric import METRICS, SPELLINGS, Measured, Metric
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.network import Network
from tasks.classification.bottleneck import BottleneckHead
from tasks.classification.room import Classification
from tasks.neural.brain import NEURONS, Brain, brain_of
from tasks.neural.ceiling import noise_ceiling, responded
from tasks.neural.ridge import explained_variance, over_neurons, predicted_in_folds
from tasks.registry import TASKS
from training.data.dataset import Dataset
from training.lanes import each_batch
from training.precision import autocast
from training.targets import Batch, Targets
from training.task import Entry, Examination

SPELLINGS.update(simulated_neurons="simulated neurons")
NEURAL = METRICS.register("simulated_neurons")(
    Metric("simulated_neurons", decimals=4, beside=("explained", "ceiling", "accuracy", "loss"))
)
"""The explained variance of simulated neurons by their noise ceiling: 1 for all that can be predicted.

Beside it both of these, and accuracy and mean cross-entropy in nats.
"""

FOLDS = 4
FEWEST = 4 * FOLDS
"""Pictures that neurons are fitted and scored on."""
MOST = 5000
"""More are thinned out evenly: they would change little, and each network's regression takes longer."""
MOST_SEEDS = 1_000_000


@TASKS.register("neural")
class NeuralPrediction(Classification):
    """One class a picture; networks are trained on labels, and judged by the simulated neurons of a hidden network.

    The responses are predicted by ridge regression from what the classifier reads, the mean over the last map: of each
    picture by a regression on other pictures. The share of their variance that this explains is set against the noise
    ceiling.

    Args:
        seed: of the hidden network, as in the task's name: `neural:3`; 0 where none is said.
    """

    name = "neural"
    metric = NEURAL
    named: ClassVar[str] = "SEED"
    heads: Mapping[str, type[BottleneckHead]] = MappingProxyType({})

    def __init__(self, seed: str = ""):
        super().__init__()
        if seed and not (seed.isdecimal() and int(seed) <= MOST_SEEDS):
            raise InputError(f"expected the hidden network's seed, 0 to {MOST_SEEDS}, got {seed}")
        self.seed = int(seed or 0)
        self.brain: Brain | None = None
        if seed:
            self.name = f"{self.name}:{seed}"

    def prepare(self, folder: Path, data: Dataset, reporter: Reporter) -> None:
        """See `training.task.Preparing`: the hidden network, trained once."""
        if self.brain is not None:
            return
        reporter.say(f"simulated neurons: {NEURONS} of a hidden network of another family, recorded from no animal")
        self.brain = brain_of(data, folder, reporter, self.seed)

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """The share of the noise ceiling, and accuracy beside it."""
        assert isinstance(network, Network)
        assert self.brain is not None, "`prepare` makes the neurons"
        brain = self.brain
        network.eval()

        def look(images: Tensor, targets: Targets) -> tuple[Any, Tensor, Tensor]:
            with torch.no_grad():
                with autocast(images.device, precision):
                    last = network.last_map(images)
                    logits = network.classifier(last).float()
                return (
                    self.judge(logits, targets, logits.shape[1]),
                    pooled(last).cpu(),
                    brain.clean(images).cpu(),
                )

        found = list(each_batch(look, batches))
        known = super().examination([judged for judged, _, _ in found], shared=shared)
        features, clean = (torch.cat([one[place] for one in found]) for place in (1, 2))
        if shared:
            parts = distributed.from_all([features, clean])
            features, clean = (torch.cat([part[place] for part in parts]) for place in (0, 1))
        explained, ceiling = self._predicted(features, clean)
        value = explained / ceiling if ceiling > 0 else float("nan")
        beside = {
            "explained": explained,
            "ceiling": ceiling,
            "accuracy": known.measured.value,
            "loss": known.measured.beside["loss"],
        }
        entries = (
            Entry(NEURAL.name, NEURAL.words, value, NEURAL.written(value)),
            Entry("explained", "explained", explained, f"{explained:.4f}"),
            Entry("ceiling", "ceiling", ceiling, f"{ceiling:.4f}"),
            *known.entries,
        )
        return Examination(Measured(NEURAL, value, beside), known.pictures, {}, entries, known.by_class)

    def _predicted(self, features: Tensor, clean: Tensor) -> tuple[float, float]:
        """The neurons' mean explained variance, and their mean noise ceiling. NaN for features that are not finite."""
        if len(features) < FEWEST:
            raise InputError(
                f"`task` {self.name}: {len(features)} pictures, on which neurons cannot be fitted and scored; give "
                f"`data` with at least {FEWEST} in each split"
            )
        chosen = torch.arange(min(MOST, len(features))) * len(features) // min(MOST, len(features))
        features, clean = features[chosen], clean[chosen]
        halves = responded(clean, derive(self.seed, "noise", len(clean)))
        ceiling = over_neurons(noise_ceiling(halves), halves.mean)
        if not bool(features.isfinite().all()):
            return float("nan"), ceiling
        predicted = predicted_in_folds(features, halves.mean, FOLDS)
        return over_neurons(explained_variance(predicted, halves.mean), halves.mean), ceiling


def pooled(last: Tensor) -> Tensor:
    """What a linear classifier reads of a network's last map, N×C×H×W: the mean over it, N×C (float32)."""
    return last.float().mean((2, 3))
