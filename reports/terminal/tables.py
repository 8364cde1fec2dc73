"""Tables for the terminal."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.table import Table

from foundation.amounts import human, milliseconds
from foundation.metric import ACCURACY, Metric
from reports.notation import attention_by_stage
from reports.terminal.fitting_table import FittingTable
from search_space.cost.cost import Budget
from studies.finalists import Final
from studies.trials import Candidate

MOST_ROWS = 20  # of a front: what is printed last stays in sight

NO_TRIALS: Mapping[str, int] = MappingProxyType({})

WORDS = ("network", "runtime", "class", "also taken for", "attention by stage", "changed by")


def front_title(candidates: int, budget: Budget, scored: str) -> str:
    """What a front is of: the number of candidates, the budget, and how they were scored."""
    return f"front of {candidates} candidates within {budget}, {scored}"


def front_table(
    front: Sequence[Candidate], title: str, metric: Metric = ACCURACY, trials: Mapping[str, int] = NO_TRIALS
) -> Table:
    """The front's best, the best first: the metric, costs (latency if known), and each stage's attention.

    Args:
        trials: the numbers of the candidates' trials in the study, by digest, if they are known.
    """
    timed = any(candidate.cost.latency_ns for candidate in front)
    table = plain_table(
        title,
        (
            *(("trial",) if trials else ()),
            metric.column,
            "MACs",
            "params",
            *(("latency",) if timed else ()),
            "attention by stage",
        ),
    )
    if len(front) > MOST_ROWS:
        table.caption, table.caption_justify = f"and {len(front) - MOST_ROWS} more in front.json", "left"
    for candidate in sorted(front, key=lambda c: c.merit)[:MOST_ROWS]:
        table.add_row(
            *_trial(candidate, trials),
            metric.written(candidate.score),
            human(candidate.cost.macs),
            human(candidate.cost.params),
            *((milliseconds(candidate.cost.latency_ns),) if timed else ()),
            attention_by_stage(candidate.architecture),
        )
    return table


def finalists_table(
    finals: Sequence[Final], epochs: Sequence[int], metric: Metric, trials: Mapping[str, int] = NO_TRIALS
) -> Table:
    """What the finalists came to by themselves after each rung, the winner first; `trials` as of the front."""
    title = f"{len(finals)} finalists trained by themselves; the first is the best"
    rungs = [f"epoch {number}" for number in epochs]
    table = plain_table(title, (*(("trial",) if trials else ()), *rungs, "MACs", "params", "attention by stage"))
    for final in finals:
        cost = final.candidate.cost
        values = [metric.written(value) for value in final.rungs]
        values += [""] * (len(epochs) - len(values))
        attention = attention_by_stage(final.candidate.architecture)
        table.add_row(*_trial(final.candidate, trials), *values, human(cost.macs), human(cost.params), attention)
    return table


def _trial(candidate: Candidate, trials: Mapping[str, int]) -> tuple[str, ...]:
    return (str(trials.get(candidate.architecture.digest(), "")),) if trials else ()


def plain_table(title: str | None, columns: Sequence[str], words: Sequence[str] = WORDS) -> Table:
    """An empty table; columns named in `words` hold words, the others numbers, which stand to the right."""
    return FittingTable(title, columns, words)
