"""How `evaluate.py` sets networks beside simulated neurons: what its flags ask for, and what it tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.settings import EvaluateSettings
from deployment.choices import NEURON_BUDGETS, NEURON_PICTURES
from deployment.model_source import Model
from deployment.neurons import Hidden, Study, studied
from foundation.errors import InputError
from foundation.files import write_text
from foundation.printed import printable
from foundation.progress import Reporter
from reports.html.neurons_page import REPORT, neurons_page
from reports.notation import SIMULATED
from reports.terminal.changed_pictures import draw_changed
from reports.terminal.deployed_tables import neurons_lines, neurons_table
from training.data.datasets import Dataset

PICTURE = "neurons.png"
FILES = (PICTURE, REPORT)


@dataclass(frozen=True)
class NeuronPlan:
    """What the flags ask for.

    Attributes:
        budgets: bounds on the mean squared change.
        pictures: how many are changed.
    """

    budgets: tuple[float, ...]
    pictures: int


def neurons_planned(settings: EvaluateSettings) -> NeuronPlan | None:
    """What is asked for; None for no neurons. Raises InputError for flags that have nothing to do."""
    if not settings.neurons:
        if settings.budgets is not None:
            told = ",".join(f"{budget:g}" for budget in settings.budgets)
            raise InputError(f"`budgets` {told}: for changes towards simulated neurons; add `neurons`")
        return None
    if settings.latency:
        raise InputError("`neurons`: a test, and `latency` measures times without one; leave one of them out")
    if settings.pictures == 1:
        raise InputError("`pictures` 1: the neurons' variance needs two; give 2 or more, or leave it out")
    return NeuronPlan(settings.budgets or NEURON_BUDGETS, settings.pictures or NEURON_PICTURES)


def beside_neurons(
    name: str,
    model: Model,
    data: Dataset,
    plan: NeuronPlan,
    hidden: Hidden,
    folder: Path,
    settings: EvaluateSettings,
    reporter: Reporter,
) -> Study:
    """What the network comes to; writes pictures and a page into the folder."""
    study = studied(
        model,
        data,
        getattr(data, settings.split),
        hidden,
        folder,
        name=name,
        part=settings.split,
        budgets=plan.budgets,
        pictures=plan.pictures,
        reporter=reporter,
    )
    title = printable(f"{SIMULATED}, {name}: neuron-guided, MSE ≤ {study.shown:g}")
    draw_changed(study.examples, title, folder / PICTURE)
    write_text(folder / REPORT, neurons_page(name, data.name, study, folder / PICTURE))
    return study


def show_neurons(studies: Sequence[tuple[str, Study]], of: str, split: str, reporter: Reporter) -> None:
    """For each network a table under a heading that says what the neurons are, and lines on the pictures as they are.

    Args:
        of: the data's name.
    """
    for name, study in studies:
        title = f"{SIMULATED} (no animal's), {name}; {of}: {study.pictures} {split} pictures taken for another category"
        reporter.show(neurons_table(study, title))
        for line in neurons_lines(study):
            reporter.say(line)
