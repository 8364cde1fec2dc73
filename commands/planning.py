"""What is planned from the number of training pictures: a search's trainings, and a retraining's."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from commands.presets import PRESETS, TOKENS, Preset, SearchSettings, overridden
from commands.recipes import MADE_FOR, RetrainSettings, recipe, resolved
from commands.values import typed
from evaluators.choice import Planned, traits_of
from evaluators.finalists import FinalistSettings
from search_space.first_weights import SCRATCH, FirstWeights
from studies.runs import run_folder
from training.recipe import Recipe
from training.sizing import PLANNED, planned, told
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


def plan_finalists(settings: SearchSettings, pictures: int, init: FirstWeights) -> FinalistSettings | None:
    """How many finalists a search trains by themselves, and how: as a retraining of what it finds does by default.

    Args:
        pictures: to train on.
        init: where the search's first weights come from: a retraining's as well by default, where they are another
            run's, or where its recipe asks for what there is.

    Returns:
        None where there are none to train.
    """
    chosen = PRESETS[settings.preset]
    pays = min(chosen.finalists, settings.trials // TRIALS_A_FINALIST) if traits_of(settings.evaluator).rough else 0
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


def flags_of_search(recorded: dict[str, Any], identity: dict[str, Any]) -> str:
    """What to type so that a search goes on that was planned otherwise, or whose preset is not the pictures'.

    Args:
        recorded: what the search is, as its folder says.
        identity: what the command line asks for now.
    """
    there, here = (_scored_by(plain) for plain in (recorded, identity))
    if _at(there, "name") != _at(here, "name"):
        return ""
    words: list[Any] = []
    space = _at(recorded, "space", "name")
    if space != _at(identity, "space", "name"):
        words += [name for name, preset in PRESETS.items() if preset.settings.space == space][:1]
    if any(_at(there, "recipe", name) != _at(here, "recipe", name) for name in PLANNED):
        words += ["--supernet-epochs", _at(there, "recipe", "epochs")]
        words += ["--batch-size", _at(there, "recipe", "batch_size")]
    rungs = _at(there, "settings", "halving", "epochs")
    if isinstance(rungs, list) and rungs != _at(here, "settings", "halving", "epochs"):
        words += ["--proxy-epochs", ",".join(map(str, rungs))]
    if (share := _at(recorded, "sampler", "front_share")) != _at(identity, "sampler", "front_share"):
        words += ["--front-share", BEFORE if share is None else share]
    if _at(there, "init") != _at(here, "init"):
        words += _init_flag(_at(there, "init"))
    return " ".join(map(str, words))


def _scored_by(identity: dict[str, Any]) -> Any:
    return _at(identity, "evaluator", "supernet") or _at(identity, "evaluator")


def _at(plain: Any, *names: str) -> Any:
    """What stands there in a plain value from a file; None for nothing."""
    for name in names:
        plain = plain.get(name) if isinstance(plain, dict) else None
    return plain


def flags_of_retraining(recorded: dict[str, Any], identity: dict[str, Any]) -> str:
    """What to type so that a retraining goes on whose recipe was planned otherwise, or that found other weights."""
    was, now = recorded.get("recipe"), identity["recipe"]
    if not isinstance(was, dict):
        return ""
    words: list[str] = []
    if any(was.get(name) != now[name] for name in PLANNED):
        for name in PLANNED:
            words += [f"--{name.replace('_', '-')}", typed(was.get(name))]
    if recorded.get("init") != identity["init"]:
        words += _init_flag(recorded.get("init"))
    return " ".join(words)


def _init_flag(name: object) -> list[str]:
    """What to type for first weights of that name; nothing for those that only their digest names."""
    return [] if " " in str(name) else ["--init", str(name)]
