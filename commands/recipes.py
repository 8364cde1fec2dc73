"""The settings of a retraining, and the recipes that set most of them at once."""

from dataclasses import dataclass, fields, replace
from typing import Any

from commands import flags
from commands.command_line import Command, flag, flag_name, for_one_alone, overriding, positional
from commands.pretraining import SIMCLR
from commands.registered import methods, tasks
from commands.values import parser, typed, whole
from deployment.choices import FORMATS, parse_formats
from foundation.errors import InputError
from training.methods.settings import OWN, ChosenMethod
from training.recipe import Recipe
from training.setting import field_of
from training.specs import DATA, METHOD, OTHERS, PPO, TASK, TEACHERS

T2T_SMALL = Recipe(
    epochs=310,
    batch_size=512,
    learning_rate=1e-3,
    weight_decay=0.03,
    warmup=0.032,
    clip_norm=0.0,
    label_smoothing=0.1,
    ema_decay=0.99996,
    augmentation="random-resized-crop",
    rand_augment=9,
    erasing=0.25,
    mixup=0.8,
    cutmix=1.0,
    drop_path=0.1,
    optimiser="adamw",
)

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
    # For scenes and the like, of which every place counts: masks and boxes.
    "dense": Recipe(epochs=20, batch_size=32, learning_rate=0.2, weight_decay=1e-4),
    # For clips of people, thousands of pictures that are much alike.
    "clips": Recipe(epochs=10, batch_size=32, learning_rate=0.1, weight_decay=1e-4),
    # What CIFS was trained with on CIFAR-10 (arXiv:2102.05311, section 5), by attacked pictures.
    "adversarial": Recipe(
        epochs=120,
        batch_size=128,
        learning_rate=0.1,
        nesterov=False,
        warmup=0.0,
        clip_norm=0.0,
        augmentation="crop-flip",
        schedule="steps",
    ),
    # For networks that act: an epoch is so many rollouts, a batch so many steps of them.
    "control": Recipe(epochs=10, batch_size=256, learning_rate=2e-3, clip_norm=0.5),
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
    # For transformers on small pictures.
    "tokens": Recipe(
        epochs=20,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.05,
        clip_norm=1.0,
        label_smoothing=0.1,
        drop_path=0.05,
        optimiser="adamw",
    ),
    # What T2T-ViT-7, 10 and 12 were trained with (arXiv:2101.11986, section 4.1, and the authors' code): 300 epochs
    # and 10 more at the end, where the rate has fallen.
    "t2t-small": T2T_SMALL,
    # T2T-ViT-14; 19 and 24 had a weight decay of 0.065.
    "t2t": replace(T2T_SMALL, learning_rate=5e-4, weight_decay=0.05),
}

OF_IMAGENET = 1_271_167
MADE_FOR = dict.fromkeys(RECIPES, OF_IMAGENET) | {
    "quick": 12_000,
    "tokens": 12_000,
    "photos": 2_000,
    "dense": 2_000,
    "clips": 4_000,
    "adversarial": 50_000,
    "control": 1,
}
"""Training pictures that each recipe's epochs are for: of ImageNet, `digits`, `photos`, `scenes`, its clips, CIFAR-10.

Of `control` any number: its epochs do not follow the levels.
"""

OF_PPO = ("epochs", "batch_size", "learning_rate", "clip_norm")
"""What of a recipe the method ppo has a use for."""


def of_recipe(name: str, *, group: str) -> Any:
    """A flag that overrides the recipe's setting of that name. The help shows what the recipes say."""
    return overriding(Recipe, name, group=group, shown=_by_recipe)


def of_method(name: str, setting: str) -> Any:
    """A flag for one method alone, which sets what its dataclass in `training.methods.settings` has."""
    usual = typed(field_of(OWN[name], setting).default)
    return overriding(
        OWN[name], setting, group="method", only_for=("method", name), shown=lambda *_: f"{usual}, of method {name}"
    )


@parser("N|auto")
def micro_batch(text: str) -> str:
    """A number of pictures from 2, or `auto`."""
    if text != "auto":
        whole(2, int(field_of(Recipe, "micro_batch").metadata["setting"].high))(text)
    return text


def _by_recipe(setting: str, _: object) -> str:
    """`quick 12, dense/tokens 20`; without names what most recipes have."""
    names: dict[str, list[str]] = {}
    for name, recipe in RECIPES.items():
        names.setdefault(typed(getattr(recipe, setting)), []).append(name)
    usual = [value for value, own in names.items() if len(own) > len(RECIPES) / 2]
    others = [f"{'/'.join(own)} {value}" for value, own in names.items() if value not in usual]
    return ", ".join(usual + others)


@dataclass(frozen=True)
class RetrainSettings:
    """Train an architecture, alone or beside hand-designed networks of its cost."""

    source: str = positional(
        "a run's folder or front.json, an architecture's JSON file, or a known network (describe.py --help names them)"
    )
    data: str | None = flag(None, f"pictures (default: those of the run): {DATA}; {OTHERS}", group="main")
    task: str | None = flag(
        None,
        f"what it is trained for and judged by: {', '.join(tasks())} (default: the run's, or {TASK})",
    )
    head: str | None = flags.head("the run's, or the task's first")
    output_stride: int | None = flags.output_stride()
    method: str = flag(METHOD, f"how it is trained: {', '.join(sorted({*methods()} - {SIMCLR}))}", group="method")
    contrast: float | None = of_method("core-tuning", "contrast")
    epsilon: str | None = of_method("adversarial", "epsilon")
    attack_steps: int | None = of_method("adversarial", "attack_steps")
    mixreg: float | None = of_method(PPO, "mixreg")
    mixobs: float | None = of_method(PPO, "mixobs")
    crop: int | None = of_method(PPO, "crop")
    recipe: str | None = flag(
        None,
        f"{', '.join(RECIPES)} (default: what suits)",
        group="main",
    )
    epochs: int | None = of_recipe("epochs", group="main")
    batch_size: int | None = of_recipe("batch_size", group="training")
    micro_batch: str | None = flag(
        None,
        "pictures a process takes at a time (default: all), gradients added up; auto: halved where memory runs out",
        micro_batch,
        group="training",
    )
    learning_rate: float | None = of_recipe("learning_rate", group="training")
    optimiser: str | None = of_recipe("optimiser", group="training")
    schedule: str | None = of_recipe("schedule", group="training")
    momentum: float | None = of_recipe("momentum", group="training")
    nesterov: bool | None = of_recipe("nesterov", group="training")
    weight_decay: float | None = of_recipe("weight_decay", group="training")
    warmup: float | None = of_recipe("warmup", group="training")
    label_smoothing: float | None = of_recipe("label_smoothing", group="training")
    clip_norm: float | None = of_recipe("clip_norm", group="training")
    ema_decay: float | None = of_recipe("ema_decay", group="training")
    augmentation: str | None = of_recipe("augmentation", group="augmentation")
    rand_augment: int | None = of_recipe("rand_augment", group="augmentation")
    erasing: float | None = of_recipe("erasing", group="augmentation")
    mixup: float | None = of_recipe("mixup", group="augmentation")
    cutmix: float | None = of_recipe("cutmix", group="augmentation")
    drop_path: float | None = of_recipe("drop_path", group="training")
    teacher: str | None = flag(None, f"a network to learn from as well: {TEACHERS}", group="method")
    distillation: float | None = of_recipe("distillation", group="method")
    temperature: float | None = of_recipe("temperature", group="method")
    sync_batch_norm: bool | None = of_recipe("sync_batch_norm", group="device")
    precision: str | None = of_recipe("precision", group="device")
    compile: bool | None = of_recipe("compile", group="device")
    init: str | None = flag(
        None,
        f"{flags.INIT}; supernet: the run's (default: its search's PATH, scratch; photos: auto)",
        group="main",
    )
    compare: bool = flag(
        False,
        "train networks with no, SE or CA attention of the same MACs as well, and a random one",
        group="main",
        reproduced=False,
    )
    seeds: int = flag(1, "trainings of each network, for a mean", whole(1, 100), group="main")
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
        reproduced=False,
    )
    skip_corrupt: bool = flags.skip_corrupt(group="device")
    loaders: int | None = flags.loaders(group="device")
    device: str = flags.device(group="device")
    out: str | None = flag(None, "folder for the results (default: SOURCE/retrain)", group="main", reproduced=False)
    storage: str | None = flag(
        None, "the study that the report tells of (default: the run's own study.db)", reproduced=False
    )
    dry_run: bool = flag(False, "write nothing; say how long it takes", group="main", reproduced=False)
    quiet: bool = flags.quiet()


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


def chosen_method(settings: RetrainSettings) -> ChosenMethod:
    """The method that is named, with what the flags for it alone say. Raises InputError for those of another one.

    Those that act have one method only, which need not be named.
    """
    alone = for_one_alone(RetrainSettings, "method")
    given = {name: getattr(settings, name) for name in alone if getattr(settings, name) is not None}
    if settings.method == METHOD and given and {alone[name] for name in given} == {PPO}:
        settings = replace(settings, method=PPO)
    for name, value in given.items():
        if alone[name] != settings.method:
            raise InputError(f"{flag_name(name)} {typed(value)}: it is for --method {alone[name]} alone; leave it out")
    return ChosenMethod(settings.method, OWN[settings.method](**given) if given else None)


def acting_method(settings: RetrainSettings, method: ChosenMethod) -> ChosenMethod:
    """The method of networks that act. Raises InputError for what of a recipe is of no use to it."""
    for field in fields(Recipe):
        value = getattr(settings, field.name)
        if value is not None and field.name not in OF_PPO:
            raise InputError(f"{flag_name(field.name)} {typed(value)}: of no use to method {PPO}; leave it out")
    return method if method.name != METHOD else ChosenMethod(PPO)


RETRAIN = Command(
    "retrain",
    RetrainSettings,
    "example: python retrain.py runs/digits --compare --seeds 3",
    continues=True,
)
