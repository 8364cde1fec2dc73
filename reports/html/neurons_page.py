"""What a network came to beside simulated neurons, as a page."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from deployment.neurons import Study
from foundation.metric import ACCURACY
from reports.html.embedded_picture import embedded, scrolled
from reports.html.markup import Markup, concatenated, element, text
from reports.html.page import Cell, Section, TableRow, figures, page, paragraph, table
from reports.notation import CHANGED, SIMULATED

REPORT = "neurons.html"


def neurons_page(name: str, data: str, study: Study, pictures: Path) -> str:
    """The page.

    Args:
        name: of the network.
        data: of the pictures.
        pictures: the PNG of `reports.terminal.changed_pictures`.
    """
    with Image.open(pictures, formats=("PNG",)) as image:
        shown = image.convert("RGB")
    return page(
        f"{name} · {SIMULATED} · CoordNAS",
        concatenated(text("CoordNAS · "), element("b", text(name))),
        _answer(data, study),
        [_rates(study), _pictures(study, shown)],
        f"Written by CoordNAS from what evaluate.py measured. {SIMULATED.capitalize()}: nothing here was recorded from "
        "an animal.",
        (),
    )


def _answer(data: str, study: Study) -> list[Markup]:
    told = (
        f"A regression on the network's features explains {study.explained:.4f} of the variance of {SIMULATED}, those "
        f"of a hidden network of another family, on pictures of {data} that it was not fitted on. More than "
        f"{study.ceiling:.4f} cannot be explained, for the rest is noise."
    )
    numbers = [
        ("of the noise ceiling", ACCURACY.written(study.share)),
        ("explained variance", f"{study.explained:.4f}"),
        ("noise ceiling", f"{study.ceiling:.4f}"),
        ("pictures that the neurons' decoder knows", ACCURACY.written(study.decoded)),
    ]
    title = element("h1", text(f"How well does the network predict {SIMULATED}?"))
    return [title, paragraph(text(told)), figures(numbers)]


def _rates(study: Study) -> Section:
    columns = ["changed by", *(f"MSE {budget:g}" for budget in study.budgets)]
    rows = [TableRow([name, *_cells(shares)]) for name, shares in study.taken.items()]
    told = (
        f"{CHANGED} As they are, {ACCURACY.written(study.at_rest)} are. Of {study.pictures} pictures a share is known "
        f"to ± {100 * study.error:.0f} points at most."
    )
    fell = ", ".join(
        f"{value:.4f} at {budget:g}" for budget, value in zip(study.budgets, study.explained_on_changed, strict=True)
    )
    after = f"On the neuron-guided pictures the explained variance is {fell}; below 0 a constant would predict better."
    return Section(
        "fooled",
        "Fooled",
        "What the simulated neurons take changed pictures for",
        [paragraph(text(told)), table(columns, rows, words=("changed by",)), paragraph(text(after))],
    )


def _cells(shares: Sequence[float]) -> list[Cell]:
    return [Cell(ACCURACY.written(share), share) for share in shares]


def _pictures(study: Study, shown: Image.Image) -> Section:
    told = f"Neuron-guided changes of a mean squared error of at most {study.shown:g}, of pictures drawn evenly."
    alt = "Pictures in rows: as it is, as it was changed, and the difference."
    return Section("pictures", "Pictures", "Pictures", [paragraph(text(told)), scrolled(embedded(shown, alt))])
