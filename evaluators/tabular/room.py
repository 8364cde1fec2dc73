"""The evaluator `tabular`: its own setting is a table's name, or its file."""

from pathlib import Path

from evaluators.base import Evaluator
from evaluators.registry import EVALUATORS, Planned, Setup, Traits, having
from evaluators.tabular.evaluator import TabularEvaluator
from evaluators.tabular.table import TABLES, read_table
from foundation.errors import InputError
from training.task import check_class_labels


@EVALUATORS.register("tabular")
@having(
    Traits(without_init="the table's networks are trained", plan=lambda flags, preset, pictures: Planned(flags.table))
)
def _tabular(setup: Setup) -> Evaluator:
    check_class_labels(setup.task, "`evaluator` tabular", "use another")
    path = Path(setup.own) if setup.own.endswith(".json") else TABLES / f"{setup.own}.json"
    if path.parent == TABLES and not path.exists():
        known = ", ".join(sorted(file.stem for file in TABLES.glob("*.json")))
        raise InputError(f"`table` {setup.own}: unknown; known: {known}, or a file FILE.json")
    table = read_table(path)
    kind = table.data.partition(":")[0]
    if setup.data.name != (table.data if kind == "digits" else kind):  # others go by their kind alone
        raise InputError(
            f"`table` {setup.own}: its networks were trained on {table.data}, and this search is on "
            f"{setup.data.name}; give `data` {table.data}, or another table"
        )
    return TabularEvaluator(setup.priced, table, surrogate=True)
