"""How the scores of untrained networks are told."""

from collections.abc import Mapping
from typing import Any

from evaluators.titles import Title
from foundation.metric import Metric


def _zero_cost(identity: Mapping[str, Any], metric: Metric, pictures: int | None) -> Title:
    return Title(
        metric.name,
        f"ranked untrained by {metric.name}",
        meaning="score of the untrained network",
        figure=f"{metric.name}, untrained",
    )


TITLES = {"zero-cost": _zero_cost}
