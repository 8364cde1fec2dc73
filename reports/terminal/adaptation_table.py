"""Tables of what a network makes of pictures before and after it was adapted to them."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from foundation.metric import ACCURACY
from reports.terminal.tables import plain_table
from training.adaptation.adapt import Stand

CLASSES_SHOWN = 30


def stands_table(stands: Sequence[Stand], classes: Sequence[str], title: str) -> Table:
    """A row a network: mean entropy, the largest and the smallest share of a class, accuracy where there are labels."""
    known = stands[0].accuracy is not None
    columns = ("network", "mean entropy", "largest share", "smallest share", *(("accuracy",) if known else ()))
    table = plain_table(title, columns)
    for one in stands:
        table.add_row(
            one.name,
            f"{one.entropy:.4f}",
            *(_named(one, choose, classes) for choose in (max, min)),
            *((ACCURACY.written(one.accuracy),) if one.accuracy is not None else ()),
        )
    return table


def shares_table(stands: Sequence[Stand], classes: Sequence[str], true: Sequence[float] | None) -> Table:
    """A row a class: its share among each network's predictions, and how much of it each recognises, if labels say so.

    Of many classes those whose share changes most from the first network to the last.

    Args:
        true: the classes' own shares, where there are labels.
    """
    first, last = stands[0], stands[-1]
    order = sorted(range(len(classes)), key=lambda index: -abs(last.shares[index] - first.shares[index]))
    many = len(classes) > CLASSES_SHOWN
    title = f"the {CLASSES_SHOWN} of {len(classes)} classes whose shares change most" if many else "share of each class"
    recalled = [one for one in (first, last) if one.recalls is not None]
    columns = ("class", *(("labels",) if true else ()), *(one.name for one in stands))
    table = plain_table(title, (*columns, *(f"right, {one.name}" for one in recalled)))
    for index in order[:CLASSES_SHOWN] if many else range(len(classes)):
        table.add_row(
            Text(classes[index]),
            *((_percent(true[index]),) if true else ()),
            *(_percent(one.shares[index]) for one in stands),
            *(_percent(one.recalls[index] if one.recalls else None) for one in recalled),
        )
    return table


def _named(one: Stand, choose: object, classes: Sequence[str]) -> Text:
    number = (max if choose is max else min)(range(len(classes)), key=lambda index: one.shares[index])
    return Text(f"{_percent(one.shares[number])} ({classes[number]})")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
