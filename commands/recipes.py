"""The settings of a retraining, and the recipes that set most of them at once."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from commands.command_line import Command, flag, positional
from commands.flags import INIT, LOADERS, SKIP_CORRUPT
from commands.registered import backbones
from commands.values import micro_batch, real, typed, whole, yes_or_no
from deployment.choices import FORMATS, parse_formats
from search_space.errors import InputError
from training.augmentation import CROPS
from training.recipe import PRECISIONS, Recipe
from training.specs import DATA, TEACHERS

RECIPES = {
    # A few minutes on two cores, for small pictures.
    "quick": Recipe(epochs=12, batch_size=128, learning_rate=0.3, weight_decay=2e-4),
    # For few photographs of one's own; all that it does to them is done in memory.
    "photos": Recipe(
        epochs=40,
        batch_size=32,
        learning_rate=0.1,
        weight_decay=1e-4,
        label_smoothing=0.1,
        augmentation="crop-flip",
        rand_augment=5,
        erasing=0.1,
    ),
    # What the CA paper's networks were trained with (arXiv:2103.02907, section 4.1); the batch and the weight
    # decay are those of its family's published training.
    "paper": Recipe(
        epochs=200,
        batch_size=256,
        learning_rate=0.05,
        momentum=0.9,
        nesterov=False,
        weight_decay=4e-5,
        warmup=0.0,
        clip_norm=0.0,
        augmentation="random-resized-crop",
    ),
    # What has become usual since, at a strength for networks of a few million parameters.
    "modern": Recipe(
        epochs=300,
        batch_size=1024,
        learning_rate=0.5,
        weight_decay=2e-5,
        warmup=0.02,
        label_smoothing=0.1,
        ema_decay=0.9999,
        augmentation="random-resized-crop",
        rand_augment=7,
        erasing=0.1,
        mixup=0.1,
        cutmix=1.0,
        drop_path=0.05,
    ),
}

MADE_FOR = {"quick": 12_000, "photos": 2_000, "paper": 1_271_167, "modern": 1_271_167}
"""Training pictures that each recipe's epochs are for: those of `digits`, of the preset `photos`, and of ImageNet."""


def of_recipe(text: str, parse: Callable[[str], Any] = str, *, group: str) -> Any:
    """A flag that overrides the recipe's setting of the field's name. The help shows what the recipes say."""
    return flag(None, text, parse, group=group, shown=_by_recipe)


def _by_recipe(setting: str, _: object) -> str:
    """`quick 12, paper 200`, or the value that all recipes have."""
    values = {name: getattr(recipe, setting) for name, recipe in RECIPES.items()}
    if len(set(values.values())) == 1:
        return typed(next(iter(values.values())))
    return ", ".join(f"{name} {typed(value)}" for name, value in values.items())


@dataclass(frozen=True)
class RetrainSettings:
    """Train an architecture from scratch, alone or beside the hand-designed networks of the same cost."""

    source: str = positional(
        f"a run's folder or front.json, an architecture's JSON file, or {', '.join(backbones())}, each also with "
        "-none, -se, -ca"
    )
    data: str | None = flag(None, f"pictures (default: those of the run): {DATA}", group="main")
    recipe: str | None = flag(
        None,
        "quick, photos, paper (the CA paper's) or modern; other flags override it "
        "(default: the run's preset's, or quick)",
        group="main",
    )
    epochs: int | None = of_recipe("passes over the training pictures", whole(1, 100_000), group="main")
    batch_size: int | None = of_recipe("pictures a step, of all processes", whole(2, 65_536), group="training")
    micro_batch: str | None = flag(
        None,
        "pictures a process takes at a time (default: all), gradients added up; auto: halved where memory runs out",
        micro_batch,
        group="training",
    )
    learning_rate: float | None = of_recipe("the highest learning rate", real, group="training")
    momentum: float | None = of_recipe("momentum of SGD", real, group="training")
    nesterov: bool | None = of_recipe("yes or no: whether momentum is Nesterov's", yes_or_no, group="training")
    weight_decay: float | None = of_recipe("weight decay, on weights, not on norms and biases", real, group="training")
    warmup: float | None = of_recipe("share of the steps in which the learning rate rises", real, group="training")
    label_smoothing: float | None = of_recipe("share of a label spread over all classes", real, group="training")
    clip_norm: float | None = of_recipe("bound on the gradient's norm; 0: none", real, group="training")
    ema_decay: float | None = of_recipe(
        "share that the moving average of weights keeps, a step; 0: none", real, group="training"
    )
    augmentation: str | None = of_recipe(f"{', '.join(CROPS)}", group="augmentation")
    rand_augment: int | None = of_recipe(
        "magnitude of RandAugment, 1 to 30; 0: none", whole(0, 30), group="augmentation"
    )
    erasing: float | None = of_recipe("probability that a rectangle is erased", real, group="augmentation")
    mixup: float | None = of_recipe("α of MixUp, which mixes two pictures; 0: none", real, group="augmentation")
    cutmix: float | None = of_recipe(
        "α of CutMix, which puts a part of one picture into another; 0: none", real, group="augmentation"
    )
    drop_path: float | None = of_recipe("probability that the last block's branch is dropped", real, group="training")
    teacher: str | None = flag(None, f"a network to learn from as well: {TEACHERS}", group="teacher")
    distillation: float | None = of_recipe("weight of the teacher's predictions, 0 to 1", real, group="teacher")
    temperature: float | None = of_recipe(
        "divides logits before they are compared with the teacher's", real, group="teacher"
    )
    sync_batch_norm: bool | None = of_recipe(
        "yes or no: batch statistics of all processes' pictures", yes_or_no, group="device"
    )
    precision: str | None = of_recipe(f"{', '.join(PRECISIONS)} (auto: bfloat16 on a GPU)", group="device")
    compile: bool | None = of_recipe("yes or no: train a network made by torch's compiler", yes_or_no, group="device")
    init: str | None = flag(
        None,
        f"{INIT}; supernet (the run's own) (default: auto for photos, else scratch)",
        group="main",
    )
    compare: bool = flag(
        False,
        "train networks with no, SE or CA attention of the same MACs as well, and a random one",
        group="main",
    )
    seeds: int = flag(1, "trainings of each network; the table has their mean", whole(1, 100), group="main")
    seed: int = flag(0, "the first seed", whole(0, 2**31 - 1))
    network: int | None = flag(
        None,
        "of a run's folder or front.json: the network of its front, 1 the cheapest (default: the best); results go to "
        "SOURCE/retrain-N",
        whole(1),
    )
    export: tuple[str, ...] = flag(
        (),
        f"formats to write the (first) trained network in: {', '.join(FORMATS)} (default: none)",
        parse_formats,
        group="main",
    )
    skip_corrupt: bool = flag(False, SKIP_CORRUPT, group="device")
    loaders: int | None = flag(None, LOADERS, whole(0, 256), group="device")
    device: str = flag("auto", "cpu, cuda, or auto: a GPU if there is one", group="device")
    out: str | None = flag(None, "folder for the results (default: SOURCE/retrain)", group="main")
    storage: str | None = flag(None, "the study that the report tells of (default: the run's own study.db)")
    dry_run: bool = flag(False, "write nothing; say how long it would take", group="main")
    quiet: bool = flag(False, "print errors only")


def resolved(settings: RetrainSettings, suited: str = "quick") -> RetrainSettings:
    """The settings with a recipe, which is the suited one where none is named, and with that recipe's first weights."""
    name = settings.recipe or suited
    return replace(settings, recipe=name, init=settings.init or ("auto" if name == "photos" else "scratch"))


def recipe(settings: RetrainSettings) -> Recipe:
    """The recipe that is named, with what the flags say instead. Raises InputError for bad values."""
    name = settings.recipe or "quick"
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: unknown; known: {', '.join(RECIPES)}")
    chosen = RECIPES[name]
    given = {field.name: getattr(settings, field.name) for field in fields(chosen) if field.name != "micro_batch"}
    given = {name: value for name, value in given.items() if value is not None}
    if settings.micro_batch not in (None, "auto"):
        given["micro_batch"] = int(settings.micro_batch)
    return replace(chosen, **given)


RETRAIN = Command(
    "retrain",
    RetrainSettings,
    "example: python retrain.py runs/digits --compare --seeds 3",
    continues=True,
)
