"""A table that fits its terminal: no name and no number is cut; less important columns go to a line of their own."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from foundation.printed import printable

GIVE_WAY = ("attention by stage", "file", "elementwise", "quartiles", "seconds", "also taken for", "params", "loss")
"""Columns that go first, in this order, and after them what stands furthest right."""
MARGIN, BETWEEN, INDENT = 2, 3, 4


class FittingTable(Table):
    """As any of rich's where it is wide enough for the longest cells.

    Where it is not, whole columns move below: each row is followed by a line that names their values. The first column
    stays. What is too long even so is wrapped at words. Texts are as they are: what would be markup or the name of an
    emoji elsewhere is a part of a name here.
    """

    def __init__(self, title: str | None, columns: Sequence[str], words: Sequence[str]):
        super().__init__(title=title, title_justify="left", box=SIMPLE_HEAD)
        for name in columns:
            self.add_column(name, justify="left" if name in words else "right", no_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        if self.title is not None:
            yield from _wrapped(_plain(self.title).split(), width, 0, "table.title")
        yield from self._body(console, options)
        if self.caption is not None:
            yield from _wrapped(_plain(self.caption).split(), width, 0, "table.caption")

    def _body(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [max(map(cell_len, (heading, *cells))) for heading, cells in self._told()]
        if _wide(widths) <= options.max_width:
            yield self._as_it_is()
            return
        kept = list(range(len(widths)))
        for column in self._leaving():
            kept.remove(column)
            if _wide([widths[one] for one in kept]) <= options.max_width:
                break
        yield from self._lines(kept, widths, options.max_width)

    def _as_it_is(self) -> Table:
        """Without title and caption: rich breaks them at the table's width, words too."""
        table = Table(box=self.box)
        told = self._told()
        for column, (heading, _) in zip(self.columns, told, strict=True):
            table.add_column(Text(heading), justify=column.justify, no_wrap=True)
        for row, cells in zip(self.rows, zip(*(cells for _, cells in told), strict=True), strict=True):
            table.add_row(*map(Text, cells), end_section=row.end_section)
        return table

    def _told(self) -> list[tuple[str, list[str]]]:
        """Of each column its heading and its cells, as they are read."""
        return [(_plain(column.header), [_plain(cell) for cell in column.cells]) for column in self.columns]

    def _leaving(self) -> list[int]:
        """The columns but the first, in the order in which they go."""
        names = [_plain(column.header) for column in self.columns]
        named = [names.index(name) for name in GIVE_WAY if name in names[1:]]
        return named + [place for place in range(len(names) - 1, 0, -1) if place not in named]

    def _lines(self, kept: Sequence[int], widths: Sequence[int], width: int) -> Iterator[Text]:
        told = self._told()
        below = [place for place in range(len(told)) if place not in kept]
        yield Text()
        yield self._line([told[place][0] for place in kept], kept, widths, "table.header")
        yield Text(f" {'─' * (min(_wide([widths[place] for place in kept]), width) - 2)}")
        for number, row in enumerate(zip(*(cells for _, cells in told), strict=True)):
            yield from self._row([row[place] for place in kept], kept, widths, width)
            details = [f"{told[place][0]} {row[place]}" for place in below if row[place].strip()]
            if details:
                yield from _wrapped([*(f"{one}," for one in details[:-1]), details[-1]], width, INDENT, "dim")
            if self.rows[number].end_section:
                yield Text()
        yield Text()

    def _row(self, cells: Sequence[str], kept: Sequence[int], widths: Sequence[int], width: int) -> Iterator[Text]:
        if len(kept) == 1 and MARGIN + cell_len(cells[0]) > width:  # a name that no terminal line of this width holds
            yield from _wrapped(cells[0].split(), width, MARGIN, "")
        else:
            yield self._line(cells, kept, widths)

    def _line(self, cells: Sequence[str], kept: Sequence[int], widths: Sequence[int], style: str = "") -> Text:
        aligned = []
        for place, cell in zip(kept, cells, strict=True):
            space = " " * (widths[place] - cell_len(cell))
            aligned.append(cell + space if len(kept) == 1 or self.columns[place].justify == "left" else space + cell)
        return Text((" " * MARGIN + (" " * BETWEEN).join(aligned)).rstrip(), style=style)


def _wide(widths: Sequence[int]) -> int:
    """Of a table with columns that are so wide, margins included."""
    return sum(widths) + BETWEEN * (len(widths) - 1) + 2 * MARGIN


def _plain(cell: object) -> str:
    """What it says, as long as it will be when it is shown."""
    return printable(cell.plain if isinstance(cell, Text) else cell)


def _wrapped(items: Sequence[str], width: int, indent: int, style: str) -> Iterator[Text]:
    """The items in lines that fit; one that is longer than a line is broken at its words, and a word never is."""
    fitting = [[item] if indent + cell_len(item) <= width else item.split() for item in items]
    line = ""
    for part in (part for parts in fitting for part in parts):
        if line and indent + cell_len(f"{line} {part}") > width:
            yield Text(" " * indent + line, style=style)
            line = part
        else:
            line = f"{line} {part}".lstrip()
    yield Text(" " * indent + line, style=style)
