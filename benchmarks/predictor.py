"""The predictor: how well it ranks beside other regressors, how fast it ranks, and what a search gains by it.

    python -m benchmarks.predictor [--trials N] [--seeds N] [--count N]

The target is analytic, so that the truth is known: capacity that saturates, a receptive field that saturates, attention
whose kinds pay differently at each stage and ever less the more there is of it, and noise of half the target's standard
deviation. All on the space `mobilenetv2-32` within 1.2M MACs, one core. τ is Kendall's, on unseen architectures against
the target with noise; the noise alone limits it to the first line's.
"""

import argparse
import random
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from commands.values import whole
from evaluators.base import Metrics
from evaluators.best_predicted import best_within
from evaluators.predictor import Predictor
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.cost import Budget
from search_space.cost.encoding import encoding
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from studies.loop import search
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy
from studies.trials import Candidate

BUDGET = Budget(max_macs=1_200_000)
NOISE = 0.5
PENALTIES = np.logspace(-1, 5, 13)


class Target:
    """An accuracy of its own for each architecture: 0.75 on average of the budget, one standard deviation 0.02."""

    metric = ACCURACY

    def __init__(self, priced: PricedSpace, reference: Sequence[Architecture]):
        self.priced = priced
        self._weights = np.random.default_rng(3).uniform(0.5, 1.5, (len(priced.space.stages), 4))
        raw = [self._raw(architecture) for architecture in reference]
        self._mean, self._deviation = statistics.fmean(raw), statistics.pstdev(raw)

    def identity(self) -> dict[str, Any]:
        return {}

    def about(self) -> str:
        return "an analytic target"

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        luck = NOISE * random.Random(architecture.digest()).gauss(0, 1)
        return Metrics(0.75 + 0.02 * (self.true(architecture) + luck), 0.0)

    def true(self, architecture: Architecture) -> float:
        """Standard deviations above the mean, without noise."""
        return (self._raw(architecture) - self._mean) / self._deviation

    def _raw(self, architecture: Architecture) -> float:
        cost = self.priced.cost(architecture)
        seen, without, squeezed, uneven = 0.0, 1.0, 0.0, 0.0
        for stage, (sees, likes_ca, likes_se, narrows) in zip(architecture.stages, self._weights, strict=True):
            seen += sees * stage.depth * (stage.kernel_size // 2)
            attention = stage.attention[-1]
            if attention.kind == "ca":
                without *= 1 - 0.25 * likes_ca * (1 - (attention.reduction or 1) / 32)
            squeezed += 0.1 * likes_se * (attention.kind == "se")
            uneven += 0.01 * narrows * (stage.expansion - 3) ** 2
        capacity = 0.36 * np.log(cost.macs) + 0.24 * np.log(cost.params)
        return float(capacity + 0.5 * (1 - np.exp(-seen / 6)) + 0.6 * (1 - without) + 0.3 * np.tanh(squeezed) - uneven)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=120, help="of each search")
    parser.add_argument("--seeds", type=int, default=3, help="searches by each sampler")
    parser.add_argument("--count", type=whole(4096), default=200_000, help="candidates to rank")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    priced = priced_space("mobilenetv2-32").within(BUDGET)
    rng = random.Random(0)
    architectures = [priced.sample(rng) for _ in range(1800)]
    target = Target(priced, architectures)
    values = np.array([target.evaluate(architecture).value for architecture in architectures])
    true = [target.true(architecture) for architecture in architectures]
    print(f"τ of the target without noise {kendalltau(true, values).statistic:.3f}")
    for count in (60, 200, 1000):
        _regressors(priced, architectures, values, count)
    predictor = Predictor(priced).fit(architectures[:200], values[:200].tolist())
    _speed(priced, predictor, architectures, arguments.count)
    _searches(priced, target, arguments.trials, arguments.seeds)


def _regressors(
    priced: PricedSpace, architectures: Sequence[Architecture], values: NDArray[np.float64], count: int
) -> None:
    own = encoding(priced)
    features = own.features(own.encode(architectures))

    def plain(make: Callable[[], Any]) -> Callable[[NDArray[np.int64], NDArray[np.int64]], Any]:
        return lambda train, unseen: make().fit(features[train], values[train]).predict(features[unseen])

    tested: list[float] = []

    def predicted(train: NDArray[np.int64], unseen: NDArray[np.int64]) -> Any:
        predictor = Predictor(priced).fit([architectures[row] for row in train], values[train].tolist())
        tested.append(predictor.tau)
        return predictor.predict([architectures[row] for row in unseen])[0]

    ways: dict[str, Callable[[NDArray[np.int64], NDArray[np.int64]], Any]] = {
        "predictor": predicted,
        "ridge": plain(lambda: make_pipeline(StandardScaler(), RidgeCV(PENALTIES))),
        "ridge on pairs of features": plain(
            lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2), StandardScaler(), RidgeCV(PENALTIES))
        ),
        "bagged ridge": plain(
            lambda: make_pipeline(StandardScaler(), BaggingRegressor(RidgeCV(PENALTIES), 10, random_state=0))
        ),
        "random forest": plain(
            lambda: RandomForestRegressor(100, min_samples_leaf=2, max_features=0.4, random_state=0)
        ),
        "MACs alone": lambda train, unseen: features[unseen, -2],
    }
    print(f"fitted to {count}")
    for name, way in ways.items():
        taus, seconds = [], []
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(architectures))
            start = time.process_time()
            predictions = way(order[:count], order[count : count + 600])
            seconds.append(time.process_time() - start)
            taus.append(float(kendalltau(predictions, values[order[count : count + 600]]).statistic))
        print(
            f"  {name:27} τ {statistics.fmean(taus):.3f} ({min(taus):.3f} to {max(taus):.3f})   "
            f"{statistics.median(seconds):.2f} s of CPU to fit, test and predict 600"
        )
    print(f"  cross-validated by the predictor itself: {statistics.fmean(tested):.3f}")


def _speed(priced: PricedSpace, predictor: Predictor, architectures: Sequence[Architecture], count: int) -> None:
    own = encoding(priced)
    draws = own.encode(architectures)
    many = np.resize(draws, (count, draws.shape[1]))
    ways: dict[str, Callable[[], object]] = {
        "feature rows of codes": lambda: sum(
            own.features(codes)[0, 0] for codes in np.array_split(many, count // 4096)
        ),
        "predicted with deviation": lambda: predictor.predict_codes(many),
        "drawn, predicted, best kept": lambda: best_within(priced, predictor, count, 0, draws=draws),
    }
    before = _peak()
    for name, way in ways.items():
        start = time.process_time()
        way()
        print(f"{name:29} {count / (time.process_time() - start):12,.0f} a second of CPU")
    print(f"peak memory {_peak():.0f} MiB, {before:.0f} of them before any was ranked")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _searches(priced: PricedSpace, target: Target, trials: int, seeds: int) -> None:
    print(
        f"searches of {trials} trials, 40 of them drawn; means over {seeds} seeds, in standard deviations of the target"
    )
    for sampler in ("random", "tpe", "predictor"):
        rows = []
        for seed in range(seeds):
            study = OptunaStudy(make_sampler(sampler, Goal(priced, seed, startup=40)), "sqlite://")
            reporter = Reporter(quiet=True)
            start = time.process_time()
            found = search(study, target, trials=trials, reporter=reporter)
            seconds = time.process_time() - start
            chosen = min(found, key=lambda candidate: candidate.merit)
            best = max(target.true(candidate.architecture) for candidate in found)
            rows.append((target.true(chosen.architecture), best, _front(found, target), seconds / (trials - 40)))
        chosen_mean, best_mean, front_mean, each = (statistics.fmean(column) for column in zip(*rows, strict=True))
        print(
            f"  {sampler:10} chosen {chosen_mean:5.2f}   best seen {best_mean:5.2f}   front {front_mean:5.2f}   "
            f"{1000 * each:4.0f} ms of CPU a proposal, storage included"
        )


def _front(candidates: Sequence[Candidate], target: Target) -> float:
    """Mean over MACs from 40% of the budget to all of it of the best true value at or below them, at least −3."""
    ordered = sorted((candidate.cost.macs, target.true(candidate.architecture)) for candidate in candidates)
    bound = BUDGET.max_macs or 0
    values = []
    for macs in np.linspace(0.4 * bound, bound, 241):
        values.append(max((value for cost, value in ordered if cost <= macs), default=-3.0))
    return statistics.fmean(values)


if __name__ == "__main__":
    main()
