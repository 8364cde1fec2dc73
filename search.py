"""Search for the best architectures within a budget: see README.md, and `python search.py --help`."""

import math
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import command_line
from deployment.latency import kept_table, measure_table
from deployment.runtimes import Runtime
from evaluators.anchored import AnchoredEvaluator, AnchorSettings
from evaluators.base import Evaluator
from evaluators.choice import EVALUATORS, Elsewhere, Task, check_evaluator
from evaluators.forecast import Search
from evaluators.prior import check_prior
from evaluators.supernet import SupernetEvaluator
from evaluators.zero_cost import check_score
from presets import (
    SearchSettings,
    check_engine,
    check_latency,
    check_shared,
    command,
    preset,
    proxy_settings,
    usual,
    without_effect,
)
from reports.plan import show_plan
from reports.report import write_report
from reports.tables import front_table, front_title, scored_on
from search_space.cost import Budget, human, nanoseconds
from search_space.errors import InputError
from search_space.latency import LatencyTable, read_latency_table
from search_space.plugins import loaded_plugins
from search_space.pretrained import check_family, check_init
from search_space.space import SearchSpace
from search_space.spaces import named_space
from studies import run_folder
from studies.front import pareto_front, rescore
from studies.loop import search
from studies.nni_experiment import NNIExperiment, is_trial, run_trial, trial_threads
from studies.optuna_study import STUDY_NAME, OptunaStudy
from studies.ray_actors import RayActors
from studies.samplers import Task as SamplerTask
from studies.samplers import make_sampler, sampler_class
from studies.samplers.nni_tuners import of_framework
from studies.storages import shown
from studies.workers import helpers, is_helper, started
from training import distributed
from training.data import Dataset, load_data
from training.device import default_threads, resolve_device, use_threads
from training.progress import Reporter, duration

EXAMPLE = "example: python search.py digits --max-macs 1M --trials 300 --out runs/small"


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = command_line.parse_settings(SearchSettings, arguments, example=EXAMPLE, defaults=usual)
    chosen = preset(settings.preset)
    reproducing = command(settings, loaded_plugins())
    settings = replace(settings, sampler=of_framework(settings.framework, settings.sampler))
    sampler_class(settings.sampler)
    check_init(settings.init)
    check_evaluator(settings.evaluator)
    check_engine(settings)
    check_shared(settings)
    check_latency(settings)
    check_score(settings.score)
    check_prior(settings.prior)
    folder = Path(settings.out or f"runs/{settings.preset}")
    run_folder.check_name(folder)
    begun = time.monotonic()
    reporter = Reporter(settings.quiet or distributed.rank() > 0 or is_helper() or is_trial())
    until = started() + 3600 * (settings.max_hours or math.inf)

    def is_over() -> bool:
        return time.time() > until

    elsewhere = settings.engine != "processes"
    shared = settings.storage is not None or (settings.workers > 1 and not elsewhere)
    storage = settings.storage or f"sqlite:///{folder / run_folder.STUDY}"
    study_name = STUDY_NAME if settings.storage is None else f"{STUDY_NAME}-{folder.resolve().name}"
    device = resolve_device(settings.device)
    space = named_space(settings.space)
    data = load_data(settings.data, max(space.resolution), device, reporter, **_reading(settings))
    space = replace(space, num_classes=data.num_classes)
    if settings.init == "torchvision":
        check_family(space.largest)
    space.table(Budget(settings.max_macs, settings.max_params))  # refuses a budget below the smallest network
    if settings.dry_run and settings.latency_table is None and not run_folder.begun(folder):
        if settings.max_latency_ms is not None:
            reporter.say("latency: its bound is left out here, for a dry run measures no table")
        settings = replace(settings, max_latency_ms=None)
    known = distributed.from_first(lambda: _latency(settings, space, folder, reporter, shared))
    space = replace(space, latency=None if known is None else LatencyTable.from_dict(known))
    budget = Budget(settings.max_macs, settings.max_params, nanoseconds(settings.max_latency_ms))
    recipe = replace(
        chosen.recipe,
        epochs=settings.supernet_epochs or chosen.recipe.epochs,
        batch_size=settings.batch_size or chosen.recipe.batch_size,
    )
    space.table(budget)  # refuses a budget that nothing meets
    task = Task(
        space=space,
        budget=budget,
        data=data,
        seed=settings.seed,
        folder=folder,
        reporter=reporter,
        init=settings.init,
        supernet=recipe,
        scoring=chosen.scoring,
        prior=settings.prior,
        anchors=AnchorSettings(settings.anchors, chosen.anchor),
        proxy=proxy_settings(chosen, settings),
        score=settings.score,
        table=settings.table,
    )
    evaluator = EVALUATORS[settings.evaluator](task)
    if is_trial():
        use_threads(trial_threads())
        run_trial(space, evaluator)
        return
    bounded = tuple(name for name, _ in budget.bounds()) or ("macs",)
    objectives = (evaluator.objective, *(bounded if settings.objectives is None else settings.objectives[1:]))
    costs = objectives[1:] or bounded  # what a front is of
    sampler = make_sampler(settings.sampler, SamplerTask(space, budget, settings.seed, settings.startup, objectives))
    identity = {
        "space": space.to_dict(),
        "latency": space.latency and space.latency.digest,
        "data": data.identity,
        "budget": asdict(budget),
        "evaluator": evaluator.identity(),
        "sampler": {
            "name": settings.sampler,
            "startup": settings.startup,
            "objectives": objectives,
            "rescored": chosen.rescored,
        },
        "seed": settings.seed,
    }
    if settings.dry_run:
        run_folder.check_same(folder, identity)
        use_threads(max(1, default_threads() // settings.workers))
        _announce(reporter, space, budget, data, evaluator, settings)
        if distributed.rank() == 0:
            sought = Search(space, budget, settings.seed, settings.trials, settings.workers, chosen.rescored)
            show_plan(evaluator, sought, reporter)
        reporter.say(f"dry run: nothing was written; without --dry-run the run goes to {folder}")
        return
    free = {
        "command": reproducing,
        "data": settings.data,
        "trials": settings.trials,
        "device": str(device),
        "threads": max(1, default_threads() // settings.workers),
        "storage": settings.storage and shown(settings.storage),
        "processes": distributed.world(),
    }
    with distributed.entered_by_first(run_folder.opened(folder, identity, free, shared=shared)) as recorded:
        use_threads(recorded["threads"])
        _announce(reporter, space, budget, data, evaluator, settings)
        if distributed.rank() > 0:  # the others train the shared weights with the first, which goes on alone
            if isinstance(evaluator, SupernetEvaluator | AnchoredEvaluator):
                evaluator.prepare()
            return
        with run_folder.turn(folder, "study", reporter):
            study = OptunaStudy(sampler, storage, name=study_name, identity=identity, shared=shared)
        with run_folder.turn(folder, "preparation", reporter):
            evaluator.prepare()
        distributed.leave()
        finished = len(study.candidates()) >= settings.trials
        with ExitStack() as working:
            evaluation: RayActors | NNIExperiment | None = None
            if not elsewhere and not is_helper() and not finished:
                working.enter_context(helpers(settings.workers - 1, folder, reporter))
            elif elsewhere and not finished:
                engine = _actors if settings.engine == "ray" else _experiment
                evaluation = working.enter_context(
                    closing(engine(settings, task, evaluator.objective, recorded["threads"]))
                )
            candidates = search(
                study, evaluator, trials=settings.trials, reporter=reporter, evaluation=evaluation, is_over=is_over
            )
        if is_over() and len(candidates) < settings.trials:
            study.refresh()  # others may have been evaluating still
            candidates = study.candidates()
            reporter.say(
                f"--max-hours {settings.max_hours:g}: over after {len(candidates)} of {settings.trials} candidates; "
                "the same command goes on"
            )
            if not candidates:
                return
        study.close()
        if is_helper():
            return
        if not candidates:
            raise InputError(f"{folder}: not one architecture within {budget} could be evaluated")
        with run_folder.turn(folder, "results", reporter):
            front = run_folder.finished_front(folder, candidates, evaluator.objective)
            if front is None:
                best_again = rescore(candidates, evaluator, chosen.rescored, reporter, costs)
                front = pareto_front(best_again, costs)
                run_folder.write_results(folder, best_again, front, len(candidates), budget, data)
        scored_by = scored_on(evaluator.identity(), evaluator.objective, len(data.validation))
        title = front_title(len(candidates), budget, scored_by)
        reporter.show(front_table(front, title, evaluator.objective))
        with run_folder.turn(folder, "report", reporter):
            write_report(folder, reporter, storage=storage)
        took = f" ({reporter.took()})" if reporter.seconds else ""
        reporter.say(f"{folder}: done in {duration(time.monotonic() - begun)}{took}")
        reporter.say(f"watch:  optuna-dashboard {shlex.quote(shown(storage))}")
        plugins = "".join(f" --plugin {shlex.quote(path)}" for path in loaded_plugins())
        reporter.say(f"next:   python retrain.py {shlex.quote(str(folder))} --compare{plugins}")


def _reading(settings: SearchSettings) -> dict[str, Any]:
    """How `load_data` is to go about the pictures."""
    chosen = preset(settings.preset)
    trained_on = chosen.proxy.recipe if settings.evaluator == "proxy" else chosen.recipe
    return {
        # Crops at random places and scales want the whole picture, so its file.
        "streamed": True if trained_on.augmentation == "random-resized-crop" else None,
        "skip_corrupt": settings.skip_corrupt,
        "loaders": settings.loaders,
    }


def _announce(
    reporter: Reporter,
    space: SearchSpace,
    budget: Budget,
    data: Dataset,
    evaluator: Evaluator,
    settings: SearchSettings,
) -> None:
    """Says what is searched, and how."""
    reporter.say(f"space {space.name}: {_about(*space.count())} architectures")
    reporter.say(f"within {budget}: {_about(*space.count(budget))} architectures")
    reporter.say(f"data {data.name}: {len(data.train)} training, {len(data.validation)} validation pictures")
    if unused := without_effect(settings):
        reporter.say(f"without effect: {', '.join(unused)}")
    reporter.say(f"{evaluator.about()}; then {settings.trials} candidates by sampler {settings.sampler}")


def _actors(settings: SearchSettings, task: Task, objective: str, threads: int) -> RayActors:
    """Ray actors, as many as there are workers, each with the task's evaluator."""
    fields = {name: value for name, value in vars(task).items() if name not in ("data", "reporter")}
    fields["folder"] = task.folder.resolve()
    side = max(task.space.resolution)
    make = Elsewhere(
        settings.evaluator,
        fields,
        settings.data,
        side,
        _reading(settings),
        settings.device,
        threads,
        loaded_plugins(),
    )
    return RayActors(
        make,
        settings.workers,
        objective=objective,
        address=settings.ray_address,
        resources={"num_cpus": threads, "num_gpus": settings.worker_gpus},
        say=task.reporter.say,
    )


def _experiment(settings: SearchSettings, task: Task, objective: str, threads: int) -> NNIExperiment:
    """An NNI experiment of as many trials at once as there are workers."""
    experiment = NNIExperiment(
        task.space,
        task.folder,
        settings.workers,
        sampler=settings.sampler,
        threads=threads,
        objective=objective,
        port=settings.nni_port,
    )
    task.reporter.say(f"NNI's page, on this machine alone: {experiment.page}")
    return experiment


def _latency(
    settings: SearchSettings, space: SearchSpace, folder: Path, reporter: Reporter, shared: bool
) -> dict[str, Any] | None:
    """The table of latencies, described: the given one, or for a bound the run's own, measured if need be."""
    if settings.latency_table is not None:
        table = read_latency_table(Path(settings.latency_table))
        table.check(space, settings.latency_table)
        reporter.say(f"latency by {settings.latency_table}: {table}")
        return table.to_dict()
    if settings.max_latency_ms is None:
        return None
    runtime = Runtime(settings.runtime, 1, torch.device("cpu"))
    if run_folder.begun(folder):
        return kept_table(folder / run_folder.LATENCY, runtime).to_dict()
    with run_folder.locked(folder, shared=shared), run_folder.turn(folder, "latency", reporter):
        return measure_table(space, runtime, folder / run_folder.LATENCY, reporter).to_dict()


def _about(low: int, high: int) -> str:
    if low == high:
        return f"{low:,}"
    few, many = (f"{count:.3g}" if count >= 10**15 else human(count) for count in (low, high))
    return f"about {few}" if few == many else f"between {few} and {many}"


if __name__ == "__main__":
    sys.exit(command_line.run(main, continues=True))
