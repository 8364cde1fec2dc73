"""The best of very many architectures within a budget, by what a predictor says of them.

Uniform draws from the budget are exact but take a fraction of a millisecond each; recombining their stages gives a
million in a second. What is predicted is drawn, mutated or recombined a chunk at a time and only the best are kept, so
memory does not grow with how many are ranked.
"""

import itertools
import random
from collections.abc import Callable, Container, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluators.predictor import CHUNK, Predictor
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.encoding import Codes, encoding
from search_space.cost.priced_space import PricedSpace
from search_space.variation import mutate

MUTATIONS = 24
SURENESS = 1.0
MAX_CHUNKS = 4  # of candidates drawn, for each chunk wanted within the budget


def best_within(
    priced: PricedSpace,
    predictor: Predictor,
    count: int,
    seed: int,
    *,
    draws: Codes | int = 2000,
    good: Sequence[Architecture] = (),
    known: Container[Architecture] = (),
    sureness: float = SURENESS,
    keep: int = 1,
    merit: Callable[[Codes, NDArray[np.float64]], NDArray[np.float64]] | None = None,
) -> list[Architecture]:
    """The `keep` architectures of the highest upper confidence bound among about `count` candidates, best first.

    The bound is mean + `sureness` × standard deviation (GP-UCB, arXiv:0912.3995). Fewer than `keep`, or none, are
    returned only where the candidates hold no more.

    Args:
        count: candidates within the budget to rank: the draws, mutations of the good, and recombinations of either.
        draws: architectures to begin with, encoded, or how many to draw uniformly from the budget.
        good: architectures to look near to.
        known: architectures that are not to be returned.
        merit: of codes and their bounds: what is highest of those returned, in place of the bound.
    """
    own = encoding(priced)
    if isinstance(draws, int):
        rng = random.Random(derive(seed, "draws"))
        draws = own.encode(priced.sample(rng) for _ in range(draws))
    kept: dict[Architecture, float] = {}
    worst = -np.inf  # of the kept, once there are enough
    for codes in _candidates(priced, count, seed, draws, good):
        means, deviations = predictor.predict_codes(codes)
        bounds = means + sureness * deviations
        if merit is not None:
            bounds = merit(codes, bounds)
        found: dict[Architecture, float] = {}
        for row in np.argsort(-bounds, kind="stable").tolist():
            if len(found) == keep or bounds[row] <= worst:
                break
            architecture = own.decode(codes[row])
            if architecture not in known:
                found[architecture] = float(bounds[row])
        # Equal bounds stay in the order of their discovery: sorting is stable.
        kept = dict(sorted((kept | found).items(), key=lambda item: -item[1])[:keep])
        if len(kept) == keep:
            worst = min(kept.values())
    return list(itertools.islice(kept, keep))


def _candidates(
    priced: PricedSpace,
    count: int,
    seed: int,
    draws: Codes,
    good: Sequence[Architecture],
) -> Iterator[Codes]:
    """Codes within the budget, in chunks: draws and mutations first, then recombinations until there are `count`."""
    own = encoding(priced)
    python_rng, rng = random.Random(derive(seed, "mutations")), np.random.default_rng(derive(seed, "recombinations"))
    mutants = (mutate(priced.unbounded, python_rng.choice(good), python_rng) for _ in range(MUTATIONS if good else 0))
    near = own.encode([*good, *mutants])
    first = np.concatenate([draws, near])
    total = 0
    for start in range(0, len(first), CHUNK):
        chunk = within(priced, first[start : start + CHUNK])[: count - total]
        total += len(chunk)
        yield chunk
    # Turn by turn among all that the space has and among the good.
    sources = [parents for parents in (first, near) if len(parents)]
    for turn in range(MAX_CHUNKS * (count // CHUNK + 2)):
        if total >= count or not sources:
            return
        chunk = within(priced, own.recombine(sources[turn % len(sources)], CHUNK, rng))[: count - total]
        total += len(chunk)
        yield chunk


def within(priced: PricedSpace, codes: Codes) -> Codes:
    """Those of the codes that are within the budget."""
    own = encoding(priced)
    costs = own.costs(codes)
    allowed: NDArray[np.bool_] = np.ones(len(codes), dtype=bool)
    for name, bound in priced.budget.bounds():
        allowed &= costs[:, own.columns.index(name)] <= bound
    return codes[allowed]
