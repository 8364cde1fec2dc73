"""The finalists: what the search's best came to when they were trained by themselves."""

from foundation.amounts import human
from reports.html.front_section import score_cell, trial_cells, trial_columns
from reports.html.markup import text
from reports.html.page import Cell, Section, TableRow, paragraph, table
from reports.notation import attention_by_stage
from reports.record import Record
from reports.uncertainty import error_of, with_error


def finalists(record: Record) -> Section | None:
    """Each finalist with its score, its values after each rung, and its costs, the winner first."""
    decided = record.decided
    if decided is None:
        return None
    epochs, metric = decided.epochs, decided.metric
    rows = []
    for number, final in enumerate(decided.finals, 1):
        candidate = final.candidate
        errors = [error_of(metric, value, record.pictures("validation")) for value in final.rungs]
        values = [Cell(with_error(metric, *pair), pair[0]) for pair in zip(final.rungs, errors, strict=True)]
        values += [Cell("", None)] * (len(epochs) - len(values))
        rows.append(
            TableRow(
                (
                    Cell(str(number), number),
                    *trial_cells(record, candidate),
                    *values,
                    score_cell(record, candidate),
                    Cell(human(candidate.cost.macs), candidate.cost.macs),
                    Cell(human(candidate.cost.params), candidate.cost.params),
                    attention_by_stage(candidate.architecture),
                    candidate.architecture.digest()[:12],
                ),
                look="found" if number == 1 else None,
            )
        )
    halved = ", half of them going on after each rung" if len(epochs) > 1 else ""
    told = paragraph(
        text(
            "The score of the search ranks networks roughly. So some of the best, unlike each other, were trained by "
            f"themselves as a retraining does{halved}; the best at the end is the answer. The numbers are the "
            f"{metric.column} on validation pictures, of weights averaged over the latest steps. A retraining of the "
            "winner begins where this one ended."
        )
    )
    columns = (
        "finalist",
        *trial_columns(record),
        *(f"after epoch {number}" for number in epochs),
        f"{record.metric.column} in the search",
        "MACs",
        "params",
        "attention by stage",
        "digest",
    )
    words = ("attention by stage", "digest")
    return Section("finalists", "Finalists", "The finalists", [told, table(columns, rows, words=words)])
