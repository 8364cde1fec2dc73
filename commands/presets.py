"""The presets: what a search does where its flags do not say it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluators.halving import Halving
from evaluators.proxy.settings import ProxySettings
from evaluators.supernet.settings import Scoring, SupernetRecipe
from foundation.errors import InputError
from training.recipe import Recipe
from training.specs import ACTIONS, CONTROL

TOKENS = "tokens"
"""The preset of a search for T2T-ViTs, alone or among others: plain SGD as of the other presets trains none of them."""


@dataclass(frozen=True)
class Preset:
    """What the flags of a search do not say.

    Attributes:
        settings: the flags' values that are not the usual ones, by the names in `commands.search_settings`.
    """

    settings: Mapping[str, Any]
    pictures: int  # training pictures that its epochs are for
    recipe: SupernetRecipe
    scoring: Scoring
    proxy: ProxySettings
    anchor: Recipe  # how an anchor is trained
    rescored: int  # candidates scored thoroughly at the end
    retraining: str = "quick"  # the recipe that suits what is found
    finalists: int = 8  # of a search of the preset's length


ADAMW: dict[str, Any] = {"optimiser": "adamw", "weight_decay": 0.05, "clip_norm": 1.0}
"""What trains transformers and convolutions alike."""


def _of_scenes(settings: Mapping[str, Any], learning_rate: float) -> Preset:
    """A preset for the pictures of `scenes`, or as many with masks or boxes of one's own."""
    alone = Recipe(batch_size=32, learning_rate=learning_rate, weight_decay=1e-4)
    return Preset(
        settings=settings,
        pictures=2_000,
        recipe=SupernetRecipe(
            epochs=12,
            batch_size=32,
            learning_rate=learning_rate,
            weight_decay=1e-4,
            random_networks=1,
            distillation=False,
        ),
        scoring=Scoring(calibration=256, validation=250, batch_size=64),
        proxy=ProxySettings(
            recipe=alone,
            halving=Halving(generation=27, epochs=(1, 3, 9), eta=3, bins=3),
            pictures=0.5,
            resolution=1.0,
        ),
        anchor=alone.lasting(8),
        rescored=16,
        retraining="dense",
        finalists=4,
    )


PRESETS = {
    "digits": Preset(
        settings={},
        pictures=12_000,
        recipe=SupernetRecipe(
            epochs=10,
            batch_size=64,
            learning_rate=0.4,
            weight_decay=2e-4,
            largest=False,
            random_networks=2,
            distillation=False,
        ),
        scoring=Scoring(calibration=512, validation=1000, batch_size=256),
        proxy=ProxySettings(
            recipe=Recipe(batch_size=128, learning_rate=0.3, weight_decay=2e-4),
            halving=Halving(generation=27, epochs=(1, 3, 9), eta=3, bins=3),
            pictures=0.5,
            resolution=1.0,
        ),
        anchor=Recipe(epochs=8, batch_size=64, learning_rate=0.4, weight_decay=2e-4),
        rescored=32,
    ),
    "cifar10": Preset(
        settings={"data": "cifar10"},
        pictures=45_000,
        recipe=SupernetRecipe(
            epochs=14,
            batch_size=64,
            learning_rate=0.4,
            weight_decay=2e-4,
            augmentation="crop-flip",
            largest=False,
            random_networks=2,
            distillation=False,
        ),
        scoring=Scoring(calibration=512, validation=2000, batch_size=256),
        proxy=ProxySettings(
            recipe=Recipe(batch_size=128, learning_rate=0.3, weight_decay=2e-4, augmentation="crop-flip"),
            halving=Halving(generation=27, epochs=(1, 3, 9), eta=3, bins=3),
            pictures=0.5,
            resolution=1.0,
        ),
        anchor=Recipe(epochs=8, batch_size=64, learning_rate=0.4, weight_decay=2e-4, augmentation="crop-flip"),
        rescored=32,
    ),
    # For hundreds to thousands of photographs of one's own, on two cores.
    "photos": Preset(
        settings={"space": "photos", "data": "folder:photos", "max_macs": 60_000_000, "trials": 160, "init": "auto"},
        pictures=2_000,
        recipe=SupernetRecipe(
            epochs=8,
            batch_size=32,
            learning_rate=0.1,
            weight_decay=1e-4,
            augmentation="crop-flip",
            random_networks=1,
            largest_epochs=2,
        ),
        scoring=Scoring(calibration=128, validation=500, batch_size=64),
        proxy=ProxySettings(
            recipe=Recipe(batch_size=32, learning_rate=0.1, weight_decay=1e-4, augmentation="crop-flip"),
            halving=Halving(generation=27, epochs=(1, 3, 9), eta=3, bins=3),
            pictures=1.0,
            resolution=0.75,
        ),
        anchor=Recipe(epochs=12, batch_size=32, learning_rate=0.1, weight_decay=1e-4, augmentation="crop-flip"),
        rescored=32,
        retraining="photos",
        finalists=5,
    ),
    # For scenes of 96 pixels, and masks and boxes of one's own; a preset for each task of its name.
    "segmentation": _of_scenes(
        {
            "task": "segmentation",
            "space": "mobile-96",
            "data": "scenes",
            "output_stride": 8,
            "max_macs": 8_000_000,
            "trials": 160,
        },
        learning_rate=0.2,
    ),
    "detection": _of_scenes(
        {
            "task": "detection",
            "head": "ssdlite/128",
            "space": "mobile-96",
            "data": "scenes",
            "max_macs": 6_000_000,
            "trials": 160,
        },
        learning_rate=0.1,
    ),
    "pose": _of_scenes(
        {
            "task": "pose",
            "space": "mobile-96",
            "data": "scenes:people",
            "output_stride": 8,
            "max_macs": 8_000_000,
            "trials": 120,
        },
        learning_rate=0.2,
    ),
    # For clips of people, each twice as many training pictures as there are people: they are there mirrored as well.
    ACTIONS: Preset(
        settings={"task": ACTIONS, "space": "mobile-96", "data": "scenes:actions", "max_macs": 4_000_000, "trials": 80},
        pictures=4_000,
        recipe=SupernetRecipe(
            epochs=5, batch_size=32, learning_rate=0.1, weight_decay=1e-4, random_networks=1, distillation=False
        ),
        scoring=Scoring(calibration=256, validation=250, batch_size=64),
        proxy=ProxySettings(
            recipe=Recipe(batch_size=32, learning_rate=0.1, weight_decay=1e-4),
            halving=Halving(generation=27, epochs=(1, 2, 4), eta=3, bins=3),
            pictures=0.5,
            resolution=1.0,
        ),
        anchor=Recipe(epochs=4, batch_size=32, learning_rate=0.1, weight_decay=1e-4),
        rescored=16,
        retraining="clips",
        finalists=2,
    ),
    # For networks that act. Its supernet is of no use: none learns from pictures.
    CONTROL: Preset(
        settings={
            "task": CONTROL,
            "data": "gridworld",
            "evaluator": "proxy",
            "max_macs": 400_000,
            "trials": 12,
            "startup": 6,
            "finalists": 0,
        },
        pictures=1,
        recipe=SupernetRecipe(),
        scoring=Scoring(),
        proxy=ProxySettings(
            recipe=Recipe(batch_size=256, learning_rate=2e-3, clip_norm=0.5),
            halving=Halving(generation=6, epochs=(1, 3), eta=3, bins=1),
            pictures=1.0,
            resolution=1.0,
        ),
        anchor=Recipe(),
        rescored=3,
        retraining=CONTROL,
        finalists=0,
    ),
    # For pictures of 32 pixels: transformers, or these among convolutional networks.
    TOKENS: Preset(
        settings={"space": "t2t-32", "data": "digits", "max_macs": 18_000_000, "trials": 160, "prior": "none"},
        pictures=12_000,
        recipe=SupernetRecipe(
            **ADAMW, epochs=12, batch_size=64, learning_rate=1e-3, random_networks=1, distillation=False
        ),
        scoring=Scoring(calibration=512, validation=1000, batch_size=256),
        proxy=ProxySettings(
            recipe=Recipe(**ADAMW, batch_size=128, learning_rate=1e-3),
            halving=Halving(generation=27, epochs=(1, 3, 9), eta=3, bins=3),
            pictures=0.5,
            resolution=1.0,
        ),
        anchor=Recipe(**ADAMW, epochs=8, batch_size=64, learning_rate=1e-3),
        rescored=32,
        retraining=TOKENS,
        finalists=4,
    ),
    # Sizes as in BigNAS (arXiv:2003.11142) and once-for-all; meant for several GPUs, and not run at that size yet.
    "imagenet": Preset(
        settings={
            "space": "mobilenetv2",
            "data": "imagenet:data/imagenet",
            "max_macs": 300_000_000,
            "trials": 1000,
            "startup": 100,
        },
        pictures=1_271_167,
        recipe=SupernetRecipe(
            epochs=180,
            batch_size=1024,
            learning_rate=0.5,
            weight_decay=2e-5,
            warmup=0.03,
            label_smoothing=0.1,
            ema_decay=0.9999,
            augmentation="random-resized-crop",
            random_networks=2,
            largest_epochs=10,
        ),
        scoring=Scoring(calibration=2048, validation=4000, batch_size=128),
        proxy=ProxySettings(
            recipe=Recipe(batch_size=256, learning_rate=0.2, weight_decay=4e-5, augmentation="random-resized-crop"),
            halving=Halving(generation=27, epochs=(1, 3, 9), eta=3, bins=3),
            pictures=0.1,
            resolution=0.75,
        ),
        anchor=Recipe(
            epochs=10, batch_size=256, learning_rate=0.2, weight_decay=4e-5, augmentation="random-resized-crop"
        ),
        rescored=64,
        finalists=0,  # each would take days
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name. Raises InputError for an unknown one."""
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: unknown; known: {', '.join(PRESETS)}")
    return PRESETS[name]
