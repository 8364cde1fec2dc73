"""The first screen: the question, the network that won, and how it does beside hand-designed ones."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from foundation.amounts import about, human, milliseconds
from foundation.errors import InputError
from reports.html.beside import beside, for_epochs, mean_of
from reports.html.drawing import kinds_of, legend, scrolled
from reports.html.markup import Markup, concatenated, element, text
from reports.html.page import figures, paragraph
from reports.notation import listed, plural
from reports.palette import FOUND, short
from reports.record import Record
from reports.remarks import remarks
from reports.trainings import Retrained
from reports.uncertainty import error_of, error_of_measured, with_error
from reports.verdict import Rival, finalist_epochs, is_early, rival, told, trained_beside
from search_space.cost.cost import Budget
from studies.trials import Candidate


def _pictures(record: Record) -> str:
    """The data in words: of a folder of a user's own its name, since it has no other."""
    kind, _, path = str(record.free.get("data") or "").partition(":")
    own = Path(path).name if record.data == kind == "folder" else ""
    return f"the pictures in {own}" if own else str(record.data)


def question(record: Record) -> str:
    """What the run was to find."""
    bounds = Budget(**{f"max_{name}": bound for name, bound in record.bounds.items()})
    within = f" within {bounds}".replace(" MACs", "\N{NO-BREAK SPACE}MACs") if record.bounds else ""
    data = f" for {_pictures(record)}" if record.data else ""
    if record.identity:
        return f"Which network{within} is best{data}?"
    return f"What do these networks come to{data}?"


def answer(record: Record) -> list[Markup]:
    """The first screen: question, best architecture, its numbers, and the hand-designed networks of the same cost."""
    parts = [element("h1", text(question(record)))]
    place, found = trained_beside(record)
    if record.best is None:
        if record.identity:
            parts.append(paragraph("The search has not finished: start the same command again, and it goes on."))
        elif found:
            parts += [_first_of(record, place, found), beside(record, place, found)]
        return parts
    best, against = record.best, rival(record)
    parts.append(element("p", _what_won(record, best, against), class_="lead"))
    if against is not None:
        parts.append(element("div", paragraph(text(told(record, against))), class_="note"))
    parts.append(figures(_figures(record, best, place, found)))
    parts += [paragraph(text(f"{said[0].upper()}{said[1:]}.")) for said in remarks(record)]
    parts.append(scrolled(best.architecture, "The best architecture", record.head))
    parts.append(element("div", legend(kinds_of([best.architecture])), class_="scroll"))
    parts.append(beside(record, place, found))
    return parts


def _figures(record: Record, best: Candidate, place: str, found: dict[str, list[Retrained]]) -> list[tuple[str, str]]:
    """What the best comes to, by its longest training where there is one, and what it costs."""
    shown = []
    if FOUND in found and not is_early(record, place):
        shown.append((_trained(record, place), mean_of(record, place, found[FOUND])))
    elif record.decided is not None:  # what it comes to by itself says more than a score does
        epochs, metric = finalist_epochs(record), record.decided.metric
        by_itself = f"validation {metric.column} by itself, {epochs} {plural('epoch', epochs)}"
        value = record.decided.finals[0].rungs[-1]
        shown.append((by_itself, with_error(metric, value, error_of(metric, value, record.pictures("validation")))))
    by = record.title.figure or f"{record.title.number} in the search"
    cost, bound = best.cost, record.bounds.get("macs")
    of_budget = f" · {100 * cost.macs / bound:.0f} % of the budget" if bound else ""
    scored = with_error(record.metric, best.score, error_of_measured(best.measured, record.scored_pictures))
    shown += [(by, scored), (f"MACs{of_budget}", human(cost.macs))]
    shown.append(("parameters", human(cost.params)))
    if cost.latency_ns:
        shown.append(("latency", milliseconds(cost.latency_ns)))
    return shown


def _what_won(record: Record, best: Candidate, against: Rival | None) -> Markup:
    stages = best.architecture.stage_rows()
    where: dict[str, list[str]] = defaultdict(list)
    for number, stage in enumerate(stages, 1):
        for kind in dict.fromkeys(attention.kind for attention in stage.attention if attention.kind != "none"):
            where[kind].append(str(number))
    told_kinds = [f"{short(kind)} at {_stages(numbers)}" for kind, numbers in where.items()]
    attention = f"It has {'; '.join(told_kinds)}." if told_kinds else "It has no attention anywhere."
    evaluated = len(record.evaluated)
    trial = record.trials.get(best.architecture.digest())
    this = (
        f"{'This one' if against is None else 'The search says this one'}{'' if trial is None else f' (trial {trial})'}"
    )
    among = f"{this}: the best of {evaluated:,} evaluated" if evaluated else this
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
    return f", out of {about(low, high)} within the budget"


def _trained(record: Record, place: str) -> str:
    """What a number of the folder's trainings is."""
    trained = record.place(place)
    return f"test {trained.metric.column}, {trained.begun}{for_epochs(record, place)}"


def _first_of(record: Record, place: str, found: dict[str, list[Retrained]]) -> Markup:
    name, trained = next(iter(found.items()))
    cost = trained[0].cost
    return concatenated(
        figures(
            [
                (_trained(record, place), mean_of(record, place, trained)),
                ("MACs", human(cost.macs)),
                ("parameters", human(cost.params)),
            ]
        ),
        scrolled(trained[0].architecture, name, None),
    )
