"""How the scores of a table are told."""

from collections.abc import Mapping
from typing import Any

from evaluators.titles import Title
from foundation.metric import Metric


def _tabular(identity: Mapping[str, Any], metric: Metric, pictures: int | None) -> Title:
    return Title(f"validation {metric.column}", "looked up in a table or predicted from it")


TITLES = {"tabular": _tabular}
