"""The search's best, trained by themselves: which ones, and who wins.

Scores come from shared weights, which rank networks roughly; a retraining shows the truth, and is dear. So a few are
trained by successive halving, and the one that does best is the run's answer.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evaluators.base import StagedEvaluator
from foundation.errors import InputError
from foundation.files import write_json
from foundation.json_files import MAX_OF_A_RUN, read_json
from foundation.metric import Metric, described, read_measured, read_metric
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.cost import Budget, Cost
from search_space.space import SearchSpace
from studies.front import filling
from studies.halving import halve
from studies.trials import Candidate, Failure

FINALISTS = "finalists.json"
UNLIKE = 0.2
"""Share of the decisions by which a finalist differs from each other one, while there are such; then half of it."""


class Final(NamedTuple):
    """A finalist and what it came to by itself after each rung it took, as values of the metric; none if it failed."""

    candidate: Candidate
    rungs: tuple[float, ...]


def finalists(
    candidates: Sequence[Candidate], space: SearchSpace, budget: Budget, count: int, unlike: float = UNLIKE
) -> list[Candidate]:
    """The `count` to train by themselves: by score, and unlike each other.

    They are the best of those that fill the budget, but for one of eight, which is the best of all that are left:
    shared weights flatter small networks.

    Args:
        unlike: the share of decisions by which each differs from each other one, while there are such.
    """
    ranked = sorted(candidates, key=lambda candidate: candidate.merit)
    choices = {one.architecture.digest(): space.choices(one.architecture) for one in ranked}
    chosen: list[Candidate] = []
    for among, places in ((filling(ranked, budget), count - count // 8), (ranked, count)):
        for least in (unlike, unlike / 2, 0.0):
            for candidate in among:
                own = choices[candidate.architecture.digest()]
                if candidate in chosen or len(chosen) >= places:
                    continue
                if all(unlikeness(own, choices[other.architecture.digest()]) >= least for other in chosen):
                    chosen.append(candidate)
    return chosen


def unlikeness(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """The share of decisions by which they differ; one that only one of them has is a difference."""
    names = one.keys() | other.keys()
    return sum(name not in one or name not in other or one[name] != other[name] for name in names) / max(1, len(names))


def trained(chosen: Sequence[Candidate], evaluator: StagedEvaluator, reporter: Reporter) -> list[Final]:
    """What the finalists come to by themselves, the best first; those that failed are left out, and a line says so."""
    outcomes = halve([(one.architecture, one.cost) for one in chosen], evaluator, reporter)
    finals = []
    for candidate, outcome in zip(chosen, outcomes, strict=True):
        if isinstance(outcome, Failure):
            reporter.say(f"finalist {candidate.architecture.digest()[:12]} is left out: {outcome.reason}")
        else:
            finals.append(Final(candidate, outcome.rungs))
    # Who went further is ahead of those who did not: their last values are of different epochs.
    metric = evaluator.metric
    return sorted(finals, key=lambda final: (-len(final.rungs), -metric.merit(final.rungs[-1]), final.candidate.merit))


def write_finalists(folder: Path, finals: Sequence[Final], settings: Mapping[str, Any], metric: Metric) -> None:
    """Writes what the finalists came to by the metric, the winner first.

    Args:
        settings: plain values: how they were chosen and trained, `epochs` by the end of each rung among them.
    """
    networks = [
        {
            "digest": final.candidate.architecture.digest(),
            "architecture": final.candidate.architecture.to_dict(),
            "cost": final.candidate.cost.to_dict(),
            "metrics": final.candidate.measured.numbers(),
            "rungs": list(final.rungs),
        }
        for final in finals
    ]
    write_json(folder / FINALISTS, {"settings": dict(settings), **described(metric), "finalists": networks})


class Decided(NamedTuple):
    """What a run's finalists came to.

    Attributes:
        metric: of the rungs.
    """

    finals: tuple[Final, ...]
    settings: Mapping[str, Any]
    metric: Metric

    @property
    def epochs(self) -> list[int]:
        """By the end of each rung that was taken: where there are fewer networks than planned, the last are not."""
        return list(self.settings["epochs"])[: max(len(final.rungs) for final in self.finals)]


def read_finalists(folder: Path, scored: Metric) -> Decided | None:
    """What `write_finalists` wrote; None if there is nothing.

    Args:
        scored: the metric of the search's scores.

    Raises InputError for a file that is none of a run's.
    """
    path = folder / FINALISTS
    if not path.exists():
        return None
    content = read_json(path, MAX_OF_A_RUN)
    try:
        settings, finals = content["settings"], [_final(entry, scored) for entry in content["finalists"]]
        epochs = settings["epochs"]
        if not finals or not all(type(number) is int for number in epochs):
            raise TypeError("it is empty")
        if any(len(final.rungs) > len(epochs) for final in finals):
            raise TypeError("more values than rungs")
        return Decided(tuple(finals), settings, read_metric(content))
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{path}: not a run's finalists ({error}); remove it, and they are chosen again") from None


def _final(entry: Any, scored: Metric) -> Final:
    rungs = entry["rungs"]
    if not rungs or not all(type(value) is float and math.isfinite(value) for value in rungs):
        raise TypeError("rungs: expected numbers")
    measured = read_measured(scored, entry["metrics"])
    candidate = Candidate(Architecture.from_dict(entry["architecture"]), Cost.from_dict(entry["cost"]), measured)
    return Final(candidate, tuple(rungs))


def winner(folder: Path, settings: Mapping[str, Any], scored: Metric) -> Candidate | None:
    """The winner that was chosen by these settings, as it was scored; None if there is no such.

    Raises InputError for a file that is none of a run's.
    """
    decided = read_finalists(folder, scored)
    return None if decided is None or decided.settings != settings else decided.finals[0].candidate
