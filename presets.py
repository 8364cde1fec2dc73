"""The settings of the commands, and the presets that set all of them at once."""

from dataclasses import dataclass, replace

from command_line import count, flag, hours, milliseconds, nonnegative, objectives, positional, share, whole, wholes
from deployment.latency import ROUNDS
from deployment.runtimes import RUNTIMES
from evaluators import zero_cost
from evaluators.base import Halving
from evaluators.choice import EVALUATORS
from evaluators.proxy import ProxySettings
from evaluators.supernet import Scoring, SupernetRecipe
from search_space.backbones import BACKBONES
from search_space.errors import InputError
from search_space.spaces import SPACES
from studies.samplers import sampler_names
from studies.samplers.nni_tuners import FRAMEWORKS
from studies.storages import KINDS
from training.data import SPECS
from training.recipe import Recipe

ENGINES = ("processes", "ray", "nni")
ONLY_FOR = {
    "score": "zero-cost",
    "table": "tabular",
    "proxy_epochs": "proxy",
    "proxy_pictures": "proxy",
    "proxy_resolution": "proxy",
    "generation": "proxy",
    "supernet_epochs": "supernet",
    "batch_size": "supernet",
}
"""The evaluator that a setting is for, where it is for one alone."""

INIT = "first weights: scratch, or torchvision (published ImageNet weights of the same family)"


@dataclass(frozen=True)
class SearchSettings:
    """Search for the best architectures within a budget. The defaults are those of the preset `digits`."""

    preset: str = positional("settings that the flags override: digits", "digits")
    space: str = flag("mobilenetv2-32", f"search space: {', '.join(SPACES)}, or a file FILE.toml")
    data: str = flag("digits", f"pictures: {SPECS}")
    max_macs: int | None = flag(1_200_000, "budget of multiply-accumulates a picture, e.g. 300M", count)
    max_params: int | None = flag(None, "budget of parameters, e.g. 4M", count)
    max_latency_ms: float | None = flag(
        None, "budget of milliseconds for one picture; measured here if there is no table", milliseconds
    )
    latency_table: str | None = flag(None, "a file of times measured by measure_latency.py, or on another device")
    runtime: str = flag("eager", f"what latency is measured in, on one CPU thread: {', '.join(RUNTIMES)}")
    evaluator: str = flag("supernet", f"how a candidate is scored: {', '.join(EVALUATORS)}")
    score: str = flag("az_nas", f"what --evaluator zero-cost ranks by: {', '.join(zero_cost.names())}")
    table: str = flag("digits", "where --evaluator tabular looks trained networks up: digits, or a file FILE.json")
    proxy_epochs: tuple[int, ...] | None = flag(
        None, "passes of the proxy training by the end of each rung, e.g. 1,3,9", wholes(1, 100_000)
    )
    proxy_pictures: float | None = flag(None, "share of the training pictures that a proxy training sees", share)
    proxy_resolution: float | None = flag(None, "share of its resolution that a proxy training has", share)
    generation: int | None = flag(None, "candidates that compete for the proxy's later rungs", whole(1, 100_000))
    framework: str = flag("optuna", f"whose samplers --sampler names: {', '.join(FRAMEWORKS)}")
    sampler: str = flag("predictor", f"who proposes candidates: {', '.join(sampler_names())}, or your own FILE.py:NAME")
    objectives: tuple[str, ...] | None = flag(
        None,
        "accuracy, and what to lower: macs, params, latency (default: what has a budget, or macs)",
        objectives,
    )
    storage: str | None = flag(None, f"study that several processes share (default: the run's own): {KINDS}")
    engine: str = flag(
        "processes", "what runs the workers: processes, ray (actors, here or on a cluster), or nni (trials)"
    )
    nni_port: int | None = flag(
        None, "of the web page of --engine nni (default: one that is free)", whole(1024, 65_535)
    )
    ray_address: str | None = flag(None, "a Ray cluster, e.g. auto or ray://HOST:10001 (default: this machine alone)")
    worker_gpus: float = flag(0.0, "GPUs that each Ray actor needs, e.g. 1 or 0.25", nonnegative)
    workers: int = flag(1, "processes that evaluate candidates side by side", whole(1, 256))
    trials: int = flag(240, "distinct candidates to evaluate", whole(1))
    max_hours: float | None = flag(
        None, "no candidate is begun after so many hours; the same command goes on another time", hours
    )
    startup: int = flag(20, "candidates drawn uniformly from the budget before the sampler is asked", whole(1))
    seed: int = flag(0, "of everything that is drawn", whole(0, 2**31 - 1))
    supernet_epochs: int | None = flag(
        None, "passes over the training pictures for the shared weights", whole(1, 10_000)
    )
    batch_size: int | None = flag(None, "pictures a step of the supernet", whole(2, 65_536))
    init: str = flag("scratch", INIT)
    device: str = flag("auto", "cpu, cuda, or auto: a GPU if there is one")
    out: str | None = flag(None, "the run's folder (default: runs/PRESET); the same command again continues it")
    quiet: bool = flag(False, "print errors only")


@dataclass(frozen=True)
class RetrainSettings:
    """Train an architecture from scratch, alone or beside the hand-designed networks of the same cost."""

    source: str = positional(
        f"a run's folder, an architecture's JSON file, or {', '.join(BACKBONES)}, each also with -none, -se, -ca"
    )
    data: str | None = flag(None, f"pictures (default: those of the run): {SPECS}")
    recipe: str = flag("quick", "how to train: quick")
    epochs: int | None = flag(None, "passes over the training pictures (default: the recipe's)", whole(1, 100_000))
    batch_size: int | None = flag(None, "pictures a step (default: the recipe's)", whole(2, 65_536))
    init: str = flag("scratch", INIT)
    compare: bool = flag(False, "train uniform CA, uniform SE and no-attention networks of the same MACs as well")
    seeds: int = flag(1, "trainings of each network; the table has their mean", whole(1, 100))
    seed: int = flag(0, "the first seed", whole(0, 2**31 - 1))
    device: str = flag("auto", "cpu, cuda, or auto: a GPU if there is one")
    out: str | None = flag(None, "folder for the results (default: SOURCE/retrain)")
    quiet: bool = flag(False, "print errors only")


@dataclass(frozen=True)
class LatencySettings:
    """Measure how long each piece of a space's networks takes, alone and on one picture, into a latency table.

    Or export the pieces as ONNX files, for a device that this program does not run on.
    """

    space: str = flag("mobilenetv2-32", f"search space: {', '.join(SPACES)}, or a file FILE.toml")
    classes: int | None = flag(None, "classes of the pictures (default: the space's)", whole(1, 1_000_000))
    resolution: int | None = flag(
        None, "measure at this one of the space's resolutions; a search needs all (default)", whole(1, 4096)
    )
    runtime: str = flag("eager", f"what the pieces run in: {', '.join(RUNTIMES)}")
    threads: int = flag(1, "threads of the runtime", whole(1, 4096))
    device: str = flag("cpu", "cpu, cuda, or auto: a GPU if there is one")
    rounds: int = flag(ROUNDS, "times that each piece has its turn, of which the quickest counts", whole(1, 10_000))
    out: str = flag("latency.json", "the table's file; the same command again continues it")
    export: str | None = flag(None, "write the pieces into this folder instead, with a table to fill in")
    quiet: bool = flag(False, "print errors only")


@dataclass(frozen=True)
class Preset:
    """What the flags of a search do not say."""

    settings: SearchSettings
    recipe: SupernetRecipe
    scoring: Scoring
    proxy: ProxySettings
    rescored: int  # candidates scored thoroughly at the end


PRESETS = {
    "digits": Preset(
        settings=SearchSettings(),
        recipe=SupernetRecipe(
            epochs=9, batch_size=64, learning_rate=0.4, weight_decay=2e-4, random_networks=1, largest_epochs=3
        ),
        scoring=Scoring(calibration=512, validation=1000, batch_size=256),
        proxy=ProxySettings(
            recipe=Recipe(batch_size=128, learning_rate=0.3, weight_decay=2e-4),
            halving=Halving(generation=27, epochs=(1, 3, 9), eta=3, bins=3),
            pictures=0.5,
            resolution=1.0,
        ),
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


def proxy_settings(preset: Preset, settings: SearchSettings) -> ProxySettings:
    """The preset's, with what the flags say. Raises InputError for what cannot be."""
    return replace(
        preset.proxy,
        halving=replace(
            preset.proxy.halving,
            epochs=settings.proxy_epochs or preset.proxy.halving.epochs,
            generation=settings.generation or preset.proxy.halving.generation,
        ),
        pictures=settings.proxy_pictures or preset.proxy.pictures,
        resolution=settings.proxy_resolution or preset.proxy.resolution,
    )


def without_effect(settings: SearchSettings) -> list[str]:
    """What was given and changes nothing with the other settings: a few words each."""
    usual = preset(settings.preset).settings
    given = [name for name in vars(usual) if getattr(settings, name) != getattr(usual, name)]
    unused = [
        f"--{name.replace('_', '-')} (it is for --evaluator {ONLY_FOR[name]})"
        for name in given
        if name in ONLY_FOR and ONLY_FOR[name] != settings.evaluator
    ]
    if "runtime" in given and (settings.max_latency_ms is None or settings.latency_table is not None):
        unused.append("--runtime (it is for --max-latency-ms without --latency-table)")
    if "init" in given and settings.evaluator == "tabular":
        unused.append("--init (the table's networks are trained)")
    return unused


def check_engine(settings: SearchSettings) -> None:
    """Raises InputError for an unknown engine, or what it cannot do."""
    if settings.engine not in ENGINES:
        raise InputError(f"--engine {settings.engine}: unknown; known: {', '.join(ENGINES)}")
    if settings.engine != "processes" and settings.evaluator == "proxy":
        raise InputError(
            f"--engine {settings.engine}: the proxy's candidates compete in one process; use --engine processes"
        )
    if settings.engine != "nni" and settings.nni_port is not None:
        raise InputError("--nni-port is for --engine nni")
    if settings.engine != "ray" and (settings.ray_address or settings.worker_gpus):
        raise InputError("--ray-address and --worker-gpus are for --engine ray")


def check_shared(settings: SearchSettings) -> None:
    """Raises InputError for what several processes cannot share."""
    if settings.evaluator == "proxy" and (settings.storage is not None or settings.workers > 1):
        raise InputError("--evaluator proxy: its candidates compete in one process; leave --workers and --storage out")
    if settings.storage is not None and settings.storage.partition("?")[0] in ("sqlite://", "sqlite:///:memory:"):
        raise InputError(f"--storage {settings.storage}: is kept in memory alone; expected sqlite:///FILE")


def check_init(name: str) -> None:
    """Raises InputError for an unknown way to initialise."""
    if name not in ("scratch", "torchvision"):
        raise InputError(f"--init {name}: unknown; known: scratch, torchvision")


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises InputError for an unknown one."""
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: unknown; known: {', '.join(RECIPES)}")
    return RECIPES[name]
