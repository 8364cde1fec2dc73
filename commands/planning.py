"""What is planned from the number of training pictures: a search's trainings, and a retraining's."""

from dataclasses import fields
from pathlib import Path

from commands.presets import PRESETS, TOKENS, Preset
from commands.recipes import MADE_FOR, RetrainSettings, recipe, resolved
from commands.search_settings import SearchSettings, overridden
from evaluators.choice import Planned, traits_of
from evaluators.finalists import FinalistSettings
from search_space.first_weights import SCRATCH, FirstWeights
from studies.runs import run_folder
from training.recipe import Recipe
from training.sizing import planned, told
from training.specs import ACTIONS, CONTROL, CROWDED, TASK

BEFORE = 0.75
"""The front's share of the proposals in searches that do not say it: all that began before there was a choice."""

TRIALS_A_FINALIST = 30
"""A short search has fewer finalists than its preset says: one for so many trials."""


def plan_search(chosen: Preset, settings: SearchSettings, pictures: int) -> Planned:
    """The own settings of the search's evaluator for so many training pictures, and a line on what was planned."""
    return traits_of(settings.evaluator).plan(settings, overridden(chosen, settings), pictures)


def plan_retraining(settings: RetrainSettings, pictures: int) -> tuple[Recipe, str | None]:
    """The recipe for so many training pictures, flags overriding it, and a line on what was planned, if anything."""
    usual, own = recipe(settings), MADE_FOR[settings.recipe or "quick"]
    given = [field.name for field in fields(usual) if getattr(settings, field.name) is not None]
    chosen = planned(usual, own, pictures, given)
    return chosen, told(usual, own, chosen, pictures, "--epochs and --batch-size")


def plan_finalists(
    settings: SearchSettings, pictures: int, init: FirstWeights, evaluated: int = 0
) -> FinalistSettings | None:
    """How many finalists a search trains by themselves, and how: as a retraining of what it finds does by default.

    Args:
        pictures: to train on.
        init: where the search's first weights come from: a retraining's as well by default, where they are another
            run's, or where its recipe asks for what there is.
        evaluated: candidates that there are already, perhaps more than the settings ask for.

    Returns:
        None where there are none to train.
    """
    chosen = PRESETS[settings.preset]
    trials = max(settings.trials, evaluated)
    pays = min(chosen.finalists, trials // TRIALS_A_FINALIST) if traits_of(settings.evaluator).rough else 0
    count = pays if settings.finalists is None else settings.finalists
    if not count:
        return None
    retraining = resolved(RetrainSettings(""), chosen.retraining)
    own, _ = plan_retraining(retraining, pictures)
    return FinalistSettings(count, own, init if init.path or retraining.init == "auto" else SCRATCH)


def nothing_written(folder: Path) -> str:
    """How a dry run ends: it says so where there is something in the folder already."""
    goes = f"what {folder} has goes on" if run_folder.begun(folder) else f"the results go to {folder}"
    return f"dry run: nothing was written; without --dry-run {goes}"


def suits(preset: str | None, family: str | None = None, task: str = TASK) -> str:
    """The recipe for what a search with that preset found, or for a network of a family that none found."""
    kind = task.partition(":")[0]
    if kind == CONTROL:
        return CONTROL
    if kind in (ACTIONS, CROWDED):
        return PRESETS[ACTIONS].retraining
    if preset in PRESETS:
        return PRESETS[preset].retraining
    return PRESETS[TOKENS].retraining if family == "t2t" else "quick"
