"""The palette as style sheets and definitions of a page."""

from collections.abc import Iterable

from reports.html.markup import Markup, concatenated, element
from reports.palette import ACCENT, DEEP, INK, PAPER, look

# Each of reports.palette's drawn in the paper's colour over the kind's, on a tile of 6 by 6.
_PATTERNS = {
    "grid": "M0 3H6M3 0V6",
    "dots": "M2 3h2M3 2v2",
    "rows": "M0 3H6",
    "columns": "M3 0V6",
    "rising": "M0 6L6 0",
    "falling": "M0 0L6 6",
    "checks": "M0 0L6 6M0 6L6 0",
    "zigzag": "M0 4L3 2L6 4",
}


def variables(kinds: Iterable[str]) -> str:
    """CSS that sets the colours, for light and dark."""

    def rules(side: int) -> str:
        own = {"paper": PAPER, "accent": ACCENT, **INK}
        colours = {name: pair[side] for name, pair in own.items()}
        colours |= {f"kind-{kind}": look(kind)[side] for kind in sorted(set(kinds))}
        return ";".join([f"--{name}:{colour}" for name, colour in colours.items()] + [f"--deep:{DEEP[side]:g}"])

    # What is saved of a page is saved as on a light one: the page's script says so by a class meanwhile.
    dark = f"@media(prefers-color-scheme:dark){{:root:not(.light){{{rules(1)}}}}}"
    return f":root{{color-scheme:light dark;{rules(0)}}}{dark}"


def fills(kinds: Iterable[str]) -> str:
    """CSS of what drawings use. Each colour stands twice, for programs that know no variables."""
    css = [f".f-{name}{{fill:{pair[0]};fill:var(--{name})}}" for name, pair in {"paper": PAPER, **INK}.items()]
    css += [f".l-{name}{{stroke:{pair[0]};stroke:var(--{name})}}" for name, pair in {"paper": PAPER, **INK}.items()]
    css.append(".field{opacity:var(--deep)}")
    css += [f".k-{kind}{{fill:{look(kind).light};fill:var(--kind-{kind})}}" for kind in sorted(set(kinds))]
    return "".join(css)


def patterns() -> Markup:
    """The definitions that drawings refer to; once in a document."""
    found = []
    for name, path in _PATTERNS.items():
        lines = element("path", d=path, fill="none", stroke="#fff", stroke_width=1.3, class_="l-paper")
        found.append(element("pattern", lines, id=f"pattern-{name}", width=6, height=6, patternUnits="userSpaceOnUse"))
    return element("defs", concatenated(*found))
