"""A network in tables for the terminal: its stages with their costs, and what attention takes of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.table import Table

from foundation.amounts import human
from reports.notation import short_number
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture, Row
from search_space.cost.cost import Cost, measured_apart, part_cost, piece_cost
from search_space.head import Head, as_head
from search_space.network import parts
from search_space.parts import AttentionPart, Part


class Line(NamedTuple):
    """A row of a network, or its classifier, with its cost, what attention takes of it, and its map's side."""

    name: str
    row: Row | None
    width: int | None  # of its output; None for a head that is no classifier
    cost: Cost
    attention: Cost
    size: int


def lines(architecture: Architecture, head: Head | int) -> list[Line]:
    """Stem, stages, head and classifier in order; their costs sum to the network's."""
    found: dict[str, Line] = {}
    rows = architecture.rows()
    size = architecture.resolution
    kind = as_head(head).to_dict()["head"]
    for name, part in parts(architecture, head):
        own, attention = part_cost(part, size), _attention_cost(part, size)
        size = part.output_size(size)
        row = next((row for row in rows if f"{name}.".startswith(f"{row.place}.")), None)
        title = str(kind) if row is None and name == "classifier" else name if row is None else row.name
        before = found.get(title)
        if before is not None:
            own, attention = before.cost + own, before.attention + attention
        found[title] = Line(
            title, row, getattr(as_head(head), "num_classes", None) if row is None else row.width, own, attention, size
        )
    return list(found.values())


def head_alone(architecture: Architecture, head: Head) -> str:
    """What a task's head is, and what it takes of a network's cost."""
    backbone, own = measured_apart(architecture, head)
    whole = backbone + own
    return (
        f"{head.told}: {human(own.macs)} of {human(whole.macs)} MACs, {human(own.params)} of {human(whole.params)} "
        "parameters"
    )


def _attention_cost(part: Part, size: int) -> Cost:
    total = Cost()
    for _, piece in part.pieces:
        if isinstance(piece, AttentionPart):
            total += piece_cost(piece, size)
        size = piece.output_size(size)
    return total


def stage_table(rows: Sequence[Line], title: str) -> Table:
    """Each stage's decisions and costs, and the sum; blocks are named in the title where all are of one sort."""
    stages = [row.row for row in rows if row.row is not None and not row.row.end]
    blocks = list(dict.fromkeys(stage.kind for stage in stages))
    named = ("block",) if len(blocks) > 1 else ()
    columns = ("stage", *named, "blocks", "attention", "map", "MACs", "%", "params", "elementwise")
    if not named:
        title = f"{title}, {blocks[0].replace('_', ' ')}s"
    table = plain_table(title, columns, words=("stage", "block", "blocks", "attention"))
    whole = _sum(row.cost for row in rows)
    for row in rows:
        stage = row.row if row.row in stages else None
        own = ("" if stage is None else stage.kind.replace("_", " "),) if named else ()
        shape = f"    {row.width or '':<4}" if stage is None else _shape(stage)
        label = stage.attention_label if stage is not None else ""
        table.add_row(row.name, *own, shape, label, f"{row.size}²", *_costs(row.cost, whole))
    table.add_section()
    table.add_row("all", *("" for _ in named), "", "", "", *_costs(whole, whole))
    return table


def _shape(stage: Row) -> str:
    numbers = [short_number(name, value) for name, value in stage.numbers]
    return " ".join([f"{stage.depth} × {stage.width:<4}", *numbers, *([f"s{stage.stride}"] if stage.stride else [])])


def attention_table(rows: Sequence[Line]) -> Table | None:
    """What attention takes of each stage that has one; None where there is none."""
    attended = [row for row in rows if row.attention != Cost() or row.attention.elementwise]
    if not attended:
        return None
    columns = ("stage", "attention", "MACs", "of stage", "params", "of stage", "elementwise", "of stage")
    table = plain_table("where attention's cost goes", columns, words=("stage", "attention"))
    for row in attended:
        table.add_row(row.name, row.row.attention_label if row.row else "", *_shares(row.attention, row.cost))
    table.add_section()
    table.add_row(
        "all", "of the network", *_shares(_sum(row.attention for row in rows), _sum(row.cost for row in rows))
    )
    return table


def _sum(costs: Iterable[Cost]) -> Cost:
    return sum(costs, Cost())


def _costs(cost: Cost, whole: Cost) -> tuple[str, ...]:
    return human(cost.macs), f"{100 * cost.macs / whole.macs:.0f}", human(cost.params), human(cost.elementwise)


def _shares(part: Cost, whole: Cost) -> tuple[str, ...]:
    pairs = ((part.macs, whole.macs), (part.params, whole.params), (part.elementwise, whole.elementwise))
    return tuple(text for own, all_ in pairs for text in (human(own), f"{100 * own / max(1, all_):.1f} %"))
