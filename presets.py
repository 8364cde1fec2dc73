"""The settings of the commands, and the presets that set all of them at once."""

from dataclasses import dataclass

from command_line import count, flag, positional, whole
from evaluators.supernet import Scoring, SupernetRecipe
from search_space.errors import InputError
from training.recipe import Recipe


@dataclass(frozen=True)
class SearchSettings:
    """Search for the best architectures within a budget."""

    preset: str = positional("digits", "settings that the flags override: digits (default)")
    space: str = flag("mobilenetv2-32", "search space: mobilenetv2-32 (default), mobilenetv2")
    data: str = flag("digits", "pictures: digits (default), digits:clutter, folder:PATH")
    max_macs: int | None = flag(None, "budget of multiply-accumulates a picture, e.g. 300M", count)
    max_params: int | None = flag(None, "budget of parameters, e.g. 4M", count)
    evaluator: str = flag("supernet", "how a candidate is scored: supernet (default)")
    sampler: str = flag("tpe", "who proposes candidates: tpe (default), random")
    trials: int = flag(240, "distinct candidates to evaluate (240)", whole(1))
    startup: int = flag(40, "candidates drawn uniformly from the budget before the sampler is asked (40)", whole(1))
    seed: int = flag(0, "of everything that is drawn (0)", whole(0, 2**31 - 1))
    supernet_epochs: int | None = flag(
        None, "passes over the training pictures for the shared weights", whole(1, 10_000)
    )
    batch_size: int | None = flag(None, "pictures a training step", whole(2, 65_536))
    device: str = flag("auto", "cpu, cuda, or auto (default): a GPU if there is one")
    out: str | None = flag(None, "the run's folder (runs/PRESET); the same command again continues it")
    quiet: bool = flag(False, "print errors only")


@dataclass(frozen=True)
class RetrainSettings:
    """Train an architecture from scratch, alone or beside the hand-designed networks of the same cost."""

    source: str = positional(..., "a run's folder, an architecture's JSON file, or mobilenetv2, -se, -ca")
    data: str | None = flag(None, "pictures (those of the run)")
    recipe: str = flag("quick", "how to train: quick (default)")
    epochs: int | None = flag(None, "passes over the training pictures (the recipe's)", whole(1, 100_000))
    batch_size: int | None = flag(None, "pictures a step (the recipe's)", whole(2, 65_536))
    compare: bool = flag(False, "train uniform CA, uniform SE and no-attention networks of the same MACs as well")
    seeds: int = flag(1, "trainings of each network, averaged in the table (1)", whole(1, 100))
    seed: int = flag(0, "the first seed (0)", whole(0, 2**31 - 1))
    device: str = flag("auto", "cpu, cuda, or auto (default): a GPU if there is one")
    out: str | None = flag(None, "folder for the results (SOURCE/retrain)")
    quiet: bool = flag(False, "print errors only")


@dataclass(frozen=True)
class Preset:
    """What the flags of a search do not say."""

    settings: SearchSettings
    recipe: SupernetRecipe
    scoring: Scoring
    rescored: int  # candidates scored thoroughly at the end


PRESETS = {
    "digits": Preset(
        settings=SearchSettings(max_macs=1_200_000),
        recipe=SupernetRecipe(epochs=10, batch_size=128, learning_rate=0.2, weight_decay=2e-4),
        scoring=Scoring(calibration=512, validation=1000, batch_size=256),
        rescored=32,
    ),
}

RECIPES = {
    "quick": Recipe(epochs=12, batch_size=128, learning_rate=0.3, weight_decay=2e-4),
}


def preset(name: str) -> Preset:
    """The preset of that name. Raises InputError for an unknown one."""
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: unknown; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises InputError for an unknown one."""
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: unknown; known: {', '.join(RECIPES)}")
    return RECIPES[name]
