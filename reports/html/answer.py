"""The first screen: the question, the network that won, and how it does beside hand-designed ones."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from foundation.amounts import human, milliseconds
from foundation.errors import InputError
from foundation.metric import Metric
from reports.html.drawing import kinds_of, legend, scrolled
from reports.html.markup import Markup, concatenated, element, text
from reports.html.page import Cell, TableRow, command_block, figures, paragraph, table, titled
from reports.html.palette import short
from reports.notation import attention_by_stage, listed, mean, plural
from reports.record import Record
from reports.terminal.comparison import Lead
from reports.trainings import Place, Retrained
from search_space.cost.cost import Budget
from studies.trials import Candidate

FOUND, RANDOM = "found", "random"
MOST_DIFFERENCES = 4


def question(record: Record) -> str:
    """What the run was to find."""
    bounds = Budget(**{f"max_{name}": bound for name, bound in record.bounds.items()})
    within = f" within {bounds}".replace(" MACs", "\N{NO-BREAK SPACE}MACs") if record.bounds else ""
    data = f" for {record.data}" if record.data else ""
    if record.identity:
        return f"Which network{within} is best{data}?"
    return f"What do these networks come to{data}?"


def answer(record: Record) -> list[Markup]:
    """The first screen: question, best architecture, its numbers, and the hand-designed networks of the same cost."""
    parts = [element("h1", text(question(record)))]
    place, means = trained_beside(record)
    if record.best is None:
        if record.identity:
            parts.append(paragraph("The search has not finished: start the same command again, and it goes on."))
        elif means:
            parts += [_first_of(record, place, means), _beside(record, place, means)]
        return parts
    best = record.best
    parts.append(element("p", _what_won(record, best), class_="lead"))
    cost = best.cost
    bound = record.bounds.get("macs")
    of_budget = f" · {100 * cost.macs / bound:.0f} % of the budget" if bound else ""
    shown_figures = []
    if FOUND in means:
        shown_figures.append((_trained(record, place), _mean(record, place, means[FOUND])))
    elif record.decided is not None:  # what it comes to by itself says more than a score does
        first, decided = record.decided.finals[0], record.decided
        epochs = decided.epochs[len(first.rungs) - 1]
        told = f"validation {decided.metric.column} by itself, {epochs} {plural('epoch', epochs)}"
        shown_figures.append((told, decided.metric.written(first.rungs[-1])))
    by = record.title.figure or f"{record.title.number} in the search"
    shown_figures += [(by, record.metric.written(best.score)), (f"MACs{of_budget}", human(cost.macs))]
    shown_figures.append(("parameters", human(cost.params)))
    if cost.latency_ns:
        shown_figures.append(("latency", milliseconds(cost.latency_ns)))
    parts.append(figures(shown_figures))
    parts.append(scrolled(best.architecture, "The best architecture", record.head))
    parts.append(element("div", legend(kinds_of([best.architecture])), class_="scroll"))
    parts.append(_beside(record, place, means))
    return parts


def _what_won(record: Record, best: Candidate) -> Markup:
    stages = best.architecture.stage_rows()
    where: dict[str, list[str]] = defaultdict(list)
    for number, stage in enumerate(stages, 1):
        for kind in dict.fromkeys(attention.kind for attention in stage.attention if attention.kind != "none"):
            where[kind].append(str(number))
    told = [f"{short(kind)} at {_stages(numbers)}" for kind, numbers in where.items()]
    attention = f"It has {'; '.join(told)}." if told else "It has no attention anywhere."
    evaluated = len(record.evaluated)
    among = f"This one: the best of {evaluated:,} evaluated" if evaluated else "This one"
    finals = record.decided.finals if record.decided else ()
    last = f", and of {len(finals)} finalists trained by themselves" if len(finals) > 1 else ""
    return text(f"{among}{_of_how_many(record)}{last}. {attention}")


def _stages(numbers: Sequence[str]) -> str:
    return f"stage{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def _of_how_many(record: Record) -> str:
    space = record.space
    if space is None or not set(record.bounds) <= {"macs", "params"}:
        return ""
    try:
        low, high = space.within(Budget(record.bounds.get("macs"), record.bounds.get("params"))).count()
    except InputError:
        return ""
    exact = f"{low:,}" if low == high < 10**6 else f"about {human(high)}"
    return f", out of {exact} within the budget"


def trained_beside(record: Record) -> tuple[str, dict[str, list[Retrained]]]:
    """The folder in which the best network was trained longest, and what was trained there, by name, one a seed.

    The best is named `found`. Of folders with as many epochs it is the newest; where the best has not been trained,
    any folder. Trainings of other folders can have other recipes, and are no more seeds.
    """
    places = _places(record)
    if not places:
        return "", {}
    return places[0], _networks(record, places[0])


def _places(record: Record) -> list[str]:
    """The folders in which the best was trained, or all where it was in none; the one to speak of first."""
    best = _digest(record)
    of_best = {one.place for one in record.retrained if one.architecture.digest() == best}
    return record.longest(of_best or {one.place for one in record.retrained})


def _digest(record: Record) -> str | None:
    return record.best.architecture.digest() if record.best is not None else None


def _networks(record: Record, place: str) -> dict[str, list[Retrained]]:
    """What was trained in the folder, by name, one a seed."""
    best = _digest(record)
    front = {one.architecture.digest(): number for number, one in enumerate(record.front, 1)}
    found: dict[str, list[Retrained]] = defaultdict(list)
    for one in record.retrained:
        digest = one.architecture.digest()
        name = one.network
        if digest == best:
            name = FOUND
        elif record.identity and name in (FOUND, "given"):  # of another file, or of a search that has gone on since
            name = f"network {front[digest]} of the front" if digest in front else f"{name}, {digest[:6]}"
        if one.place == place:
            found[name].append(one)
    return dict(found)


def _trained(record: Record, place: str) -> str:
    """What a number of the folder's trainings is."""
    return f"test {record.place(place).metric.column}, trained from scratch{_for_epochs(record, place)}"


def _for_epochs(record: Record, place: str) -> str:
    epochs = record.place(place).epochs
    return f" for {epochs:,} {plural('epoch', epochs)}" if epochs else ""


def _elsewhere(record: Record, place: str) -> list[Markup]:
    """A line for each other folder: what its networks come to, and how its recipe differs."""
    lines = []
    for other in _places(record):
        if other == place:
            continue
        told = []
        for name, runs in _networks(record, other).items():
            seeds = f"{len(runs)} {plural('seed', len(runs))}"
            told.append(f"{name} {_mean(record, other, runs)} ({seeds})")
        changed = _changed(record.place(place), record.place(other))
        lines.append(
            paragraph(
                text(
                    f"Trained apart in {other}{_for_epochs(record, other)}{f' ({changed})' if changed else ''}, so not "
                    f"averaged with these: {', '.join(told)}."
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


def _mean(record: Record, place: str, runs: Sequence[Retrained]) -> str:
    return mean(record.place(place).metric, [one.value for one in runs])


def _first_of(record: Record, place: str, means: dict[str, list[Retrained]]) -> Markup:
    name, trained = next(iter(means.items()))
    cost = trained[0].cost
    return concatenated(
        figures(
            [
                (_trained(record, place), _mean(record, place, trained)),
                ("MACs", human(cost.macs)),
                ("parameters", human(cost.params)),
            ]
        ),
        scrolled(trained[0].architecture, name, None),
    )


def _beside(record: Record, place: str, means: dict[str, list[Retrained]]) -> Markup:
    """The found network beside the others of the folder, which were trained by the same recipe."""
    elsewhere = _elsewhere(record, place)
    leads, metric = record.place(place).leads, record.place(place).metric
    others = [name for name in means if name != FOUND]
    if not means or (FOUND in means and not others):
        apart = any(len(_networks(record, other)) > 1 for other in _places(record) if other != place)
        todo = (
            f"Not yet compared{' by this recipe' if apart else ''}: how it does beside hand-designed networks of the "
            "same cost, each trained from scratch, is what the next command measures."
        )
        asked = command_block(f"python retrain.py {record.retraining}")
        return concatenated(element("div", paragraph(text(todo)), asked, class_="note"), *elsewhere)
    averages = {name: statistics.mean(one.value for one in trained) for name, trained in means.items()}
    merits = {name: metric.merit(average) for name, average in averages.items()}
    designed = [name for name in others if name != RANDOM]
    sentence = ""
    if FOUND in averages and designed:
        best = max(designed, key=lambda name: merits[name])
        few = "differences of a percent" if metric.is_share else "small differences"
        once = f" One seed: {few} are within what another gives." if len(means[FOUND]) == 1 else ""
        ahead_by = metric.difference(merits[FOUND] - merits[best])
        sentence = (
            f"Trained from scratch{_for_epochs(record, place)} by the same recipe, it is {ahead_by} "
            f"against the best of the hand-designed networks, {best}{_sure(leads.get(best), metric)}.{once}"
        )
    rows = []
    for name in sorted(means, key=lambda name: -merits[name]):
        runs = means[name]
        cost = runs[0].cost
        rows.append(
            TableRow(
                (
                    name,
                    Cell(_mean(record, place, runs), averages[name]),
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
    heading = "Beside hand-designed networks" if len(means) > 1 else "Trained from scratch"
    recipe = _recipe(record.place(place))
    by = [paragraph(text(f"The recipe of {place}: {recipe}."))] if recipe else []
    return concatenated(
        titled(heading, paragraph(text(sentence)) if sentence else Markup("")),
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
