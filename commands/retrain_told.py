"""What a dry run of a retraining says."""

from collections.abc import Callable, Mapping

from commands.compare import Foreseen
from commands.recipes import RetrainSettings
from foundation.progress import Reporter
from reports.terminal.plan import show_retraining
from search_space.architecture import Architecture
from training.data.dataset import Dataset
from training.methods.settings import ChosenMethod
from training.recipe import Recipe
from training.standalone import Teaching
from training.task import Task


def say_plan(
    networks: Mapping[str, Architecture],
    load: Callable[[int], Dataset],
    recipe: Recipe,
    task: Task,
    settings: RetrainSettings,
    reporter: Reporter,
    teaching: Teaching | None,
    method: ChosenMethod,
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
        recipe,
        settings.seeds,
        reporter,
        teaching.predict if teaching else None,
        adapt=settings.micro_batch == "auto",
        task=task,
        method=method,
        behind={name: sum(behind(name, one, seed) for seed in seeds) for name, one in networks.items()},
    )
    if foreseen.missing:
        trainings = f"{foreseen.missing} trainings of {foreseen.epochs} epochs each"
        reporter.say(f"before:  {trainings}, to choose the ratio of each attention")
