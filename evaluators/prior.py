"""What candidates come to with a supernet's weights, corrected by zero-cost scores, which an untrained network has.

Shared weights partly level out what distinguishes networks: a wider stage shares its channels with a narrower one.
Scores of the untrained network see that, and nothing of training. The sum of both, each in units of its own spread
among networks that fill the budget, is what ranks; `python -m benchmarks.rank_correlation` prints how well, beside
either alone.
"""

import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.zero_cost import Scorer, names
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_json
from foundation.json_files import read_json
from foundation.metric import ACCURACY, Metric
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture

REFERENCE = "prior.json"
NONE = "none"
REMEDY = "use another `prior`, or `prior` none"
FEWEST = 8  # reference networks that have the score
DRAWS = 16
"""Networks drawn for each reference: the fullest are taken."""


def check_prior(name: str) -> None:
    """Raises InputError for an unknown prior, for one that names a score twice, and for none among scores."""
    if name == NONE:
        return
    scores = parts(name)
    if NONE in scores:
        raise InputError(f"`prior` {name}: none stands by itself; leave it out")
    for score in scores:
        if score not in names():
            known = ", ".join([NONE, *names()])
            raise InputError(f"`prior` {score or name}: unknown; known: {known}, or several, by comma")
    if len(set(scores)) < len(scores):
        raise InputError(f"`prior` {name}: a score is named twice; name each once")


def parts(name: str) -> list[str]:
    """The scores that a prior is made of."""
    return [score.strip() for score in name.split(",")]


class Prior:
    """Adds a zero-cost score, or several, to the values of a metric.

    Shares are added to as log-odds, so that what comes out lies between 0 and 1 and nothing is cut off there; other
    values as they are. A standard deviation of the score is worth one of these: neither is taken for the better one,
    and there is no weight to choose. Several scores are first made one: their sum, each in units of its own spread.

    Args:
        name: of a score, or of several, by comma.
        scorer: how many reference networks the spreads are taken over, and of which space and budget they are.
        folder: where what is learnt from them is kept for the next start.
        pictures: that a share is of.
        metric: of the values.
    """

    def __init__(self, name: str, scorer: Scorer, folder: Path, pictures: int, metric: Metric = ACCURACY):
        check_prior(name)
        self.parts = parts(name)
        self.name = ",".join(self.parts)
        self.scorer = scorer
        self.folder = folder
        self.pictures = pictures
        self.metric = metric
        self._scores: dict[str, tuple[float, ...]] = {}
        self._centres = self._weights = np.zeros(len(self.parts))

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a correction."""
        return {"score": self.name, "batch": asdict(self.scorer.batch)}

    def prepare(self, value: Callable[[Architecture], float], supernet: str, reporter: Reporter) -> None:
        """Learns the spreads from the reference networks, or takes them from the folder.

        Args:
            value: of an architecture.
            supernet: what the values come from; what the folder has for another is not taken.

        Raises InputError if too few of the networks have the score.
        """
        remove_leftovers(self.folder, (REFERENCE,))
        path = self.folder / REFERENCE
        told = [self.identity(), self.pictures, self.scorer.seed, asdict(self.scorer.priced.budget), supernet]
        of = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        kept = _read(path, of, len(self.parts))
        if kept is None:
            kept = {"of": of, **self._learnt(value, reporter), "references": self.scorer.references}
            write_json(path, kept)
        self.scorer.references.update(kept["references"])
        merits = [self._merit(one) for one in kept["accuracies"]]
        scores = np.reshape(kept["scores"], (len(self.parts), -1))
        self._centres, self._weights = _spread_alike(scores, float(np.std(merits)))

    def _learnt(self, value: Callable[[Architecture], float], reporter: Reporter) -> dict[str, list[float]]:
        """What the networks come to, and their scores: all of one score, then all of the next."""
        networks = self.references()
        values, scores = [], []
        failure: InputError | None = None
        with reporter.track(f"prior: {self.name}", len(networks), "networks") as advance:
            for architecture in networks:
                try:
                    scores.append(self.scores(architecture))
                except InputError as error:
                    failure = error
                else:
                    values.append(value(architecture))
                advance("")
        if failure is not None and len(scores) < FEWEST:
            raise InputError(f"`prior` {self.name}: {len(scores)} of {len(networks)} networks have it; {failure}")
        return {"accuracies": values, "scores": np.transpose(scores).flatten().tolist()}

    def references(self) -> list[Architecture]:
        """The networks that the spreads are taken over: of those drawn from the budget, the ones nearest to it.

        The best that fills a budget is what a search is asked for, so its scores have to weigh alike there. Over all
        that a budget holds they do not: one score grows with size and hardly differs among networks of one size,
        another differs most among the largest.
        """
        priced, count = self.scorer.priced, self.scorer.batch.reference
        rng = random.Random(derive(self.scorer.seed, "prior's references"))
        found: list[Architecture] = []
        spaces = priced.apart  # of each as many: else the references may all be of one family
        for place, space in enumerate(spaces):
            drawn = {one.digest(): one for one in (space.sample(rng) for _ in range(DRAWS * count // len(spaces)))}
            fullest = sorted(drawn.values(), key=lambda one: -priced.budget.excess(priced.cost(one)))
            found += fullest[: (count * (place + 1)) // len(spaces) - (count * place) // len(spaces)]
        return found

    def corrected(self, architecture: Architecture, value: float) -> float:
        """What the value becomes; of a share between 0 and 1, as if half a picture more were right and half one wrong.

        Raises InputError if a score of the architecture cannot be computed.
        """
        correction = self._weights * (np.array(self.scores(architecture)) - self._centres)
        merit = self._merit(value) + float(correction.sum())
        plain = self.metric.merit(merit)
        return 1 / (1 + math.exp(-plain)) if self.metric.is_share else plain

    def knows(self, architecture: Architecture) -> bool:
        """Whether the architecture's scores have been computed before."""
        return architecture.digest() in self._scores

    def scores(self, architecture: Architecture) -> tuple[float, ...]:
        """The zero-cost scores by themselves. Raises InputError if one cannot be computed."""
        digest = architecture.digest()
        if digest not in self._scores:
            self._scores[digest] = tuple(self.scorer.score(architecture, name) for name in self.parts)
        return self._scores[digest]

    def _merit(self, value: float) -> float:
        """A number to which the score can be added: the higher the better."""
        if self.metric.is_share:
            right = value * self.pictures
            value = math.log((right + 0.5) / (self.pictures - right + 0.5))
        return self.metric.merit(value)


def _spread_alike(scores: np.ndarray, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres and weights with which the sum has a spread, and each score the same share of it.

    Args:
        scores: S×N, of so many networks. One that does not differ weighs nothing.
    """
    centres, own = scores.mean(1), scores.std(1)
    differs = own > 1e-12 * np.maximum(1.0, np.abs(centres))
    weights = np.where(differs, 1 / np.where(differs, own, 1.0), 0.0)
    whole = float((weights @ (scores - centres[:, None])).std())
    # Of one score the sum's spread is 1 but for rounding; scores that contradict each other leave none.
    return centres, weights * (spread / whole if whole > 1e-3 else 0.0)


def _read(path: Path, of: str, scores: int) -> dict[str, Any] | None:
    """What the file has, if it is whole and of the same things."""
    if not path.exists():
        return None
    try:
        content = read_json(path)
    except InputError:
        return None
    if not isinstance(content, dict) or content.get("of") != of:
        return None
    rows: list[Any] = [content.get("accuracies"), content.get("scores")]
    named = content.get("references")
    whole = isinstance(named, dict) and all(map(_is_row, (*rows, *named.values())))
    return content if whole and len(rows[1]) == scores * len(rows[0]) else None


def _is_row(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(type(value) is float for value in values)
