"""The settings of a training without labels."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from commands import flags
from commands.command_line import Command, flag, overriding, positional
from commands.registered import backbones, told
from commands.values import typed, whole
from training.methods.settings import ChosenMethod, SimCLR
from training.recipe import Recipe
from training.setting import field_of
from training.specs import DATA

# What is done to pictures is SimCLR's for small ones; the rest is for networks of a few million MACs on two cores.
RECIPE = Recipe(epochs=100, batch_size=256, learning_rate=0.2, weight_decay=1e-4, augmentation="random-resized-crop")
SIMCLR = "simclr"
"""The method, which is this command's alone."""

MADE_FOR = 45_000
"""Training pictures that the recipe's epochs are for."""


def _of_recipe(name: str) -> Any:
    return overriding(Recipe, name, group="training", shown=lambda *_: typed(getattr(RECIPE, name)))


def _of_method(name: str) -> Any:
    return overriding(SimCLR, name, group="training", shown=lambda *_: typed(field_of(SimCLR, name).default))


@dataclass(frozen=True)
class PretrainSettings:
    """Train a backbone by contrast, on pictures without labels. `retrain.py SOURCE --init OUT` begins from it."""

    source: str = positional(
        f"a run's folder or front.json, an architecture's JSON file, or {told(backbones())}, each also with "
        "-none, -se, -ca"
    )
    data: str | None = flag(
        None,
        f"pictures, whose labels are left aside; of folder: also without class folders (default: the run's): {DATA}",
        group="main",
    )
    epochs: int | None = overriding(Recipe, "epochs", group="main", shown=lambda *_: typed(RECIPE.epochs))
    batch_size: int | None = _of_recipe("batch_size")
    learning_rate: float | None = _of_recipe("learning_rate")
    optimiser: str | None = _of_recipe("optimiser")
    schedule: str | None = _of_recipe("schedule")
    weight_decay: float | None = _of_recipe("weight_decay")
    warmup: float | None = _of_recipe("warmup")
    temperature: float | None = _of_method("temperature")
    colour: float | None = _of_method("colour")
    sync_batch_norm: bool | None = _of_recipe("sync_batch_norm")
    precision: str | None = _of_recipe("precision")
    init: str = flag("scratch", flags.INIT, group="main")
    network: int | None = flag(
        None,
        "of a run's folder or front.json: the network of its front, 1 the cheapest (default: the best)",
        whole(1),
    )
    seed: int = flag(0, "of the weights and the augmentation", whole(0, 2**31 - 1))
    skip_corrupt: bool = flags.skip_corrupt()
    loaders: int | None = flags.loaders()
    device: str = flags.device()
    out: str | None = flag(None, "folder for the results (default: SOURCE/pretrain)", group="main")
    dry_run: bool = flag(False, "write nothing; say how long it takes", group="main")
    quiet: bool = flags.quiet()


def given_of_recipe(settings: PretrainSettings) -> dict[str, Any]:
    """What flags say of the recipe; its temperature is a teacher's, and none of them is for that."""
    return _given(settings, {field.name for field in fields(Recipe)} - {field.name for field in fields(SimCLR)})


def recipe(settings: PretrainSettings) -> Recipe:
    """The recipe with what the flags say instead. Raises InputError for bad values."""
    return replace(RECIPE, **given_of_recipe(settings))


def method(settings: PretrainSettings) -> ChosenMethod:
    """The method with what the flags say. Raises InputError for bad values."""
    return ChosenMethod(SIMCLR, SimCLR(**_given(settings, {field.name for field in fields(SimCLR)})))


def _given(settings: PretrainSettings, names: Iterable[str]) -> dict[str, Any]:
    given = {name: getattr(settings, name, None) for name in sorted(names)}
    return {name: value for name, value in given.items() if value is not None}


PRETRAIN = Command(
    "pretrain",
    PretrainSettings,
    "example: python pretrain.py runs/digits --data folder:PICTURES --out runs/pretrained",
    continues=True,
)
