"""All evaluators of the package: their rooms register themselves."""

import evaluators.proxy.room
import evaluators.supernet.room
import evaluators.tabular.room
import evaluators.zero_cost.room  # noqa: F401
from evaluators.registry import EVALUATORS, Elsewhere, Setup, check_evaluator

__all__ = ["EVALUATORS", "Elsewhere", "Setup", "check_evaluator"]
