"""Elements of HTML and SVG as text, escaped: names of classes and folders are anybody's."""

from html import escape
from typing import NewType

Markup = NewType("Markup", str)
"""Text that is markup already, and goes in as it is."""

VOID = frozenset({"br", "meta", "input", "hr", "img"})
"""HTML elements without content."""


def element(tag: str, *content: str | Markup, **attributes: object) -> Markup:
    """An element of content that is markup already. Plain text goes through `text` first.

    An attribute's name loses a trailing `_` and has `-` for `_`; one that is None is left out, one that is True is
    named alone. Numbers are written short.
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = name.rstrip("_").replace("_", "-")
        parts.append(f'{spelled}=""' if value is True else f'{spelled}="{escape(_plain(value))}"')
    opening = " ".join(parts)
    if tag in VOID:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{''.join(content)}</{tag}>")


def text(value: object) -> Markup:
    """Any value as text. A number and its % stay on one line."""
    return Markup(escape(str(value).replace(" %", "\N{NO-BREAK SPACE}%")))


def concatenated(*parts: str | Markup) -> Markup:
    """Pieces of markup one after the other."""
    return Markup("".join(parts))


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
