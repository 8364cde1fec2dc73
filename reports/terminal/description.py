"""A network in tables for the terminal: its stages with their costs, and what attention takes of them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.table import Table

from foundation.amounts import human
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture, Stage
from search_space.blocks import AttentionPart, BlockPart, ClassifierPart
from search_space.cost.cost import Cost, part_cost, piece_cost
from search_space.network import parts


class Line(NamedTuple):
    """A part of a network, or one of its stages, with its cost, what attention takes of it, and its map's side."""

    name: str
    stage: Stage | None
    width: int
    cost: Cost
    attention: Cost
    size: int


def lines(architecture: Architecture, num_classes: int) -> list[Line]:
    """Stem, stages, head and classifier in order; their costs sum to the network's."""
    found: dict[str, Line] = {}
    size = architecture.resolution
    for name, part in parts(architecture, num_classes):
        own, attention = part_cost(part, size), Cost()
        if isinstance(part, BlockPart):
            attention = _attention_cost(part, size)
        size = part.output_size(size)
        first, _, rest = name.partition(".")
        stage = architecture.stages[int(rest.partition(".")[0])] if first == "stages" else None
        row = f"{int(rest.partition('.')[0]) + 1}" if first == "stages" else name
        width = num_classes if isinstance(part, ClassifierPart) else part.out_channels
        before = found.get(row)
        if before is not None:
            own, attention = before.cost + own, before.attention + attention
        found[row] = Line(row, stage, width, own, attention, size)
    return list(found.values())


def _attention_cost(part: BlockPart, size: int) -> Cost:
    total = Cost()
    for _, piece in part.pieces:
        if isinstance(piece, AttentionPart):
            total += piece_cost(piece, size)
        size = piece.output_size(size)
    return total


def stage_table(rows: Sequence[Line], title: str) -> Table:
    """Each stage's decisions and costs, and the sum; blocks are named in the title where all are of one sort."""
    blocks = list(dict.fromkeys(row.stage.block for row in rows if row.stage is not None))
    named = ("block",) if len(blocks) > 1 else ()
    columns = ("stage", *named, "blocks", "attention", "map", "MACs", "%", "params", "elementwise")
    if not named:
        title = f"{title}, {blocks[0].replace('_', ' ')}s"
    table = plain_table(title, columns, words=("stage", "block", "blocks", "attention"))
    whole = _sum(row.cost for row in rows)
    for row in rows:
        stage = row.stage
        own = ("" if stage is None else stage.block.replace("_", " "),) if named else ()
        shape = f"    {row.width:<4}" if stage is None else _shape(stage)
        label = stage.attention_label if stage is not None else ""
        table.add_row(row.name, *own, shape, label, f"{row.size}²", *_costs(row.cost, whole))
    table.add_section()
    table.add_row("all", *("" for _ in named), "", "", "", *_costs(whole, whole))
    return table


def _shape(stage: Stage) -> str:
    kernel = f"{stage.kernel_size}×{stage.kernel_size}"
    return f"{stage.depth} × {stage.width:<4} {kernel} e{stage.expansion} s{stage.stride}"


def attention_table(rows: Sequence[Line]) -> Table | None:
    """What attention takes of each stage that has one; None where there is none."""
    attended = [row for row in rows if row.attention != Cost() or row.attention.elementwise]
    if not attended:
        return None
    columns = ("stage", "attention", "MACs", "of stage", "params", "of stage", "elementwise", "of stage")
    table = plain_table("where attention's cost goes", columns, words=("stage", "attention"))
    for row in attended:
        table.add_row(row.name, row.stage.attention_label if row.stage else "", *_shares(row.attention, row.cost))
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
