"""A page of its own: markup, style and script in one file, which loads nothing from anywhere."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from foundation.started_as import as_typed
from reports.html.markup import Markup, concatenated, element, text
from reports.html.palette import fills, patterns, variables

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("tips", "choosing", "tables", "zoom", "saving", "parallel")
"""Of the page's one script, in their order: later ones use what earlier ones define."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""Browsers refuse to load anything that is not in the page."""


class Section(NamedTuple):
    """A part of the page with its name in the page's contents."""

    anchor: str
    name: str
    title: str
    content: Sequence[Markup]


def page(
    title: str,
    top: Markup,
    first: Sequence[Markup],
    sections: Sequence[Section],
    foot: str,
    kinds: Iterable[str],
) -> str:
    """The whole document.

    Args:
        top: what stands above everything, beside the contents.
        first: the first screen.
        kinds: of attention, which get their colours.
    """
    kinds = sorted({*kinds, "none", "ca", "se"})
    style = f"{variables(kinds)}{fills(kinds)}{(ASSETS / 'report.css').read_text(encoding='utf-8')}"
    contents = [element("a", text(section.name), href=f"#{section.anchor}") for section in sections]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", text(title)),
        element("style", style),
    )
    shared = element("svg", patterns(), width=0, height=0, style="position:absolute", aria_hidden="true")
    body = element(
        "body",
        shared,
        element("header", element("span", top), element("nav", *contents), class_="top"),
        element("main", *first, *(_section(section) for section in sections)),
        element("footer", text(foot)),
        element("script", "\n".join((ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Markup:
    return element("section", element("h2", text(section.title)), *section.content, id=section.anchor)


def paragraph(*content: str | Markup, quiet: bool = False) -> Markup:
    """A paragraph of markup."""
    return element("p", *content, class_="quiet" if quiet else None)


def command_block(*lines: str) -> Markup:
    """Commands to type."""
    return element("pre", text("\n".join(map(as_typed, lines))))


class Cell(NamedTuple):
    """What a table shows, and what it is sorted by, if not by its words."""

    shown: str
    value: float | None = None


class TableRow(NamedTuple):
    """A table's row; it may be that of a network that the page shows."""

    cells: Sequence[Cell | str]
    shows: str | None = None
    look: str | None = None


def table(
    columns: Sequence[str],
    rows: Iterable[TableRow],
    words: Sequence[str] = (),
    *,
    sortable: bool = True,
    falling: str | None = None,
    rising: str | None = None,
) -> Markup:
    """A table; columns named in `words` hold words, the others numbers.

    Args:
        falling, rising: the column that the rows are sorted by as they come.
    """
    heads = []
    sorts = {falling: "descending", rising: "ascending"}
    for name in columns:
        label = element("button", text(name), type="button") if sortable else text(name)
        own = {"class_": "words" if name in words else None, "aria_sort": sorts.get(name)}
        heads.append(element("th", label, scope="col", **own))
    body = []
    for row in rows:
        cells: list[Markup] = []
        for name, cell in zip(columns, row.cells, strict=True):
            cell = cell if isinstance(cell, Cell) else Cell(cell)
            value = None if cell.value is None else f"{cell.value!r}"
            shown = text(cell.shown)
            if row.shows and not cells:  # a row that can be chosen can be so from the keyboard
                shown = element("button", shown, type="button", class_="choose")
            cells.append(element("td", shown, data_value=value, class_="words" if name in words else None))
        body.append(element("tr", *cells, data_show=row.shows, class_=row.look))
    whole = element("table", element("thead", element("tr", *heads)), element("tbody", *body))
    return element("div", whole, class_="scroll")


def figures(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Large numbers, each with what it is; the first stands out."""
    shown = [
        element("div", element("dt", text(name)), element("dd", text(value)), class_=None if number else "first")
        for number, (name, value) in enumerate(pairs)
    ]
    return element("dl", *shown, class_="figures")


def pair(*parts: Markup) -> Markup:
    """Parts side by side where there is room."""
    return element("div", *(element("div", part) for part in parts), class_="pair")


def titled(title: str, *content: Markup) -> Markup:
    """Content under a small heading."""
    return concatenated(element("h3", text(title)), *content)
