"""What the networks that were trained by themselves make of test pictures, and of each class."""

from collections.abc import Mapping

from PIL import Image

from foundation.metric import ACCURACY, spelled
from reports.html.embedded_picture import WIDE, embedded, scrolled
from reports.html.markup import Markup, element, text
from reports.html.page import Cell, Section, TableRow, paragraph, table, titled
from reports.kept_tests import EXAMPLES, KeptTest
from reports.notation import listed
from reports.palette import FOUND
from reports.record import Record
from reports.verdict import trained_beside
from training.task import ByClass

MOST_EMBEDDED = 400_000
"""Characters of pictures; what is more is left in the folders."""

COLUMN_WIDE, STRIP_WIDE = 220, 1300  # pixels, as the page shows them


def seen(record: Record) -> Section | None:
    """The found network's pictures (or the first's), those of the others folded, its classes, and all their numbers.

    Of several seeds it is the first.
    """
    _, trained = trained_beside(record)
    first_seeds = {name: min(runs, key=lambda one: one.seed) for name, runs in trained.items()}
    found = {name: one.test for name, one in first_seeds.items() if one.test is not None}
    if not found:
        return None
    name = FOUND if FOUND in found else next(iter(found))
    network, others = found.pop(name), found
    content = _pictures(name, network, others)
    known = network.by_class
    if known is not None:
        content.append(titled(f"By class: {name}", _classes(network.classes, known)))
    if network.confusion is not None:
        told = f"A row a class, a column what {name} takes it for, dark where that is often."
        content.append(titled("Which class is taken for which", scrolled(embedded(network.confusion.opened(), told))))
    if network.entries:
        content.append(titled("The numbers of the test", _numbers({name: network, **others})))
    return Section("sees", "What it sees", "What it sees", content) if content else None


def _pictures(name: str, network: KeptTest, others: Mapping[str, KeptTest]) -> list[Markup]:
    """The network's examples, and folded what the others say of the same, as long as the page stays small."""
    if network.examples is None:
        return []
    told = (
        "Some of the test pictures, with the truth, and with what the network says of them after its training. Which "
        "class a colour stands for is below."
    )
    alt = network.caption or f"Test pictures in rows: the picture, the truth, what {name} says."
    first = _embedded(network.examples.opened(), alt, WIDE)
    content = [paragraph(text(network.caption or told)), scrolled(first)]
    left = MOST_EMBEDDED - len(first)
    beside, outside = [], []
    for label, picture in ((label, one.examples) for label, one in others.items() if one.examples is not None):
        said = f"What {label} says of the same pictures, one below the other."
        alone = picture.opened(answers=True)
        shown = _embedded(alone, said, COLUMN_WIDE)
        left -= len(shown)
        if left >= 0:
            beside.append(shown)
        else:
            outside.append(label)
    if beside:
        row = scrolled(element("div", *beside, class_="beside"))
        content.append(element("details", element("summary", text("What the others say of the same pictures")), row))
    if outside:
        where = f"More pictures than this page holds are in the folders of {listed(outside)}: {EXAMPLES}."
        content.append(paragraph(text(where), quiet=True))
    return content


def _embedded(image: Image.Image, told: str, wide: int) -> Markup:
    """The picture, a strip of frames as wide as its words can be read at."""
    return embedded(image, told, STRIP_WIDE if image.width > 2 * image.height else wide)


def _classes(names: tuple[str, ...], known: ByClass) -> Markup:
    """Of each class how much there is of it, and its shares."""
    rows = []
    for number, name in enumerate(names):
        shares = [values[number] for values in known.shares.values()]
        rows.append(TableRow((name, Cell(f"{known.counts[number]:,}", known.counts[number]), *map(_share, shares))))
    return table(("class", known.unit, *map(spelled, known.shares)), rows, words=("class",))


def _share(share: float | None) -> Cell:
    return Cell("", None) if share is None else Cell(ACCURACY.written(share), share)


def _numbers(networks: Mapping[str, KeptTest]) -> Markup:
    """A row a network, a column a number that any of them has."""
    headings = dict.fromkeys(
        entry.heading for one in networks.values() for entry in one.entries if entry.value is not None
    )
    rows = []
    for name, one in networks.items():
        known = {entry.heading: Cell(entry.written, entry.value) for entry in one.entries}
        cells = (known.get(heading, Cell("", None)) for heading in headings)
        rows.append(TableRow((name, *cells), look="found" if name == FOUND else None))
    return table(("network", *headings), rows, words=("network",))
