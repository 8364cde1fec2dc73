"""The settings of an adaptation, and the recipes that set most of them at once."""

from dataclasses import dataclass, fields, replace
from typing import Any

from commands import flags
from commands.command_line import Command, flag, overriding, positional
from commands.values import typed, whole
from foundation.errors import InputError
from training.adaptation.settings import Adaptation
from training.recipe import Recipe
from training.specs import DATA

_STEPS = Recipe(
    epochs=15, batch_size=64, learning_rate=0.01, weight_decay=1e-3, warmup=0.0, clip_norm=0.0, schedule="power"
)
RECIPES = {
    "digits": (_STEPS, Adaptation()),
    "objects": (
        replace(_STEPS, augmentation="crop-flip"),
        Adaptation(pseudo_labels=0.3, rotation=0.6, backbone_rate=0.1, transfer_rate=0.01, unlabelled=100.0),
    ),
}
"""How SHOT treats handwriting, and how photographs, which may be mirrored (arXiv:2012.07297)."""


def _of_steps(name: str) -> Any:
    return overriding(Recipe, name, group="training", shown=lambda name, _: _by_recipe(0, name))


def _of_losses(name: str) -> Any:
    return overriding(Adaptation, name, group="losses", shown=lambda name, _: _by_recipe(1, name))


def _of_transfer(name: str) -> Any:
    return overriding(Adaptation, name, group="transfer", shown=lambda name, _: _by_recipe(1, name))


def _by_recipe(which: int, setting: str) -> str:
    """`digits 0.1, objects 0.3`, or the value that both have."""
    values = {name: getattr(pair[which], setting) for name, pair in RECIPES.items()}
    if len(set(values.values())) == 1:
        return typed(next(iter(values.values())))
    return ", ".join(f"{name} {typed(value)}" for name, value in values.items())


@dataclass(frozen=True)
class AdaptSettings:
    """Adapt a trained classifier to pictures without labels, and without those that it was trained on (SHOT)."""

    source: str = positional("a network's folder (runs/digits/retrain/found-0), or a .safetensors file")
    data: str | None = flag(
        None, f"pictures to adapt to, in class folders or not (default: none): {DATA}", group="main"
    )
    recipe: str = flag("objects", "digits or objects; other flags override it", choices=tuple(RECIPES), group="main")
    labelling_transfer: bool = flag(
        False,
        "label the surest pictures after SHOT, and train on by MixMatch with a new classifier (SHOT++)",
        group="main",
    )
    epochs: int | None = overriding(Recipe, "epochs", group="main", shown=lambda name, _: _by_recipe(0, name))
    batch_size: int | None = _of_steps("batch_size")
    learning_rate: float | None = _of_steps("learning_rate")
    momentum: float | None = _of_steps("momentum")
    weight_decay: float | None = _of_steps("weight_decay")
    clip_norm: float | None = _of_steps("clip_norm")
    schedule: str | None = _of_steps("schedule")
    augmentation: str | None = _of_steps("augmentation")
    rand_augment: int | None = _of_steps("rand_augment")
    precision: str | None = _of_steps("precision")
    pseudo_labels: float | None = _of_losses("pseudo_labels")
    rotation: float | None = _of_losses("rotation")
    rotation_epochs: int | None = _of_losses("rotation_epochs")
    diversity: float | None = _of_losses("diversity")
    backbone_rate: float | None = _of_losses("backbone_rate")
    centroid_above: int | None = _of_losses("centroid_above")
    transfer_batch: int | None = _of_transfer("transfer_batch")
    transfer_rate: float | None = _of_transfer("transfer_rate")
    unlabelled: float | None = _of_transfer("unlabelled")
    mixup: float | None = _of_transfer("mixup")
    sharpening: float | None = _of_transfer("sharpening")
    view_magnitude: int | None = _of_transfer("view_magnitude")
    seed: int = flag(0, "of all random draws", whole(0, 2**31 - 1))
    out: str | None = flag(None, "folder for the results (default: adapted, beside the network's file)", group="main")
    skip_corrupt: bool = flags.skip_corrupt()
    device: str = flags.device()
    quiet: bool = flags.quiet()


ADAPT = Command(
    "adapt",
    AdaptSettings,
    "example: python adapt.py runs/digits/retrain/found-0 --data folder:new/pictures",
    continues=True,
)


def chosen(settings: AdaptSettings) -> tuple[Recipe, Adaptation]:
    """The recipe that is named, with what the flags say instead. Raises InputError for a value out of its range."""
    steps, losses = RECIPES[settings.recipe]
    return _overridden(steps, settings), _overridden(losses, settings)


def _overridden(recipe: Any, settings: AdaptSettings) -> Any:
    given = {field.name: getattr(settings, field.name, None) for field in fields(recipe)}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def check_data(settings: AdaptSettings) -> str:
    """The pictures' spec. Raises InputError where there is none."""
    if settings.data is None:
        raise InputError("give --data folder:PATH: the pictures to adapt to")
    return settings.data
