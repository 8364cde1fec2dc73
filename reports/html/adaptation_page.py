"""What a network makes of pictures before and after it was adapted to them, as a page."""

from collections.abc import Sequence

from foundation.metric import ACCURACY
from reports.html.markup import Markup, concatenated, element, text
from reports.html.page import Cell, Section, TableRow, figures, page, paragraph, table
from training.adaptation.adapt import Stand

REPORT = "report.html"


def adaptation_page(
    name: str, data: str, pictures: int, classes: Sequence[str], stands: Sequence[Stand], true: Sequence[float] | None
) -> str:
    """The page.

    Args:
        name: of the folder.
        data: the spec of the pictures.
        stands: the network as it came first, then as each step left it.
        true: the classes' own shares, where there are labels.
    """
    sections = [_networks(stands, classes), _classes(stands, classes, true)]
    return page(
        f"{name} · CoordNAS",
        concatenated(text("CoordNAS · "), element("b", text(name))),
        _answer(data, pictures, stands),
        sections,
        "Written by CoordNAS from what adapt.py measured.",
        (),
    )


def _answer(data: str, pictures: int, stands: Sequence[Stand]) -> list[Markup]:
    first, last = stands[0], stands[-1]
    title = element("h1", text(f"How well does the network do on {data}?"))
    if first.accuracy is None or last.accuracy is None:
        told = (
            f"The pictures have no labels, so nobody knows. After {last.name} the network is surer of them: the mean "
            f"entropy of its predictions went from {first.entropy:.3f} to {last.entropy:.3f} nats. It may also be "
            "surer of mistakes: look at the shares of the classes below."
        )
        numbers = [(f"mean entropy, {one.name}", f"{one.entropy:.3f}") for one in (last, first)]
    else:
        gain = ACCURACY.difference(last.accuracy - first.accuracy)
        told = f"{last.name} changed its accuracy by {gain}, without a label. The labels were used for this page alone."
        numbers = [
            (f"accuracy, {one.name}", ACCURACY.written(one.accuracy))
            for one in (last, first)
            if one.accuracy is not None
        ]
    return [title, paragraph(text(told)), figures([*numbers, ("pictures", f"{pictures:,}")])]


def _networks(stands: Sequence[Stand], classes: Sequence[str]) -> Section:
    """Each step with its mean entropy, its largest and smallest class, and its accuracy where that is known."""
    known = stands[0].accuracy is not None
    columns = ["network", *(["accuracy"] if known else []), "mean entropy, nats", "largest share", "smallest share"]
    rows = []
    for one in stands:
        cells: list[Cell | str] = [one.name]
        if one.accuracy is not None:
            cells.append(Cell(ACCURACY.written(one.accuracy), one.accuracy))
        cells.append(Cell(f"{one.entropy:.4f}", one.entropy))
        for number in (_extreme(one, 1), _extreme(one, -1)):
            cells.append(Cell(f"{ACCURACY.written(one.shares[number])} ({classes[number]})", one.shares[number]))
        rows.append(TableRow(cells, look="found" if one is stands[-1] else None))
    told = paragraph(
        text(
            "A share is that of a class among the predictions. Where one class swallows the others, or one is not "
            "predicted at all, the adaptation went astray."
        )
    )
    return Section("steps", "Steps", "What each step is worth", [told, table(columns, rows, words=("network",))])


def _extreme(one: Stand, sign: int) -> int:
    """The class of the largest share, or with `sign` of -1 of the smallest, by number."""
    return max(range(len(one.shares)), key=lambda number: sign * one.shares[number])


def _classes(stands: Sequence[Stand], classes: Sequence[str], true: Sequence[float] | None) -> Section:
    """Each class with its share among the predictions of each step, and how much of it is recognised before, after."""
    recalled = [one for one in (stands[0], stands[-1]) if one.recalls is not None]
    columns = ["class", *(["share, labels"] if true else []), *(f"share, {one.name}" for one in stands)]
    columns += [f"recall, {one.name}" for one in recalled]
    rows = []
    for number, name in enumerate(classes):
        cells: list[Cell | str] = [name]
        shares = [*([true[number]] if true else []), *(one.shares[number] for one in stands)]
        cells += [Cell(ACCURACY.written(share), share) for share in shares]
        for one in recalled:
            recall = one.recalls[number] if one.recalls else None
            cells.append(Cell("", None) if recall is None else Cell(ACCURACY.written(recall), recall))
        rows.append(TableRow(cells))
    told = "What the network takes the pictures for"
    told += ", and how much of each class it recognises, before and after." if recalled else ", before and after."
    return Section("classes", "By class", "By class", [paragraph(text(told)), table(columns, rows, words=("class",))])
