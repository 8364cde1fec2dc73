"""Tables for the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from search_space.cost import human
from studies.trials import Candidate


def front_table(front: Sequence[Candidate], title: str) -> Table:
    """The front, most accurate first: accuracy in %, MACs, parameters, and each stage's attention."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name, justify in (("accuracy", "right"), ("MACs", "right"), ("params", "right"), ("attention by stage", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for candidate in sorted(front, key=lambda c: c.merit):
        table.add_row(
            f"{candidate.metrics.accuracy:.2%}".replace("%", " %"),
            human(candidate.cost.macs),
            human(candidate.cost.params),
            " ".join(stage.attention_label for stage in candidate.architecture.stages),
        )
    return table


def show(console: Console, table: Table) -> None:
    """Prints a table as wide as it is, also where the output is no terminal."""
    width = max(console.width, console.measure(table).maximum) if not console.is_terminal else None
    console.print(table, width=width)
