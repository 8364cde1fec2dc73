"""What candidates come to with a supernet's weights, corrected by a zero-cost score, which an untrained network has.

Shared weights partly level out what distinguishes networks: a wider stage shares its channels with a narrower one. A
score of the untrained network sees that, and nothing of training. The sum of both, each in units of its own spread over
the budget, is what ranks; `python -m benchmarks.rank_correlation` prints how well, beside either alone.
"""

import hashlib
import json
import math
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
from search_space.architecture import Architecture

REFERENCE = "prior.json"
NONE = "none"
REMEDY = "use another `prior`, or `prior` none"
FEWEST = 8  # reference networks that have the score


def check_prior(name: str) -> None:
    """Raises InputError for an unknown prior."""
    if name != NONE and name not in names():
        raise InputError(f"`prior` {name}: unknown; known: {NONE}, {', '.join(names())}")


class Prior:
    """Adds a zero-cost score to the values of a metric.

    Shares are added to as log-odds, so that what comes out lies between 0 and 1 and nothing is cut off there; other
    values as they are. A standard deviation of the score over the budget is worth one of these: neither is taken for
    the better one, and there is no weight to choose.

    Args:
        scorer: its reference networks are those that both spreads are taken over.
        folder: where what is learnt from them is kept for the next start.
        pictures: that a share is of.
        metric: of the values.
    """

    def __init__(self, name: str, scorer: Scorer, folder: Path, pictures: int, metric: Metric = ACCURACY):
        check_prior(name)
        self.name = name
        self.scorer = scorer
        self.folder = folder
        self.pictures = pictures
        self.metric = metric
        self._scores: dict[str, float] = {}
        self._centre = self._weight = 0.0

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a correction."""
        return {"score": self.name, "batch": asdict(self.scorer.batch)}

    def prepare(self, value: Callable[[Architecture], float], supernet: str, reporter: Reporter) -> None:
        """Learns both spreads from the reference networks, or takes them from the folder.

        Args:
            value: of an architecture.
            supernet: what the values come from; what the folder has for another is not taken.

        Raises InputError if too few of the networks have the score.
        """
        remove_leftovers(self.folder, (REFERENCE,))
        path = self.folder / REFERENCE
        told = [self.identity(), self.pictures, self.scorer.seed, asdict(self.scorer.priced.budget), supernet]
        of = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        kept = _read(path, of)
        if kept is None:
            kept = {"of": of, **self._learnt(value, reporter), "references": self.scorer.references}
            write_json(path, kept)
        self.scorer.references.update(kept["references"])
        scores, merits = kept["scores"], [self._merit(one) for one in kept["accuracies"]]
        self._centre, spread = float(np.mean(scores)), float(np.std(scores))
        self._weight = float(np.std(merits)) / spread if spread > 1e-12 * max(1.0, abs(self._centre)) else 0.0

    def _learnt(self, value: Callable[[Architecture], float], reporter: Reporter) -> dict[str, list[float]]:
        networks = self.scorer.sample()
        values, scores = [], []
        failure: InputError | None = None
        with reporter.track(f"prior: {self.name}", len(networks), "networks") as advance:
            for architecture in networks:
                try:
                    scores.append(self.score(architecture))
                except InputError as error:
                    failure = error
                else:
                    values.append(value(architecture))
                advance("")
        if failure is not None and len(scores) < FEWEST:
            raise InputError(f"`prior` {self.name}: {len(scores)} of {len(networks)} networks have it; {failure}")
        return {"accuracies": values, "scores": scores}

    def corrected(self, architecture: Architecture, value: float) -> float:
        """What the value becomes; of a share between 0 and 1, as if half a picture more were right and half one wrong.

        Raises InputError if the architecture's score cannot be computed.
        """
        merit = self._merit(value) + self._weight * (self.score(architecture) - self._centre)
        plain = self.metric.merit(merit)
        return 1 / (1 + math.exp(-plain)) if self.metric.is_share else plain

    def knows(self, architecture: Architecture) -> bool:
        """Whether the architecture's score has been computed before."""
        return architecture.digest() in self._scores

    def score(self, architecture: Architecture) -> float:
        """The zero-cost score by itself. Raises InputError if it cannot be computed."""
        digest = architecture.digest()
        if digest not in self._scores:
            self._scores[digest] = self.scorer.score(architecture, self.name)
        return self._scores[digest]

    def _merit(self, value: float) -> float:
        """A number to which the score can be added: the higher the better."""
        if self.metric.is_share:
            right = value * self.pictures
            value = math.log((right + 0.5) / (self.pictures - right + 0.5))
        return self.metric.merit(value)


def _read(path: Path, of: str) -> dict[str, Any] | None:
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
    return content if whole and len(rows[0]) == len(rows[1]) else None


def _is_row(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(type(value) is float for value in values)
