"""How the scores of shared weights are told."""

from collections.abc import Mapping
from typing import Any

from evaluators.titles import Title, corrected_by, on_validation
from foundation.metric import Metric, is_corrected, spelled


def _supernet(identity: Mapping[str, Any], metric: Metric, pictures: int | None) -> Title:
    prior = identity.get("prior")
    corrected = corrected_by(prior["score"]) if isinstance(prior, dict) and "score" in prior else ""
    measured = spelled(metric.beside[0]) if is_corrected(metric) else metric.column
    number = metric.column if is_corrected(metric) else _number(metric, "corrected" if corrected else "")
    return Title(
        number,
        on_validation(pictures, corrected, _weights(identity)),
        meaning=f"validation {measured} with shared weights, {corrected}" if corrected else "",
        figure=f"{metric.column} in the search: {measured} {corrected}" if corrected else "",
        front="The front's networks were scored again on all validation pictures, the faint ones on some of them.",
        trust=(
            "How far a ranking can be trusted is measured in docs/ranking.md: on networks that were each trained by "
            "themselves, against how well two trainings of the same networks agree."
        ),
    )


def _anchored(identity: Mapping[str, Any], metric: Metric, pictures: int | None) -> Title:
    expected = "as expected of own training"
    supernet = identity.get("supernet")
    weights = _weights(supernet) if isinstance(supernet, dict) else ""
    return Title(_number(metric, expected), on_validation(pictures, expected, weights))


def _number(metric: Metric, corrected: str) -> str:
    return f"validation {metric.column}{', ' if corrected else ''}{corrected}"


def _weights(supernet: Mapping[str, Any]) -> str:
    return "shared weights of another run" if supernet.get("weights") else ""


TITLES = {"supernet": _supernet, "anchored": _anchored}
