"""Fonts that have the letters of a picture's texts: matplotlib's own has none of the Chinese, Japanese and Korean."""

import logging
from collections.abc import Iterable
from functools import lru_cache

from matplotlib import font_manager

OWN = "DejaVu Sans"  # comes with matplotlib
LAST_RESORT = "Last Resort"  # has a box for every letter
REGULAR = 400  # weight

# That a font has no other weight than the one that is found is no concern here.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def families(texts: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """Installed fonts to look in, in this order, for the letters of the texts, and the letters that none has."""
    installed = _installed()
    missing = {letter for text in texts for letter in text} - _letters(installed.pop(OWN))
    chosen = [OWN]
    for family, path in installed.items():
        if missing and missing & (has := _letters(path)):
            chosen.append(family)
            missing -= has
    return chosen, frozenset(missing)


def _installed() -> dict[str, str]:
    """The file of each family, its most regular one. Fonts that came after matplotlib made its list are taken in."""
    manager = font_manager.fontManager
    for path in sorted(set(font_manager.findSystemFonts()) - {entry.fname for entry in manager.ttflist}):
        try:
            manager.addfont(path)
        except (OSError, RuntimeError, KeyError):  # broken, or of a kind that matplotlib does not know
            continue
    upright = [entry for entry in manager.ttflist if entry.style == "normal" and entry.size == "scalable"]
    upright.sort(key=lambda entry: (entry.name, -abs(int(entry.weight) - REGULAR), entry.fname))
    return {entry.name: entry.fname for entry in upright if not entry.name.startswith(LAST_RESORT)}


@lru_cache(maxsize=1024)
def _letters(path: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError):  # gone, or broken
        return frozenset()
