"""What a search is made of, from its settings: space, budget, latencies, pictures, first weights, where it goes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from commands.heads import head_of_space
from commands.planning import plan_search
from commands.presets import preset
from commands.search_settings import SearchSettings
from deployment.latency import kept_table, measure_table
from deployment.runtimes import Runtime
from evaluators.choice import Setup, check_acting, traits_of
from evaluators.weight_sources import first_weights
from foundation import distributed
from foundation.amounts import nanoseconds
from foundation.errors import InputError
from foundation.progress import Reporter, duration
from search_space.cost.cost import Budget
from search_space.cost.latency import LatencyTable, read_latency_table
from search_space.cost.priced_space import PricedSpace
from search_space.cost.space_pieces import check_complete
from search_space.dilation import dilated
from search_space.first_weights import SCRATCH, FirstWeights
from search_space.space import SearchSpace
from search_space.spaces import named_space
from studies.runs import run_folder
from tasks.choice import task
from training.data.datasets import Dataset
from training.task import Acting, check_class_labels, on

LONG = 5.0  # seconds of counting that a user is told of


@dataclass(frozen=True)
class Own:
    """What a program has ready, in place of what settings name; pictures as large as the space's largest resolution."""

    space: SearchSpace | None = None
    data: Dataset | None = None


def run_folder_of(settings: SearchSettings) -> Path:
    """Where the run goes."""
    return Path(settings.out or f"runs/{settings.preset}")


def is_elsewhere(settings: SearchSettings) -> bool:
    """Whether candidates are evaluated by an engine, not by processes that take part in the study."""
    return settings.engine != "processes"


def is_shared(settings: SearchSettings) -> bool:
    """Whether several processes work in the folder."""
    return settings.storage is not None or (settings.workers > 1 and not is_elsewhere(settings))


def search_setup(settings: SearchSettings, device: torch.device, reporter: Reporter, own: Own) -> Setup:
    """What evaluators are made of: the space, the budget, the pictures, and how to train and score."""
    chosen, folder = preset(settings.preset), run_folder_of(settings)
    what_for = task(settings.task, settings.head)
    check_acting(settings.evaluator, what_for)
    if isinstance(what_for, Acting) and settings.finalists:
        raise InputError(f"`finalists` {settings.finalists}: not for task {what_for.name}; leave it out")
    space = dilated(own.space or named_space(settings.space), settings.output_stride)
    if own.data is not None:
        check_class_labels(what_for, "a dataset of one's own", f"leave `task` {what_for.name} out")
    side = max(space.resolution)
    with reporter.doing("reading data"):
        data = own.data or what_for.data(settings.data, side, device, reporter, **how_to_read(settings))
    what_for = on(what_for, data)
    if not run_folder.begun(folder):  # a file that cannot be read ends the command before anything is written
        _ = data.train, data.validation
    if (seconds := space.counting_seconds()) > LONG:
        reporter.say(f"counting the architectures of {space.name}: about {duration(seconds)}")
    head = head_of_space(what_for, data.num_classes, space)
    untimed = PricedSpace(space, head, budget=Budget(settings.max_macs, settings.max_params))
    with reporter.doing("counting what networks cost"):
        _ = untimed.table  # refuses a budget below the smallest network
    init = _init(settings, untimed, reporter)
    max_latency_ms = settings.max_latency_ms
    if settings.dry_run and settings.latency_table is None and not run_folder.begun(folder):
        if max_latency_ms is not None:
            reporter.say("latency: its bound is left out here, for a dry run measures no table")
        max_latency_ms = None
    measured = replace(settings, max_latency_ms=max_latency_ms)
    known = distributed.from_first(lambda: _latency(measured, untimed, folder, reporter))
    budget = Budget(settings.max_macs, settings.max_params, nanoseconds(max_latency_ms))
    priced = PricedSpace(space, head, None if known is None else LatencyTable.from_dict(known), budget)
    with reporter.doing("counting what networks cost"):
        _ = priced.table  # refuses a budget that nothing meets
    return Setup(
        priced=priced,
        data=data,
        seed=settings.seed,
        folder=folder,
        reporter=reporter,
        task=what_for,
        init=init,
        own=plan_search(chosen, settings, data.count("train")).own,
    )


def how_to_read(settings: SearchSettings) -> dict[str, Any]:
    """How `Task.data` is to go about the pictures."""
    chosen = preset(settings.preset)
    return {
        "streamed": traits_of(settings.evaluator).recipe(chosen).streamed,
        "skip_corrupt": settings.skip_corrupt,
        "loaders": settings.loaders,
    }


def _init(settings: SearchSettings, priced: PricedSpace, reporter: Reporter) -> FirstWeights:
    """Where the first weights come from, `auto` decided. Raises InputError if the space's cannot come from there."""
    if settings.init == "auto" and traits_of(settings.evaluator).without_init:
        return SCRATCH
    several = priced.space.members if len(priced.space.members) > 1 else ()
    kinds = [member.widest(own_kernels=True)[0][1] for member in several]
    init = first_weights(settings.init, priced.largest, reporter, *kinds)
    if init.told:
        reporter.say(f"init {init.name}: {init.told}")

    widest = (architecture for _, architecture in priced.space.widest(own_kernels=True))
    distributed.from_first(lambda: init.check(priced.head, priced.smallest, *widest))
    return init


def _latency(settings: SearchSettings, priced: PricedSpace, folder: Path, reporter: Reporter) -> dict[str, Any] | None:
    """The table of latencies, described: the given one, or for a bound the run's own, measured if need be."""
    if settings.latency_table is not None:
        table = read_latency_table(Path(settings.latency_table))
        check_complete(table, priced.space, priced.head, settings.latency_table)
        reporter.say(f"latency by {settings.latency_table}: {table}")
        return table.to_dict()
    if settings.max_latency_ms is None:
        return None
    runtime = Runtime(settings.runtime, 1, torch.device("cpu"))
    if run_folder.begun(folder):
        return kept_table(folder / run_folder.LATENCY, runtime).to_dict()
    with run_folder.locked(folder, shared=is_shared(settings)), run_folder.turn(folder, "latency", reporter):
        return measure_table(priced, runtime, folder / run_folder.LATENCY, reporter).to_dict()
