"""Records of runs that never were, for tests of what is reported of them: what holds of their candidates is known."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluators.base import Metrics
from reports.record import Evaluated, Record
from reports.trainings import Place, Retrained
from search_space.cost.priced_space import PricedSpace
from studies.front import pareto_front
from studies.trials import Candidate


def candidates(space: PricedSpace, count: int, seed: int = 0) -> list[Candidate]:
    """Candidates whose accuracy is known: CA at the last stage is worth 6 points, SE at the first costs 4."""
    rng = random.Random(seed)
    found: dict[str, Candidate] = {}
    for _ in range(100 * count):
        if len(found) == count:
            break
        architecture = space.sample(rng)
        cost = space.cost(architecture)
        first, last = (stage.attention[0].kind for stage in (architecture.stages[0], architecture.stages[-1]))
        size = sum(stage.width / 8 + stage.depth for stage in architecture.stages)
        accuracy = 0.6 + 0.06 * (last == "ca") - 0.04 * (first == "se") + 0.004 * size + rng.gauss(0, 0.004)
        found[architecture.digest()] = Candidate(architecture, cost, Metrics(accuracy, 1 - accuracy))
    return list(found.values())


def record_of(space: PricedSpace, candidates: Sequence[Candidate], **more: object) -> Record:
    front = tuple(pareto_front(candidates))
    best = min(candidates, key=lambda candidate: candidate.merit)
    identity = {
        "space": space.to_dict(),
        "budget": {"max_macs": 2_000_000, "max_params": None, "max_latency_ns": None},
        "evaluator": {"name": "supernet", "recipe": {"epochs": 3, "batch_size": 8}},
        "sampler": {"name": "predictor", "startup": 5, "objectives": ["accuracy", "macs"]},
        "seed": 0,
    }
    fields: dict[str, Any] = {
        "folder": Path("runs/mine"),
        "identity": identity,
        "free": {"data": "digits", "trials": 60},
        "best": best,
        "data": "digits",
        "classes": ("a", "b", "c", "d"),
        "front": front,
        "evaluated": tuple(Evaluated(i, i + 1, one, 1.5 * i) for i, one in enumerate(candidates)),
        "rejected": {"over budget": 3},
        "storage": "sqlite:///runs/mine/study.db",
        **more,
    }
    return Record(**fields)


def retrained(record: Record, networks: Sequence[str]) -> dict[str, Any]:
    """Results of networks that are candidates as well, so that the ranking can be held against them."""
    trained, curves = [], {}
    for number, name in enumerate(networks):
        candidate = record.best if name == "found" else record.evaluated[number].candidate
        assert candidate is not None
        for seed in (0, 1):
            accuracy = candidate.score + 0.01 * seed
            trained.append(Retrained(name, candidate.architecture, candidate.cost, seed, accuracy))
            epochs = [{"epoch": e, "loss": 1 / e, "validation_accuracy": 0.1 * e, "seconds": 2.0} for e in (1, 2, 3)]
            curves[f"{name.replace(' ', '-')}-{seed}"] = epochs
    return {"retrained": tuple(trained), "curves": curves, "places": {"retrain": Place(epochs=3)}}
