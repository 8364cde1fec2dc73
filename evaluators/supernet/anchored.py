"""A supernet's scores corrected by a few networks that were trained by themselves: the anchors.

Shared weights rank networks as they learn together, which is not quite as each learns alone; a regression on a few
dozen that did learn alone ranks by what the encoding says, and knows nothing of the rest. The sum of both, each in
units of its own spread, is on the scale of what networks come to alone. `python -m benchmarks.anchors` prints how
either ranks and how both do, for how many anchors.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from evaluators.forecast import Search
from evaluators.halving import Halving
from evaluators.predictor import FEWEST, Predictor
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.proxy.settings import ProxySettings
from evaluators.supernet.evaluator import SupernetEvaluator
from foundation.errors import InputError
from foundation.metric import ACCURACY, Measured, Metric
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.first_weights import SCRATCH
from training.diverged import DivergedError
from training.recipe import Recipe

FOLDER = "anchors"
REFERENCES = 500  # architectures by which the spread of the regression's predictions is known
WEIGHT = 0.4  # of the regression beside the supernet's score


@dataclass(frozen=True)
class AnchorSettings:
    """How many networks are trained by themselves, and how.

    Attributes:
        count: 0 for none, or at least the predictor's fewest.
        recipe: of each training, on all training pictures at the architecture's own resolution.
    """

    count: int
    recipe: Recipe

    def __post_init__(self) -> None:
        if self.count and self.count < FEWEST:
            raise InputError(f"`anchors` {self.count}: expected 0, or at least {FEWEST}")


class Anchoring:
    """Predicts what networks come to by themselves from their scores with shared weights.

    Args:
        references: architectures of the kind that will be asked for.
        metric: of the scores, and of what networks come to.
    """

    def __init__(
        self, priced: PricedSpace, references: Sequence[Architecture], seed: int = 0, metric: Metric = ACCURACY
    ):
        self.predictor = Predictor(priced, derive(seed, "anchors"))
        self.references = references
        self.metric = metric

    def fit(self, anchors: Sequence[Architecture], scores: Sequence[float], values: Sequence[float]) -> Self:
        """Takes the anchors' scores with shared weights, and what they come to by themselves.

        Raises InputError for fewer than ten.
        """
        self.predictor.fit(anchors, values)
        self._score = float(np.mean(scores)), float(np.std(scores))
        means, _ = self.predictor.predict(self.references)
        self._mean = float(means.mean()), float(means.std())
        combined = self._combined(anchors, scores)
        spread = float(np.var(combined))
        # What a unit of the sum is worth; an anchor's own training is in its prediction, so this is an upper bound.
        self._slope = max(0.0, float(np.cov(combined, values, bias=True)[0, 1]) / spread) if spread else 0.0
        self._centre = float(np.mean(combined)), float(np.mean(values))
        return self

    def predict(self, architectures: Sequence[Architecture], scores: Sequence[float]) -> NDArray[np.float64]:
        """What architectures with these scores come to by themselves; of a share, in 0 to 1."""
        centre, mean = self._centre
        predicted = mean + self._slope * (self._combined(architectures, scores) - centre)
        return np.clip(predicted, 0.0, 1.0) if self.metric.is_share else predicted

    def _combined(self, architectures: Sequence[Architecture], scores: Sequence[float]) -> NDArray[np.float64]:
        means, _ = self.predictor.predict(architectures)
        values: NDArray[np.float64] = _standardised(np.asarray(scores, dtype=np.float64), *self._score)
        return values + WEIGHT * _standardised(means, *self._mean)


def _standardised(values: NDArray[np.float64], mean: float, deviation: float) -> NDArray[np.float64]:
    """In units of the deviation; zeros where there is none."""
    return (values - mean) / deviation if deviation > 1e-9 else np.zeros_like(values)


class AnchoredEvaluator:
    """Trains the shared weights and the anchors, and scores a candidate by both.

    The anchors are drawn uniformly from the budget. What each came to on the validation pictures stays in the run's
    folder, so that a killed run trains none twice.
    """

    def __init__(self, supernet: SupernetEvaluator, settings: AnchorSettings):
        self.supernet = supernet
        self.metric = supernet.task.metric
        self.settings = settings
        if supernet.init.source is None and supernet.init != SCRATCH:
            raise InputError(
                f"`anchors` {settings.count}: the shared weights began from others, {supernet.init.name}, and so do "
                "anchors; give `init` where these are, or search without anchors"
            )
        rng = random.Random(derive(supernet.seed, "anchors"))
        priced = supernet.priced
        drawn: dict[str, Architecture] = {}
        for _ in range(100 * settings.count):
            architecture = priced.sample(rng)
            drawn.setdefault(architecture.digest(), architecture)
            if len(drawn) == settings.count:
                break
        self.anchors = list(drawn.values())
        if len(self.anchors) < FEWEST:
            raise InputError(
                f"`anchors` {settings.count}: {len(self.anchors)} architectures were met within the budget, "
                f"and at least {FEWEST} are needed; search without anchors"
            )
        self._anchoring = Anchoring(priced, [priced.sample(rng) for _ in range(REFERENCES)], supernet.seed, self.metric)
        epochs = Halving(generation=1, epochs=(settings.recipe.epochs,))
        self.training = ProxyEvaluator(
            supernet.data,
            ProxySettings(recipe=settings.recipe, halving=epochs, pictures=1.0),
            seed=supernet.seed,
            folder=supernet.folder / FOLDER,
            init=supernet.init,
            task=supernet.task,
        )

    def about(self) -> str:
        """What is done before candidates are scored."""
        return f"{self.supernet.about()}; {len(self.anchors)} anchors of {self.settings.recipe.epochs} epochs"

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a score."""
        return {"name": "anchored", "supernet": self.supernet.identity(), "anchors": self.training.identity()} | {
            "count": self.settings.count
        }

    def prepare_together(self) -> None:
        """Trains the shared weights, as all processes."""
        self.supernet.prepare_together()

    def prepare(self) -> None:
        """Trains the shared weights, then the anchors, or goes on with it."""
        self.supernet.prepare()
        self.training.folder.mkdir(parents=True, exist_ok=True)
        self.training.prepare()
        reporter = self.supernet.reporter
        values: dict[Architecture, float] = {}
        with reporter.track("anchors", len(self.anchors), "networks") as advance:
            for architecture in self.anchors:
                try:
                    values[architecture] = self.training.evaluate(architecture, thorough=True).value
                except DivergedError as error:
                    reporter.say(f"anchor {architecture.digest()[:12]} is left out: {error}")
                else:
                    advance(self.metric.told(values[architecture]))
        if len(values) < FEWEST:
            raise InputError(
                f"`anchors` {self.settings.count}: {len(values)} of them could be trained, and at least {FEWEST} "
                "are needed; search without anchors"
            )
        scores = [self.supernet.evaluate(architecture).value for architecture in values]
        self._anchoring.fit(list(values), scores, list(values.values()))

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        """What the architecture is expected to come to by itself; what is beside it is the shared weights'."""
        shared = self.supernet.evaluate(architecture, thorough=thorough)
        expected = float(self._anchoring.predict([architecture], [shared.value])[0])
        return Measured(self.metric, expected, {name: shared.beside[name] for name in self.metric.beside})

    def seconds(self, search: Search) -> dict[str, float]:
        """See `evaluators.forecast`."""
        training, scoring = self.training.epoch_seconds(search)
        each = training * self.settings.recipe.epochs + scoring
        supernet = self.supernet.seconds(search)
        before: dict[str, float] = {name: supernet.pop(name) for name in ("supernet", "prior") if name in supernet}
        return {**before, "anchors": each * len(self.anchors), **supernet}
