"""What a part of a network's input adds: the same test on pictures that differ in it alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from deployment.evaluation import Evaluation
from deployment.model_source import Model
from foundation.errors import InputError
from foundation.progress import Reporter
from reports.terminal.contrast_table import contrast_table
from training.data.dataset import Dataset
from training.task import Contrasting


class Contrast(NamedTuple):
    """A network's test beside others: what is different in them, and what each comes to."""

    name: str
    usual: Evaluation
    others: Mapping[str, Evaluation]


def contrasted(
    name: str,
    model: Model,
    spec: str,
    usual: Evaluation,
    load: Callable[[str], Dataset],
    test: Callable[[Dataset], Evaluation],
    say: Callable[[str], None],
) -> Contrast | None:
    """The network on what its task sets beside these pictures; None for a task that sets nothing beside.

    Nobody asked for it: what cannot be made of these pictures is left out, and a line says so.

    Args:
        load: the pictures of a spec.
        test: the network on such.
    """
    if not isinstance(model.task, Contrasting):
        return None
    others = {}
    for what, other in model.task.contrasts(spec).items():
        try:
            others[what] = test(load(other))
        except InputError as error:
            say(f"{name}: {what} is left out: {error}")
    return Contrast(name, usual, others)


def to_dict(contrast: Contrast) -> dict[str, dict[str, float | None]]:
    """For JSON: the numbers of each test, by what is different in it."""
    return {
        what: {entry.name: entry.value for entry in other.examination.entries}
        for what, other in contrast.others.items()
    }


def show_contrasts(found: Sequence[Contrast], reporter: Reporter) -> None:
    """A table of each network: what the test comes to otherwise, and by how much it is lower or higher then."""
    for contrast in found:
        if contrast.others:
            reporter.show(contrast_table(contrast.name, contrast.usual, contrast.others))
