"""How the scores of proxy trainings are told."""

from collections.abc import Mapping
from typing import Any

from evaluators.titles import Title, on_validation
from foundation.metric import Metric


def _proxy(identity: Mapping[str, Any], metric: Metric, pictures: int | None) -> Title:
    return Title(f"validation {metric.column}", on_validation(pictures))


TITLES = {"proxy": _proxy}
