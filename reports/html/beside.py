"""The networks that were trained beside the found one: their table, and the command that makes it."""

from collections.abc import Sequence

from foundation.amounts import human
from foundation.metric import Metric
from reports.html.markup import Markup, concatenated, element, text
from reports.html.page import Cell, TableRow, command_block, paragraph, table, titled
from reports.notation import attention_by_stage, mean, plural
from reports.palette import FOUND
from reports.record import Record
from reports.terminal.comparison import Lead
from reports.trainings import Place, Retrained
from reports.uncertainty import error_of, with_error
from reports.verdict import RANDOM, comparing, is_early, means, networks, places

MOST_DIFFERENCES = 4


def for_epochs(record: Record, place: str) -> str:
    """For how long the folder's networks were trained, where that is known."""
    epochs = record.place(place).epochs
    return f" for {epochs:,} {plural('epoch', epochs)}" if epochs else ""


def _elsewhere(record: Record, place: str) -> list[Markup]:
    """A line for each other folder: what its networks come to, and how its recipe differs."""
    lines = []
    for other in places(record):
        if other == place:
            continue
        told = []
        for name, runs in networks(record, other).items():
            seeds = f"{len(runs)} {plural('seed', len(runs))}"
            told.append(f"{name} {mean_of(record, other, runs)} ({seeds})")
        changed = _changed(record.place(place), record.place(other))
        lines.append(
            paragraph(
                text(
                    f"The folder {other} has other trainings{for_epochs(record, other)}"
                    f"{f' ({changed})' if changed else ''}, which the numbers above leave out: {', '.join(told)}."
                )
            )
        )
    return lines


def _changed(here: Place, there: Place) -> str:
    """In what the other recipe differs, but for its epochs: `learning rate 0.1 for 0.2, …`."""
    if not here.recipe or not there.recipe:
        return ""
    names = [name for name in here.recipe if name != "epochs" and here.recipe[name] != there.recipe.get(name)]
    told = [f"{name.replace('_', ' ')} {there.recipe.get(name)} for {here.recipe[name]}" for name in names]
    return ", ".join(told[:MOST_DIFFERENCES] + ["…"] * (len(told) > MOST_DIFFERENCES))


def _recipe(place: Place) -> str:
    """The main settings of a recipe in words."""
    parts = [
        (f"{place.epochs:,} {plural('epoch', place.epochs)}", place.epochs),
        (f"batches of {place.recipe.get('batch_size')}", place.recipe.get("batch_size")),
        (f"learning rate {place.recipe.get('learning_rate')}", place.recipe.get("learning_rate")),
        (f"weights from {place.recipe.get('init')}", place.recipe.get("init") not in (None, "scratch")),
        (f"teacher {place.recipe.get('teacher')}", place.recipe.get("teacher")),
    ]
    return ", ".join(words for words, known in parts if known)


def mean_of(record: Record, place: str, runs: Sequence[Retrained]) -> str:
    """The mean over the seeds, with their standard deviation; of one seed, with the standard error of the pictures."""
    metric, pictures = record.place(place).metric, record.place(place).pictures
    if len(runs) == 1:
        return with_error(metric, runs[0].value, error_of(metric, runs[0].value, pictures))
    return mean(metric, [one.value for one in runs])


def beside(record: Record, place: str, found: dict[str, list[Retrained]]) -> Markup:
    """The found network beside the others of the folder, which were trained by the same recipe."""
    elsewhere = _elsewhere(record, place)
    leads, metric = record.place(place).leads, record.place(place).metric
    others = [name for name in found if name != FOUND]
    if not found or (FOUND in found and not others):
        return concatenated(_not_yet(record, place), *elsewhere)
    averages = means(found)
    merits = {name: metric.merit(average) for name, average in averages.items()}
    designed = [name for name in others if name != RANDOM]
    sentence = ""
    if FOUND in averages and designed:
        best = max(designed, key=lambda name: merits[name])
        few = "differences of a percent" if metric.is_share else "small differences"
        once = f" One seed: {few} are within what another gives." if len(found[FOUND]) == 1 else ""
        ahead_by = metric.difference(merits[FOUND] - merits[best])
        sentence = (
            f"{record.place(place).begun.capitalize()}{for_epochs(record, place)} by the same recipe, it is {ahead_by} "
            f"against the best of the hand-designed networks, {best}{_sure(leads.get(best), metric)}.{once}"
        )
    rows = []
    for name in sorted(found, key=lambda name: -merits[name]):
        runs = found[name]
        cost = runs[0].cost
        rows.append(
            TableRow(
                (
                    name,
                    Cell(mean_of(record, place, runs), averages[name]),
                    *([_ahead(leads.get(name), metric)] if leads else []),
                    Cell(str(len(runs)), len(runs)),
                    Cell(human(cost.macs), cost.macs),
                    Cell(human(cost.params), cost.params),
                    attention_by_stage(runs[0].architecture),
                ),
                look="found" if name == FOUND else None,
            )
        )
    ahead = ("found is ahead by",) if leads else ()
    columns = ("network", f"test {metric.column}", *ahead, "seeds", "MACs", "params", "attention by stage")
    heading = "Beside hand-designed networks" if len(found) > 1 else record.place(place).begun.capitalize()
    early = f", after {record.place(place).epochs} epochs: a look" if is_early(record, place) else ""
    recipe = _recipe(record.place(place))
    by = [paragraph(text(f"The recipe of {place}: {recipe}."))] if recipe else []
    return concatenated(
        titled(f"{heading}{early}", paragraph(text(sentence)) if sentence else Markup("")),
        table(columns, rows, words=("network", "attention by stage")),
        *by,
        *elsewhere,
    )


def _sure(lead: Lead | None, metric: Metric) -> str:
    """How sure a lead is, in brackets."""
    if lead is None:
        return ""
    known = []
    if lead.half_width is not None:
        ends = (lead.difference - lead.half_width, lead.difference + lead.half_width)
        known.append(f"95 % interval {metric.signed(ends[0])} to {metric.signed(ends[1])}")
    if lead.p is not None:
        known.append(f"p {_p(lead.p)}")
    return f" ({', '.join([*known, lead.test])})" if known else ""


def _ahead(lead: Lead | None, metric: Metric) -> Cell:
    """A lead in a table, in the metric's steps."""
    if lead is None:
        return Cell("", 0.0)
    half = "" if lead.half_width is None else f" ± {metric.number(lead.half_width)}"
    return Cell(f"{metric.signed(lead.difference)}{half}", lead.difference)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"


def _not_yet(record: Record, place: str) -> Markup:
    """That nothing was trained beside the network by this recipe, and the command that does it."""
    apart = any(len(networks(record, other)) > 1 for other in places(record) if other != place)
    command = comparing(record, place)
    todo = (
        f"Not yet compared{' by this recipe' if apart else ''}: how it does beside hand-designed networks of the same "
        f"cost, {record.place(place).begun}, is what "
    )
    if command is None:
        last = f"the command of the training in {place} measures, given again with --compare."
        return element("div", paragraph(text(todo + last)), class_="note")
    return element("div", paragraph(text(f"{todo}the next command measures.")), command_block(command), class_="note")
