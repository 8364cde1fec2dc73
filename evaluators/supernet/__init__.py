"""Weight sharing: one set of tensors that every architecture of a space is a view of."""

from evaluators.supernet.evaluator import Scoring, SupernetEvaluator
from evaluators.supernet.sandwich import SupernetRecipe

__all__ = ["Scoring", "SupernetEvaluator", "SupernetRecipe"]
