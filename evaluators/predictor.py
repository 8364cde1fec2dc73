"""A regression on encoded architectures: what those not evaluated would score, and how sure that is.

A Gaussian process (Rasmussen and Williams, 2006, chapters 2 and 5) whose covariance is a linear part, a Matérn part of
one length scale over all standardised features, and noise. The shares of the three and the length scale are those of a
small grid with the highest marginal likelihood. Beside it stood a forest and ridge regressions:
`python -m benchmarks.predictor` prints how they rank.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from foundation.errors import InputError
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.encoding import Codes, encoding
from search_space.cost.priced_space import PricedSpace
from training.linear_algebra import on_one_thread

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

# scikit-learn and scipy.stats take a second to import, so the functions that fit do it.

FEWEST = 10
"""Evaluations that a fit needs."""

FOLDS = 5
CHUNK = 1 << 12  # architectures predicted at a time: what bounds the memory
FOR_PARAMETERS = 200  # evaluations that the grid is judged on


class Parameters(NamedTuple):
    """Shares of the values' variance, and the length scale in units of the root of the number of features."""

    noise: float
    linear: float  # of what is not noise; the rest is the Matérn part's
    length: float


GRID = tuple(Parameters(*point) for point in product((0.03, 0.1, 0.3, 0.6, 0.95), (0.0, 0.7), (0.7, 1.5, 4.0)))


class Predictor:
    """Predicts the values of a space's architectures from those of some of them. The same data give the same numbers.

    Args:
        seed: of the folds, and of which evaluations the grid is judged on where there are more than 200.
        parameters: taken in place of the grid's best, e.g. those of a fit to somewhat fewer evaluations.
    """

    def __init__(self, priced: PricedSpace, seed: int = 0, parameters: Parameters | None = None):
        self.priced = priced
        self.seed = seed
        self._given = parameters
        self._encoding = encoding(priced)

    @on_one_thread
    def fit(self, architectures: Sequence[Architecture], values: Sequence[float]) -> Self:
        """Fits the regression. Raises InputError for fewer than 10 evaluations, or a value that is not finite."""
        if len(architectures) != len(values) or len(values) < FEWEST:
            raise InputError(
                f"predictor: {len(architectures)} architectures with {len(values)} values; expected one value each, "
                f"and at least {FEWEST}"
            )
        self.values = np.array(values, dtype=np.float64)
        if not np.isfinite(self.values).all():
            bad = int(np.flatnonzero(~np.isfinite(self.values))[0])
            raise InputError(f"predictor: value {values[bad]} of architecture {architectures[bad].digest()[:12]}")
        from sklearn.preprocessing import StandardScaler

        features = self._encoding.features(self._encoding.encode(architectures))
        self._scaler = StandardScaler().fit(features)
        self._features: NDArray[np.float64] = self._scaler.transform(features)
        self.parameters = self._given or self._best_parameters()
        self._process = _fitted(self._features, self.values, self.parameters)
        self.__dict__.pop("tau", None)
        return self

    def predict(self, architectures: Sequence[Architecture]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of the values that the architectures would have, noise left out."""
        return self.predict_codes(self._encoding.encode(architectures))

    @on_one_thread
    def predict_codes(self, codes: Codes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As `predict`, of codes of the space's encoding."""
        means, deviations = np.empty(len(codes)), np.empty(len(codes))
        noise = self.parameters.noise * (float(self.values.var()) or 1.0)
        for start in range(0, len(codes), CHUNK):
            here = slice(start, start + CHUNK)
            features = self._scaler.transform(self._encoding.features(codes[here]))
            means[here], with_noise = self._process.predict(features, return_std=True)
            deviations[here] = np.sqrt(np.maximum(with_noise**2 - noise, 0.0))
        return means, deviations

    @cached_property
    @on_one_thread
    def tau(self) -> float:
        """Kendall's τ between the values and predictions by fits (of the same parameters) that have not seen them."""
        from scipy.stats import kendalltau
        from sklearn.model_selection import KFold

        predicted = np.empty_like(self.values)
        folds = KFold(FOLDS, shuffle=True, random_state=derive(self.seed, "folds") % 2**32)
        for rest, held_out in folds.split(self._features):
            process = _fitted(self._features[rest], self.values[rest], self.parameters)
            predicted[held_out] = process.predict(self._features[held_out])
        tau = float(kendalltau(predicted, self.values).statistic)
        return 0.0 if np.isnan(tau) else tau  # undefined where either is constant

    @property
    def tau_error(self) -> float:
        """The standard deviation that τ has without any relation (Kendall, 1938)."""
        n = len(self.values)
        return float(np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))))

    @property
    def hopeless(self) -> bool:
        """Whether τ's 95% interval about 0 holds the cross-validated τ: the predictions may be worth nothing."""
        return self.tau < 1.96 * self.tau_error

    def _best_parameters(self) -> Parameters:
        chosen = np.random.default_rng(derive(self.seed, "parameters")).permutation(len(self.values))[:FOR_PARAMETERS]
        features, values = self._features[chosen], self.values[chosen]
        if not np.ptp(values):
            return GRID[-1]
        return max(GRID, key=lambda point: _fitted(features, values, point).log_marginal_likelihood_value_)


def _fitted(
    features: NDArray[np.float64], values: NDArray[np.float64], parameters: Parameters
) -> "GaussianProcessRegressor":
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

    def constant(value: float) -> ConstantKernel:
        return ConstantKernel(value, "fixed")

    noise, linear, length = parameters
    columns = features.shape[1]
    smooth = constant((1 - noise) * (1 - linear)) * Matern(length * columns**0.5, "fixed", nu=2.5)
    straight = constant((1 - noise) * linear / columns) * DotProduct(0.0, "fixed")
    kernel = (straight + smooth if linear else smooth) + WhiteKernel(noise, "fixed")
    return GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(features, values)
