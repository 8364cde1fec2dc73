"""A supernet's scores corrected by a zero-cost score, which an untrained network has.

Shared weights rank networks by how well they do together, and what distinguishes a network by itself they partly level
out; a score of the untrained network sees that, and nothing of training. Their errors have little in common, so the sum
of both, each in units of its own spread over the budget, ranks better than either: `python -m
benchmarks.rank_correlation` prints by how much.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluators.zero_cost import Scorer, names
from search_space.architecture import Architecture, read_json
from search_space.errors import InputError
from training.files import remove_leftovers, write_json
from training.progress import Reporter

REFERENCE = "prior.json"
NONE = "none"


class Prior:
    """Adds a zero-cost score to accuracies.

    A standard deviation of the score over the budget is worth one of the accuracies: neither is taken for the better
    one, and there is no weight to choose.

    Args:
        scorer: its reference networks are those that both spreads are taken over.
        folder: where the references' scores are kept for the next start.
    """

    def __init__(self, name: str, scorer: Scorer, folder: Path):
        if name not in names():
            raise InputError(f"--prior {name}: unknown; known: {NONE}, {', '.join(names())}")
        self.name = name
        self.scorer = scorer
        self.folder = folder
        self._points = 0.0
        self._centre = 0.0

    def prepare(self, accuracy: Callable[[Architecture], float], reporter: Reporter) -> None:
        """Learns both spreads from the reference networks, whose accuracies come from `accuracy`; or reads them."""
        path = self.folder / REFERENCE
        remove_leftovers(self.folder, (REFERENCE,))
        if path.exists():
            accuracies, scores = _read(path, self.scorer.batch.reference)
        else:
            accuracies, scores = [], []
            networks = self.scorer.sample()
            with reporter.track(f"prior: {self.name}", len(networks), "networks") as advance:
                for architecture in networks:
                    accuracies.append(accuracy(architecture))
                    scores.append(self.scorer.score(architecture, self.name))
                    advance("")
            write_json(path, {"accuracy": accuracies, "score": scores})
        spread = float(np.std(scores))
        self._points = float(np.std(accuracies)) / spread if spread > 0 else 0.0
        self._centre = float(np.mean(scores))

    def corrected(self, architecture: Architecture, accuracy: float) -> float:
        """The accuracy, in 0 to 1, with the correction; of the budget's networks it is zero on average."""
        correction = self._points * (self.scorer.score(architecture, self.name) - self._centre)
        return min(1.0, max(0.0, accuracy + correction))


def _read(path: Path, count: int) -> tuple[list[float], list[float]]:
    content = read_json(path)
    found = []
    for name in ("accuracy", "score"):
        row = content.get(name) if isinstance(content, dict) else None
        if not isinstance(row, list) or len(row) != count or not all(type(value) is float for value in row):
            raise InputError(f"{path}: not the scores of {count} reference networks; remove it")
        found.append(row)
    return found[0], found[1]
