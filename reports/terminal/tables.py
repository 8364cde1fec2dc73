"""Tables for the terminal."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.table import Table

from foundation.amounts import human, milliseconds
from foundation.metric import Metric
from reports.notation import attention_by_stage
from reports.terminal.fitting_table import FittingTable
from reports.uncertainty import draw, error_of, error_of_measured, with_error
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
    front: Sequence[Candidate], title: str, trials: Mapping[str, int] = NO_TRIALS, pictures: int | None = None
) -> Table:
    """The front's best, the best first: the metric, costs (latency if known), and each stage's attention.

    Args:
        trials: the numbers of the candidates' trials in the study, by digest, if they are known.
        pictures: that the scores are of, if their standard errors are to stand there.
    """
    timed = any(candidate.cost.latency_ns for candidate in front)
    metric = front[0].measured.metric
    costs = ("MACs", "params", *(("latency",) if timed else ()))
    table = plain_table(title, (*(("trial",) if trials else ()), metric.column, *costs, "attention by stage"))
    more = f"and {len(front) - MOST_ROWS} more in front.json" if len(front) > MOST_ROWS else ""
    table.caption, table.caption_justify = "; ".join(filter(None, (more, _drawn(front, trials, pictures)))), "left"
    for candidate in sorted(front, key=lambda c: c.merit)[:MOST_ROWS]:
        error = error_of_measured(candidate.measured, pictures)
        table.add_row(
            *_trial(candidate, trials),
            with_error(metric, candidate.score, error),
            human(candidate.cost.macs),
            human(candidate.cost.params),
            *((milliseconds(candidate.cost.latency_ns),) if timed else ()),
            attention_by_stage(candidate.architecture),
        )
    return table


def _drawn(front: Sequence[Candidate], trials: Mapping[str, int], pictures: int | None) -> str:
    """How many the scores do not tell from the best, and the smallest of them."""
    found = draw(front, pictures)
    if found is None:
        return ""
    smallest = next(one for one in front if one.architecture.digest() == found.smallest)
    named = f"trial {trials[found.smallest]}, {human(smallest.cost.macs)} MACs" if found.smallest in trials else ""
    return (
        f"{len(found.digests) - 1} cannot be told from the best (within the standard error of the difference); the "
        f"smallest of these: {named or f'{human(smallest.cost.macs)} MACs'}"
    )


def finalists_table(
    finals: Sequence[Final],
    epochs: Sequence[int],
    metric: Metric,
    trials: Mapping[str, int] = NO_TRIALS,
    pictures: int | None = None,
) -> Table:
    """What the finalists came to by themselves after each rung, the winner first; the rest as of the front."""
    title = f"{len(finals)} finalists trained by themselves; the first is the best"
    rungs = [f"epoch {number}" for number in epochs]
    table = plain_table(title, (*(("trial",) if trials else ()), *rungs, "MACs", "params", "attention by stage"))
    for final in finals:
        cost = final.candidate.cost
        values = [with_error(metric, value, error_of(metric, value, pictures)) for value in final.rungs]
        values += [""] * (len(epochs) - len(values))
        attention = attention_by_stage(final.candidate.architecture)
        table.add_row(*_trial(final.candidate, trials), *values, human(cost.macs), human(cost.params), attention)
    return table


def _trial(candidate: Candidate, trials: Mapping[str, int]) -> tuple[str, ...]:
    return (str(trials.get(candidate.architecture.digest(), "")),) if trials else ()


def plain_table(title: str | None, columns: Sequence[str], words: Sequence[str] = WORDS) -> Table:
    """An empty table; columns named in `words` hold words, the others numbers, which stand to the right."""
    return FittingTable(title, columns, words)
