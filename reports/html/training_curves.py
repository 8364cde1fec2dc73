"""How the networks were trained that were trained by themselves: by what, and their curves."""

from foundation.metric import ACCURACY
from reports.html.charts import Format, Series, line_chart
from reports.html.markup import Markup, element, text
from reports.html.page import Cell, Section, TableRow, pair, paragraph, table, titled
from reports.notation import plural
from reports.palette import FOUND, OTHER, group
from reports.record import Record


def training(record: Record) -> Section | None:
    """The curves of the networks that were trained by themselves."""
    if not record.curves:
        return None
    charts = []
    metrics = list(dict.fromkeys(place.metric for place in record.places.values())) or [ACCURACY]
    drawn: list[tuple[str, str, Format]] = [
        *((f"validation_{metric.name}", f"validation {metric.column}", metric.tick) for metric in metrics),
        ("loss", "training loss", lambda value: f"{value:.3g}"),
    ]
    for name, label, written in drawn:
        lines = []
        for folder, entries in sorted(record.curves.items(), key=lambda item: _look(item[0]) == FOUND):
            steps = [(entry["epoch"], entry[name]) for entry in entries if {"epoch", name} <= entry.keys()]
            if steps:
                lines.append(Series(folder, steps, f"line-{_look(folder)}"))
        if lines:
            charts.append(
                titled(
                    label,
                    line_chart(
                        lines,
                        x_label="epoch",
                        y_label="",
                        x_format=lambda value: f"{value:g}",
                        y_format=written,
                        told=f"{label} by epoch",
                        counts=True,
                    ),
                )
            )
    if not charts:
        return None
    looks = {_look(folder) for folder in record.curves}
    others = {_network_name(folder) for folder in record.curves if _look(folder) == OTHER}
    keys = [
        element("li", text(_key(one, others)), style=f"--key:{_stroke(one)}", class_="dashed" if one == OTHER else None)
        for one in sorted(looks, key=lambda look: (look != FOUND, look == OTHER, look))
    ]
    css = "".join(_rules(look) for look in sorted(looks))
    epochs = max(len(entries) for entries in record.curves.values())
    each = f"up to {epochs} {plural('epoch', epochs)}"
    said = f"{len(record.curves)} {plural('training', len(record.curves))} of {each}; a line for each."
    return Section(
        "training",
        "Training",
        "How the networks were trained",
        [
            paragraph(text(said)),
            element("style", css),
            element("ul", *keys, class_="keys"),
            pair(*charts),
            *([titled("How each folder was trained", _ways(record))] if record.places else []),
        ],
    )


def _ways(record: Record) -> Markup:
    """A row a folder of trainings: its method, where it began, and what the found network came to in it."""
    rows = []
    for name, place in record.places.items():
        found = [one.value for one in record.retrained if one.place == name and one.network == FOUND]
        mean = sum(found) / len(found) if found else None
        came_to = Cell("", None) if mean is None else Cell(place.metric.written(mean), mean)
        own = ", ".join(f"{word.replace('_', ' ')} {value}" for word, value in place.method_settings.items())
        began = str(place.recipe.get("init") or "")
        method = f"{place.method} ({own})" if own else place.method
        rows.append(TableRow((name, method, began, Cell(str(place.epochs), place.epochs), came_to)))
    columns = ("folder", "method", "first weights", "epochs", f"the found network, {_judged_by(record)}")
    return table(columns, rows, words=("folder", "method", "first weights"))


def _judged_by(record: Record) -> str:
    names = dict.fromkeys(place.metric.column for place in record.places.values())
    return " or ".join(names)


def _network_name(folder: str) -> str:
    """`uniform ca` of `uniform-ca-0`."""
    name, _, seed = folder.rpartition("-")
    return (name if seed.isdigit() else folder).replace("-", " ")


def _look(folder: str) -> str:
    """A name for CSS: of the found network, of a kind of attention, or of anything else."""
    found = group(_network_name(folder))
    return found if found in (FOUND, OTHER) else f"kind-{found}"


def _key(look: str, others: set[str]) -> str:
    """What the lines of a look are of: a kind's ratios look alike, and a point says which it is."""
    if look == OTHER:
        return "others" if len(others) > 1 else min(others)
    return look if look == FOUND else f"uniform {look.removeprefix('kind-')}"


def _stroke(look: str) -> str:
    return {FOUND: "var(--ink)", OTHER: "var(--ink)"}.get(look, f"var(--{look})")


def _rules(look: str) -> str:
    name, stroke = f"line-{look}", _stroke(look)
    # Another network's is unlike any kind's, and above all unlike none's.
    widths = {FOUND: "stroke-width:3", OTHER: "stroke-width:1.6;stroke-dasharray:7 4"}
    width = widths.get(look, "opacity:.85")
    dots = f"circle.{name}{{stroke:none}}circle.alone.{name}{{fill:{stroke}}}"
    return f".{name}{{stroke:{stroke};{width}}}{dots}"
