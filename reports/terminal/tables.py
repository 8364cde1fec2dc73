"""Tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from foundation.amounts import human, milliseconds
from reports.notation import attention_by_stage, score
from search_space.cost.cost import Budget
from studies.trials import Candidate

MOST_ROWS = 20  # of a front: what is printed last stays in sight

WORDS = ("network", "runtime", "class", "also taken for", "attention by stage")


def front_title(candidates: int, budget: Budget, scored: str) -> str:
    """What a front is of: the number of candidates, the budget, and how they were scored (`scored_on`)."""
    return f"front of {candidates} candidates within {budget}, {scored}"


def scored_on(evaluator: Mapping[str, Any], objective: str, pictures: int) -> str:
    """What scores are, in a few words, by the evaluator's identity."""
    if objective != "accuracy":
        return f"ranked untrained by {objective}"
    if evaluator.get("name") == "tabular":
        return "looked up in a table or predicted from it"
    shared = evaluator.get("supernet", evaluator)  # of an anchored evaluator, or itself
    weights = "shared weights of another run" if shared.get("weights") else ""
    return ", ".join(filter(None, (f"{pictures} validation pictures", correction(evaluator), weights)))


def correction(evaluator: Mapping[str, Any]) -> str:
    """What an evaluator's accuracies are beside shares of the validation pictures, by its identity; mostly empty."""
    if evaluator.get("name") == "anchored":
        return "as expected of own training"
    prior = evaluator.get("prior")
    return f"corrected by {prior['score']}" if isinstance(prior, dict) and "score" in prior else ""


def front_table(front: Sequence[Candidate], title: str, objective: str = "accuracy") -> Table:
    """The front's best, the best first: accuracy or score, costs (latency if known), and each stage's attention."""
    timed = any(candidate.cost.latency_ns for candidate in front)
    table = plain_table(title, (objective, "MACs", "params", *(("latency",) if timed else ()), "attention by stage"))
    if len(front) > MOST_ROWS:
        table.caption, table.caption_justify = f"and {len(front) - MOST_ROWS} more in front.json", "left"
    for candidate in sorted(front, key=lambda c: c.merit)[:MOST_ROWS]:
        table.add_row(
            score(objective, candidate.score),
            human(candidate.cost.macs),
            human(candidate.cost.params),
            *((milliseconds(candidate.cost.latency_ns),) if timed else ()),
            attention_by_stage(candidate.architecture),
        )
    return table


def plain_table(title: str | None, columns: Sequence[str], words: Sequence[str] = WORDS) -> Table:
    """An empty table; columns named in `words` hold words, the others numbers, which stand to the right."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, justify="left" if name in words else "right", no_wrap=True)
    return table
