"""How an evaluator's scores are told in titles, tables and charts, by its identity in a run's configuration.

Each room has a file `title.py` with `TITLES`: a function from the identity to its title, by the name there. So a report
of a finished run needs nothing but its files. An evaluator of a user's own says its title as `title`, and the run
records it.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from foundation.errors import InputError
from foundation.json_files import shown
from foundation.metric import ACCURACY, Metric


@dataclass(frozen=True)
class Title:
    """How scores are told.

    Attributes:
        number: what one is, as an axis has it: `validation accuracy`.
        scored: how candidates were scored, at the end of a front's title.
        meaning: what one is, in a sentence of its own; `number` if not said.
        figure: what the best one's large number is called; `number` in the search if not said.
        front: a sentence on how the front was scored, if there is more to say.
        trust: a sentence on how far the scores can be trusted, if there is one.
    """

    number: str
    scored: str
    meaning: str = ""
    figure: str = ""
    front: str = ""
    trust: str = ""


Tell = Callable[[Mapping[str, Any], Metric, int | None], Title]
"""A title by the evaluator's identity, the metric, and the number of validation pictures, where that is known."""


def title_of(
    evaluator: Mapping[str, Any], metric: Metric, pictures: int | None = None, recorded: object = None
) -> Title:
    """The title of a run's scores.

    Args:
        evaluator: its identity.
        recorded: what a run recorded of the title, by `recorded_title`.

    Raises InputError for a record that is none.
    """
    if recorded is not None:
        return _read(recorded)
    told = _titles().get(str(evaluator.get("name")))
    if told is not None:
        return told(evaluator, metric, pictures)
    if metric == ACCURACY:
        return Title(f"validation {metric.column}", on_validation(pictures))
    return Title(metric.column, f"ranked by {metric.words}, {metric.direction}")


def on_validation(pictures: int | None, *more: str) -> str:
    """How candidates were scored that were scored on validation pictures."""
    count = "" if pictures is None else f"{pictures} "
    return ", ".join(filter(None, (f"{count}validation pictures", *more)))


def corrected_by(prior: str) -> str:
    """What a zero-cost score does to others, or several by comma, in words for people who do not know its name."""
    names = prior.split(",")
    scores = "a score" if len(names) == 1 else f"{len(names)} scores"
    return f"corrected by {scores} of the untrained network ({', '.join(names)})"


def recorded_title(evaluator: object) -> dict[str, Any]:
    """What a run records of an evaluator that says its title itself; nothing of any other."""
    title = getattr(evaluator, "title", None)
    return {"title": asdict(title)} if isinstance(title, Title) else {}


def _read(recorded: object) -> Title:
    known = [one.name for one in fields(Title)]
    texts = isinstance(recorded, dict) and all(isinstance(words, str) for words in recorded.values())
    if not isinstance(recorded, dict) or not texts or recorded.keys() != set(known):
        raise InputError(f"title: expected texts {', '.join(known)}, got {shown(recorded)}")
    return Title(**recorded)


def _titles() -> dict[str, Tell]:
    """Those of the rooms, by the name in an identity."""
    found: dict[str, Tell] = {}
    for path in sorted(Path(__file__).parent.glob("*/title.py")):
        found |= importlib.import_module(f"evaluators.{path.parent.name}.title").TITLES
    return found
