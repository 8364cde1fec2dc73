"""Scores of untrained networks, which need no weights to be trained first."""

from evaluators.zero_cost import az_nas, saliency  # noqa: F401 (their scores register themselves)
from evaluators.zero_cost.evaluator import ZeroCostEvaluator
from evaluators.zero_cost.registry import AGGREGATES, check_score, names, single_scores
from evaluators.zero_cost.scoring import Batch, Scorer, Scores, scores

__all__ = [
    "AGGREGATES",
    "Batch",
    "Scorer",
    "Scores",
    "ZeroCostEvaluator",
    "check_score",
    "names",
    "scores",
    "single_scores",
]
