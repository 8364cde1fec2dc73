"""The settings of a search: its flags, whose defaults are a preset's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from operator import attrgetter
from typing import Any

from commands import flags
from commands.command_line import Command, flag, overriding, positional
from commands.presets import PRESETS, TOKENS, Preset, preset
from commands.registered import evaluators, family_of, samplers, scores, spaces, tasks
from commands.typed_again import typed_again
from commands.values import bound, fraction, hours, milliseconds, nonnegative, objectives, typed, whole
from deployment.choices import RUNTIMES
from evaluators.halving import Halving
from evaluators.proxy.settings import ProxySettings
from evaluators.supernet.settings import SupernetRecipe
from studies.choices import ENGINES, FRAMEWORKS, FRONT_SHARE, STORAGES
from training.specs import ACTIONS, CROWDED, DATA, JUDGES, OTHERS, TASK

TABULATED = "mobilenetv2-32"
"""The space of the tables that come with this project."""


def of_preset(place: str, settings: type, *, evaluator: str) -> Any:
    """A flag for one evaluator that overrides a setting of the preset's.

    Args:
        place: where it is in a `Preset`.
        settings: the dataclass that it is a setting of.
    """
    shown = partial(_by_preset, attrgetter(place))
    return overriding(settings, place, group="scoring", only_for=("evaluator", evaluator), shown=shown)


def _by_preset(value: Callable[[Preset], object], _: str, settings: "SearchSettings | None") -> str:
    return typed(value(PRESETS[settings.preset if settings else "digits"]))


@dataclass(frozen=True)
class SearchSettings:
    """Search for the best architectures within a budget. Its defaults are a preset's."""

    preset: str = positional(
        "digits, cifar10, photos, imagenet, segmentation, pose, detection, actions, control, tokens",
        "digits",
    )
    space: str = flag("mobile-32", f"{', '.join(spaces())}, a FILE.toml, or several, by comma", group="main")
    data: str = flag("digits", f"pictures: {DATA}; {OTHERS}", group="main")
    max_macs: int | None = flag(
        1_200_000, "budget of MACs a picture, e.g. 300M; none if another is given", bound, group="main"
    )
    max_params: int | None = flag(None, "budget of parameters, e.g. 4M", bound, group="main")
    max_latency_ms: float | None = flag(None, "budget of milliseconds a picture", milliseconds, group="main")
    latency_table: str | None = flag(
        None,
        "times by measure_latency.py or of another device (default: measured here, for --max-latency-ms)",
        group="latency",
    )
    runtime: str = flag(
        "eager", f"what latency is measured in, on one CPU thread: {', '.join(RUNTIMES)}", group="latency"
    )
    task: str = flag(TASK, f"what networks are trained for and judged by: {', '.join(tasks())}")
    head: str | None = flags.head("the task's first")
    output_stride: int | None = flags.output_stride()
    evaluator: str = flag("supernet", f"how a candidate is scored: {', '.join(evaluators())}", group="main")
    score: str = flag(
        "az_nas",
        f"what --evaluator zero-cost ranks by: {', '.join(scores())}; or of trained networks {' or '.join(JUDGES)}",
        group="scoring",
        only_for=("evaluator", "zero-cost"),
    )
    target: str | None = flag(
        None,
        "for --score adapted: pictures without labels, which networks adapt to",
        group="scoring",
    )
    table: str = flag(
        "digits",
        "where --evaluator tabular looks trained networks up: digits, or a file FILE.json",
        group="scoring",
        only_for=("evaluator", "tabular"),
    )
    proxy_epochs: tuple[int, ...] | None = of_preset("proxy.halving.epochs", Halving, evaluator="proxy")
    proxy_pictures: float | None = of_preset("proxy.pictures", ProxySettings, evaluator="proxy")
    proxy_resolution: float | None = of_preset("proxy.resolution", ProxySettings, evaluator="proxy")
    generation: int | None = of_preset("proxy.halving.generation", Halving, evaluator="proxy")
    framework: str = flag("optuna", f"whose samplers --sampler names: {', '.join(FRAMEWORKS)}", group="proposing")
    sampler: str = flag(
        "predictor", f"who proposes candidates: {', '.join(samplers())}, or your own FILE.py:NAME", group="proposing"
    )
    front_share: float = flag(
        FRONT_SHARE,
        "share of the proposals that are for the front of accuracy and cost, 0 to 1; the others are for the best "
        "network that fills the budget",
        fraction,
        group="proposing",
        only_for=("sampler", "predictor"),
    )
    objectives: tuple[str, ...] | None = flag(
        None,
        "accuracy, or robust (under attack), and what to lower: macs, params, latency (default: what has a budget, or "
        "macs)",
        objectives,
        group="proposing",
    )
    storage: str | None = flag(
        None,
        f"study that several processes share (default: the run's own): {STORAGES}",
        group="workers",
        reproduced=False,
    )
    engine: str = flag(
        "processes",
        "what runs the workers: processes, ray (actors, here or on a cluster), or nni (trials of an experiment)",
        group="workers",
        choices=ENGINES,
        reproduced=False,
    )
    nni_port: int | None = flag(
        None,
        "of the web page of --engine nni (default: one that is free)",
        whole(1024, 65_535),
        group="workers",
        only_for=("engine", "nni"),
        reproduced=False,
    )
    ray_address: str | None = flag(
        None,
        "a Ray cluster, e.g. auto or ray://HOST:10001 (default: this machine alone)",
        group="workers",
        only_for=("engine", "ray"),
        reproduced=False,
    )
    worker_gpus: float = flag(
        0.0,
        "GPUs that each Ray actor needs, e.g. 1 or 0.25",
        nonnegative,
        group="workers",
        only_for=("engine", "ray"),
        reproduced=False,
    )
    workers: int = flag(
        1, "processes that evaluate candidates side by side", whole(1, 256), group="workers", reproduced=False
    )
    trials: int = flag(240, "distinct candidates to evaluate", whole(1), group="main", reproduced=False)
    startup: int = flag(
        20, "candidates drawn uniformly from the budget before the sampler is asked", whole(1), group="proposing"
    )
    max_hours: float | None = flag(
        None,
        "no candidate is begun after so many",
        hours,
        group="main",
        reproduced=False,
    )
    finalists: int | None = flag(
        None,
        "of the best, trained by themselves at the end, as by retrain.py; the best is the run's answer (default: 8 "
        "with --evaluator supernet, at most one for 30 trials; photos: 5, segmentation, detection, pose, tokens: "
        "4, actions: 2, imagenet, control: 0)",
        whole(0, 1000),
        group="scoring",
    )
    seed: int = flag(0, "of everything that is drawn", whole(0, 2**31 - 1))
    supernet_epochs: int | None = of_preset("recipe.epochs", SupernetRecipe, evaluator="supernet")
    batch_size: int | None = of_preset("recipe.batch_size", SupernetRecipe, evaluator="supernet")
    supernet: str | None = flag(
        None,
        "a run's folder, whose finished shared weights are used: of the same space and data (default: trained here)",
        group="scoring",
        only_for=("evaluator", "supernet"),
    )
    prior: str = flag(
        "progressivity,naswot",
        "zero-cost scores that correct the supernet's, see --score, or none",
        group="scoring",
        only_for=("evaluator", "supernet"),
    )
    anchors: int = flag(
        0,
        "networks trained by themselves, by which the supernet's scores are corrected; 0, or at least 10",
        whole(0, 100_000),
        group="scoring",
        only_for=("evaluator", "supernet"),
    )
    init: str = flag("scratch", flags.INIT, group="scoring")
    skip_corrupt: bool = flags.skip_corrupt(group="device")
    loaders: int | None = flags.loaders(group="device")
    device: str = flags.device(group="device")
    out: str | None = flag(
        None,
        "the run's folder, to go on in too (default: runs/PRESET)",
        group="main",
        reproduced=False,
    )
    dry_run: bool = flag(
        False,
        "write nothing; say how long it takes",
        group="main",
        reproduced=False,
    )
    quiet: bool = flags.quiet()


def settings_of(name: str) -> SearchSettings:
    """A preset's. Raises InputError for an unknown one."""
    return SearchSettings(preset=name, **preset(name).settings)


def usual(given: Mapping[str, Any]) -> SearchSettings:
    """The settings that the given ones override: the preset's, whose bound of MACs goes where another is given.

    A task has the preset of its name where none is named, and so have T2T-ViTs' spaces. The tables that come with this
    project are of networks of `mobilenetv2-32`, so that is where they are searched.
    """
    task = given.get("task", TASK).partition(":")[0]
    task = ACTIONS if task == CROWDED else task
    of_task = task if task in PRESETS else "digits"
    suited = TOKENS if any(family_of(name) == "t2t" for name in given.get("space", "").split(",")) else of_task
    settings = settings_of(given.get("preset", suited))
    if given.get("space", settings.space) != settings.space:  # it has strides of its own
        settings = replace(settings, output_stride=None)
    if given.get("evaluator") == "tabular":
        settings = replace(settings, space=TABULATED)
    others = given.get("max_params") is not None or given.get("max_latency_ms") is not None
    return replace(settings, max_macs=None) if others else settings


def overridden(chosen: Preset, settings: SearchSettings) -> Preset:
    """The preset with what the flags say instead. Raises InputError for what cannot be."""
    for field in fields(settings):
        place, value = field.metadata.get("place"), getattr(settings, field.name)
        if place is not None and value is not None:
            chosen = _replaced(chosen, place.split("."), value)
    return chosen


def _replaced(whole: Any, place: Sequence[str], value: object) -> Any:
    name, *rest = place
    return replace(whole, **{name: _replaced(getattr(whole, name), rest, value) if rest else value})


def command(settings: SearchSettings, plugins: Sequence[str]) -> str:
    """The command line that makes the same run, without its trials, its folder, and what changes no result."""
    # Objectives are kept as the names of Cost's fields.
    objectives = tuple(objective.removesuffix("_ns") for objective in settings.objectives or ())
    words = ("python", "search.py", settings.preset)
    return typed_again(words, settings, vars(usual(vars(settings))), plugins, objectives=objectives)


SEARCH = Command(
    "search",
    SearchSettings,
    "example: python search.py digits --max-macs 1M --trials 300 --out runs/small",
    continues=True,
    defaults=usual,
)
