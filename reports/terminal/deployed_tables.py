"""Tables of what trained networks come to: in a test, by class, under attack, in time, in integers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from deployment.compared_latency import Spread
from deployment.evaluation import Evaluation
from deployment.neurons import Study
from deployment.precisions import Precision
from deployment.robustness import Robustness
from foundation.amounts import human, milliseconds
from foundation.metric import ACCURACY, spelled
from reports.notation import SIMULATED, attention_by_stage
from reports.terminal.tables import plain_table
from reports.uncertainty import error_of, with_error
from search_space.architecture import Architecture
from search_space.cost.cost import measure
from search_space.head import Head

CLASSES_SHOWN = 30
_ATTENTION = "attention by stage"


class EvaluationRow(NamedTuple):
    """A trained network on pictures with targets."""

    name: str
    architecture: Architecture
    head: Head
    evaluation: Evaluation


def evaluation_table(rows: Sequence[EvaluationRow], title: str) -> Table:
    """Networks in the order given: what their task tells of a test where any has it, and costs."""
    told = [_told(row.evaluation) for row in rows]
    headings = list(dict.fromkeys(heading for own in told for heading in own))
    table = plain_table(title, ("network", *headings, "MACs", "params", _ATTENTION))
    for row, own in zip(rows, told, strict=True):
        cost = measure(row.architecture, row.head)
        table.add_row(
            Text(row.name),
            *(own.get(heading, "") for heading in headings),
            human(cost.macs),
            human(cost.params),
            attention_by_stage(row.architecture),
        )
    return table


def _told(evaluation: Evaluation) -> dict[str, str]:
    """By heading what there is of it; an accuracy with the standard error that so many pictures leave."""
    found, metric = evaluation.examination, evaluation.measured.metric
    own = {entry.heading: entry.written for entry in found.entries if entry.value is not None}
    measured = next((entry for entry in found.entries if entry.name == metric.name), None)
    if measured is not None and measured.value is not None:
        error = error_of(metric, measured.value, found.pictures)
        own[measured.heading] = measured.written if error is None else with_error(metric, measured.value, error)
    return own


def robustness_table(rows: Sequence[tuple[str, Robustness]], title: str) -> Table:
    """Networks in the order given, under attacks: accuracy without one, under each, and under the worst.

    The last column is the share of the pictures that no attack makes wrong.
    """
    names = list(dict.fromkeys(name for _, found in rows for name in found.attacks))
    table = plain_table(title, ("network", "natural", *names, "worst"))
    for name, found in rows:
        under = {attack: ACCURACY.written(value) for attack, value in found.accuracies.items()}
        own = (under.get(attack, "") for attack in names)
        table.add_row(Text(name), ACCURACY.written(found.natural_accuracy), *own, ACCURACY.written(found.worst))
    return table


def masking_line(found: Robustness) -> str:
    """Whether gradients mislead, in words: a network may seem robust only because they show an attack no way."""
    black, white = found.by_queries, found.by_gradients
    if black is None or white is None:
        return "gradient masking: not looked for, which takes an attack without gradients beside one by them"
    if not found.masked:
        return "gradient masking: none seen"
    low, high = (ACCURACY.written(found.accuracies[name]) for name in (black, white))
    return f"gradient masking: suspected ({black} {low} is below {white} {high})"


def neurons_table(study: Study, title: str) -> Table:
    """By attack and budget the share of pictures that simulated neurons take for the target category.

    Below it the explained variance on the neuron-guided ones.
    """
    table = plain_table(title, ("changed by", *(f"MSE {budget:g}" for budget in study.budgets)))
    for name, shares in study.taken.items():
        table.add_row(name, *(ACCURACY.written(share) for share in shares))
    table.add_section()
    table.add_row("explained, neuron-guided", *(f"{value:.4f}" for value in study.explained_on_changed))
    return table


def neurons_lines(study: Study) -> list[str]:
    """What is told of the clean pictures, and how well shares are known."""
    return [
        f"{SIMULATED}: explained variance {study.explained:.4f}, noise ceiling {study.ceiling:.4f}, ratio "
        f"{study.share:.4f}",
        f"{SIMULATED}: their linear decoder knows {ACCURACY.written(study.decoded)} of the pictures as they are, and "
        f"takes {ACCURACY.written(study.at_rest)} for the target; shares of {study.pictures} are known to "
        f"± {100 * study.error:.0f} points at most",
    ]


def class_table(evaluation: Evaluation) -> Table:
    """Each class: how much there is of it, the task's shares, and what it is taken for most often if not for itself.

    Of many classes those of which the first share is the lowest. The task has to tell of classes.
    """
    known = evaluation.by_class
    assert known is not None
    first, *_ = known.shares
    numbers = sorted(range(len(evaluation.classes)), key=lambda index: known.shares[first][index] or 0.0)
    many = len(numbers) > CLASSES_SHOWN
    title = f"the {CLASSES_SHOWN} of {len(numbers)} classes with the lowest {spelled(first)}" if many else None
    taken = ("also taken for",) if known.confusion is not None else ()
    table = plain_table(title, ("class", known.unit, *map(spelled, known.shares), *taken))
    for index in numbers[:CLASSES_SHOWN] if many else sorted(numbers):
        mistaken = evaluation.mistaken(index)
        table.add_row(
            Text(evaluation.classes[index]),  # a name may have what is markup in a plain string
            str(known.counts[index]),
            *(_share(values[index]) for values in known.shares.values()),
            *((Text(f"{mistaken[0]} ({mistaken[1]})" if mistaken else ""),) if taken else ()),
        )
    return table


def latency_table(
    networks: Sequence[tuple[str, Architecture]], times: Mapping[tuple[str, str], Spread], title: str
) -> Table:
    """For each runtime the networks in the order given: median time of one picture, quartiles, ratio to the first."""
    table = plain_table(title, ("runtime", "network", "pixels", "median", "quartiles", "ratio"))
    for runtime in dict.fromkeys(runtime for _, runtime in times):
        first = times[networks[0][0], runtime].median
        for name, architecture in networks:
            found = times[name, runtime]
            table.add_row(
                runtime if name == networks[0][0] else "",
                Text(name),
                str(architecture.resolution),
                milliseconds(found.median),
                _quartiles(found),
                f"{found.median / first:.2f}",
            )
        table.add_section()
    return table


def precision_table(rows: Sequence[Precision], title: str) -> Table:
    """A network's files by how it is represented: accuracy, time of one picture with quartiles, size."""
    table = plain_table(title, ("network", "top-1", "loss", "median", "quartiles", "file"))
    for row in rows:
        table.add_row(
            row.name,
            ACCURACY.written(row.evaluation.measured.value),
            f"{row.evaluation.measured.beside['loss']:.4f}",
            milliseconds(row.time.median),
            _quartiles(row.time),
            f"{row.size / 1000:.0f} kB",
        )
    return table


def _quartiles(found: Spread) -> str:
    return f"{milliseconds(found.low).removesuffix(' ms')} – {milliseconds(found.high)}"


def _share(share: float | None) -> str:
    return "" if share is None else ACCURACY.written(share)
