"""Candidates scored without any training."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from evaluators.forecast import STEPS, Search, median_seconds
from evaluators.zero_cost.registry import AGGREGATES, check_score, components
from evaluators.zero_cost.scoring import Scorer, scores
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_json
from foundation.json_files import read_json
from foundation.metric import Measured, metric
from foundation.progress import Reporter
from search_space.architecture import Architecture

REFERENCE = "reference.json"
TIMED = 3  # candidates


class ZeroCostEvaluator:
    """Ranks candidates by one of the registered scores or aggregates."""

    def __init__(self, scorer: Scorer, name: str, folder: Path, reporter: Reporter):
        check_score(name)
        self.scorer = scorer
        self.folder = folder
        self.name = name
        self.metric = metric(name)
        self.reporter = reporter
        self._scores: dict[str, Measured] = {}

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a score."""
        batch = asdict(self.scorer.batch)
        if self.scorer.batch.draws == 1:
            del batch["draws"]
        if self.name not in AGGREGATES:
            del batch["reference"]
        return {"name": "zero-cost", "score": self.name, "batch": batch}

    def about(self) -> str:
        """What is done, for the user who waits for it."""
        parts = components(self.name)
        if self.name not in AGGREGATES:
            return f"zero-cost: {self.name}"
        return f"zero-cost: {self.name} of {', '.join(parts)} among {self.scorer.batch.reference} networks"

    def prepare(self) -> None:
        """Scores the networks that aggregates rank among, or reads those scores; says how long a candidate takes."""
        if self.name in AGGREGATES:
            self._prepare_reference(self.folder / REFERENCE)
        timed = scores(self.scorer.sample()[:TIMED], [self.name], self.scorer)
        self.reporter.say(f"{self.name}: {timed[self.name].seconds:.3f} s a candidate")

    def _prepare_reference(self, path: Path) -> None:
        remove_leftovers(self.folder, (REFERENCE,))
        parts = components(self.name)
        if path.exists():
            self.scorer.references.update(_read_reference(path, parts, self.scorer.batch.reference))
            return
        with self.reporter.track(f"{self.name}: reference", len(parts), "scores") as advance:
            for part in parts:
                self.scorer.reference(part)
                advance(part)
        write_json(path, {part: self.scorer.reference(part) for part in parts})

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        """The candidate's score; there is no more thorough one."""
        digest = architecture.digest()
        if digest not in self._scores:
            self._scores[digest] = Measured(self.metric, self.scorer.score(architecture, self.name))
        return self._scores[digest]

    def seconds(self, search: Search) -> dict[str, float]:
        """See `evaluators.forecast`."""
        name, scorer = self.name, self.scorer
        first, *others = search.drawn(1 + STEPS)
        parts = components(name) if name in AGGREGATES else (name,)
        each = 0.0
        for part in parts:
            scorer.score(first, part)
            each += median_seconds(partial(scorer.score, name=part), others)
        found = {"search": each * search.trials / search.workers}
        return {"reference": each * scorer.batch.reference, **found} if name in AGGREGATES else found


def _read_reference(path: Path, parts: Sequence[str], count: int) -> dict[str, list[float]]:
    content = read_json(path)
    found: dict[str, list[float]] = {}
    for part in parts:
        row = content.get(part) if isinstance(content, dict) else None
        if not isinstance(row, list) or len(row) != count or not all(type(value) is float for value in row):
            raise InputError(f"{path}: not the scores of the reference networks; remove it")
        found[part] = row
    return found
