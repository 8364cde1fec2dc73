"""What a dry run of a retraining says."""

from collections.abc import Callable, Mapping

from commands.compare import Foreseen
from commands.recipes import RetrainSettings
from foundation.progress import Reporter
from reports.terminal.plan import show_retraining
from search_space.architecture import Architecture
from training.data.dataset import Dataset
from training.procedure import Procedure


def say_plan(
    networks: Mapping[str, Architecture],
    load: Callable[[int], Dataset],
    procedure: Procedure,
    settings: RetrainSettings,
    reporter: Reporter,
    behind: Callable[[str, Architecture, int], int],
    foreseen: Foreseen,
) -> None:
    """What the trainings of the networks cost, and how long what is left of them takes here.

    Args:
        load: reads the pictures of a side.
        behind: how many epochs there are already of a network's training, by its name and the seed.
        foreseen: what has chosen the networks.
    """
    seeds = range(settings.seed, settings.seed + settings.seeds)
    show_retraining(
        networks,
        {architecture.resolution: load(architecture.resolution) for architecture in networks.values()},
        procedure,
        settings.seeds,
        reporter,
        behind={name: sum(behind(name, one, seed) for seed in seeds) for name, one in networks.items()},
    )
    if foreseen.missing:
        trainings = f"{foreseen.missing} trainings of {foreseen.epochs} epochs each"
        reporter.say(f"before:  {trainings}, to choose the ratio of each attention")
