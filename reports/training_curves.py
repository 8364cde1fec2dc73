"""The curves of the networks that were trained by themselves."""

from reports.charts import Line, line_chart
from reports.markup import element, text
from reports.notation import plural
from reports.page import Section, pair, paragraph, titled
from reports.record import Record
from training.progress import duration


def training(record: Record) -> Section | None:
    """The curves of the networks that were trained by themselves."""
    if not record.curves:
        return None
    charts = []
    for name, label in (("validation_accuracy", "validation accuracy"), ("loss", "training loss")):
        lines = []
        for folder, entries in record.curves.items():
            steps = [(entry["epoch"], entry[name]) for entry in entries if {"epoch", name} <= entry.keys()]
            if steps:
                lines.append(Line(folder, steps, f"line-{_look(folder)}"))
        if lines:
            as_share = name == "validation_accuracy"
            charts.append(
                titled(
                    label,
                    line_chart(
                        lines,
                        x_label="epoch",
                        y_label="",
                        x_format=lambda value: f"{value:g}",
                        y_format=(lambda value: f"{100 * value:.4g} %") if as_share else (lambda value: f"{value:.3g}"),
                        told=f"{label} by epoch",
                    ),
                )
            )
    if not charts:
        return None
    looks = {_look(folder): folder for folder in record.curves}
    css = "".join(
        f".line-{look}{{stroke:{_stroke(look)}}}circle.line-{look}{{stroke:none}}circle.alone.line-{look}{{fill:{_stroke(look)}}}"
        for look in looks
    )
    keys = [
        element("li", text(_network_name(folder)), style=f"--key:{_stroke(look)}") for look, folder in looks.items()
    ]
    epochs = max(len(entries) for entries in record.curves.values())
    seconds = sum(entry.get("seconds", 0.0) for entries in record.curves.values() for entry in entries)
    each = f"up to {epochs} {plural('epoch', epochs)}, {duration(seconds)} in all"
    said = f"{len(record.curves)} {plural('training', len(record.curves))} of {each}; a line for each."
    return Section(
        "training",
        "Training",
        "How the networks were trained",
        [paragraph(text(said)), element("style", css), element("ul", *keys, class_="keys"), pair(*charts)],
    )


def _network_name(folder: str) -> str:
    """`uniform ca` of `uniform-ca-0`."""
    name, _, seed = folder.rpartition("-")
    return (name if seed.isdigit() else folder).replace("-", " ")


def _look(folder: str) -> str:
    """A CSS name: `found`, a kind of attention, or a number for anything else."""
    name = _network_name(folder)
    if name in ("found", "given"):
        return "found"
    kind = name.removeprefix("uniform ")
    return kind if name != kind and kind.isidentifier() and kind.isascii() else "other"


def _stroke(look: str) -> str:
    if look == "found":
        return "var(--ink)"
    return "var(--muted)" if look == "other" else f"var(--kind-{look})"
