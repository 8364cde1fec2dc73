"""Search for the best architectures within a budget: see README.md, and `python search.py --help`."""

import math
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from commands.another_run import SEARCHED
from commands.finalists import Finalists, finalists_of
from commands.planning import BEFORE
from commands.presets import preset
from commands.search_checks import (
    as_task,
    check_engine,
    check_latency,
    check_objectives,
    check_shared,
)
from commands.search_settings import SEARCH, SearchSettings, command
from commands.search_setup import Own, how_to_read, is_elsewhere, is_shared, run_folder_of, search_setup
from commands.search_told import announce, say_plan
from commands.suited import suited
from evaluators.base import Evaluator, adopted, prepare
from evaluators.choice import EVALUATORS, Setup, check_evaluator
from evaluators.elsewhere import Elsewhere
from evaluators.forecast import Forecasting
from evaluators.prior import check_prior
from evaluators.titles import recorded_title, title_of
from evaluators.zero_cost import check_score
from foundation import distributed
from foundation.device import default_threads, resolve_device
from foundation.errors import InputError
from foundation.metric import Metric, described
from foundation.plugins import loaded_plugins
from foundation.progress import Reporter, duration
from foundation.started_as import as_typed
from reports.report import write_report
from reports.terminal.tables import finalists_table, front_table, front_title
from reports.uncertainty import measured_on
from search_space.first_weights import check_init
from studies.engines.ray_actors import RayActors
from studies.engines.workers import helpers, is_helper, started
from studies.finalists import read_finalists
from studies.front import pareto_front, rescore
from studies.loop import ended, search
from studies.nni.experiment import NNIExperiment, is_trial, run_trial, trial_threads
from studies.nni.tuners import of_framework
from studies.runs import run_folder
from studies.runs.identity import FILES, PICTURES
from studies.samplers import Goal, Sampler, make_sampler, sampler_class
from studies.storage.optuna_study import OptunaStudy
from studies.storage.storages import without_password
from studies.storage.study_names import name_of_run
from studies.trials import Candidate
from training.lanes import use_threads
from training.specs import named
from training.task import prepare as prepare_task
from training.task import things

_Finals = Callable[[int], Finalists | None]
"""How a search ends that has so many candidates."""


class _Found(NamedTuple):
    """The candidates, their front where an earlier command has finished with it, and whether hours ended the search.

    Attributes:
        numbers: of their trials, by digest.
    """

    candidates: list[Candidate]
    front: list[Candidate] | None
    stopped: bool
    numbers: dict[str, int]


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    run(SEARCH.parse(arguments, _with_preset))


def run(settings: SearchSettings, own: Own | None = None) -> None:
    """Searches as the settings say.

    Args:
        own: what a program brings that calls this; no command can make its run again, and none is recorded. None for a
            command.
    """
    begun, since = time.monotonic(), started()
    reproducing = command(settings, loaded_plugins()) if own is None else None
    settings = replace(settings, sampler=of_framework(settings.framework, settings.sampler))
    settings = as_task(settings)
    _check(settings)
    reporter = _reporter(settings.quiet)
    device = resolve_device(settings.device)
    setup = search_setup(settings, device, reporter, own or Own())
    evaluator = adopted(EVALUATORS[settings.evaluator](setup))
    if is_trial():
        use_threads(trial_threads(), lanes=device.type == "cpu")
        run_trial(setup.priced.space, evaluator)
        return
    bounded = tuple(name for name, _ in setup.priced.budget.bounds()) or ("macs",)
    metric = evaluator.metric
    check_objectives(settings, metric)
    costs = bounded if settings.objectives is None else settings.objectives[1:]
    goal = Goal(setup.priced, settings.seed, settings.startup, metric, costs, settings.front_share)
    sampler = make_sampler(settings.sampler, goal)
    identity = _identity(settings, setup, evaluator, goal, sampler)
    threads = max(1, default_threads() // settings.workers)
    free = {
        "command": reproducing,
        "preset": settings.preset,
        "data": None if own is not None and own.data is not None else settings.data,
        "trials": settings.trials,
        "device": str(device),
        "threads": threads,
        "storage": settings.storage and without_password(settings.storage),
        "processes": distributed.world(),
        FILES: dict(setup.data.files),
        PICTURES: {split: setup.data.count(split) for split in ("train", "validation")},
        **recorded_title(evaluator),
        **setup.init.recorded,
    }
    finals = partial(finalists_of, settings, setup, metric, own is not None and own.data is not None)
    if settings.dry_run:
        run_folder.check_same(setup.folder, identity, free, asked=SEARCHED)
        use_threads(threads, lanes=device.type == "cpu")
        with TemporaryDirectory() as folder:
            prepare_task(setup.task, Path(folder), setup.data, reporter)
            if not isinstance(
                evaluator, Forecasting
            ):  # it is prepared, to time its scores, and may write files for that
                evaluator = adopted(EVALUATORS[settings.evaluator](replace(setup, folder=Path(folder))))
            say_plan(settings, setup, evaluator, finals())
        return
    opened = run_folder.opened(setup.folder, identity, free, shared=is_shared(settings), asked=SEARCHED)
    with distributed.entered_by_first(opened) as recorded:
        use_threads(recorded["threads"], lanes=device.type == "cpu")
        announce(settings, setup, evaluator, finals())
        if distributed.rank() == 0 and setup.priced.latency is not None:
            run_folder.keep_times(setup.folder, setup.priced.latency)
        if distributed.rank() > 0:  # the others prepare with the first, which goes on alone
            if not distributed.from_first(lambda: False):
                prepare(evaluator)
            return
        found = _candidates(settings, setup, evaluator, sampler, identity, recorded["threads"], finals, since)
        if is_helper() or not found.candidates:
            return
        if settings.workers > 1 and recorded["threads"] == 1:  # the others have ended; a lane more changes no bit
            use_threads(min(2, default_threads()), lanes=device.type == "cpu")
        _finish(settings, setup, evaluator, found, costs or bounded, finals)  # a front is of a cost at least
        took = f" ({reporter.took()})" if reporter.seconds else ""
        reporter.say(f"{setup.folder}: done in {duration(time.monotonic() - begun)}{took}")
        address = shlex.quote(without_password(_storage(settings, setup.folder)))
        reporter.say_command("watch:", f"optuna-dashboard {address}")
        if own is not None:
            return
        plugins = "".join(f" --plugin {shlex.quote(path)}" for path in loaded_plugins())
        beside = "" if setup.init.of_one_space else " --compare"  # which has networks of no space
        reporter.say_command("next:", as_typed(f"python retrain.py {shlex.quote(str(setup.folder))}{beside}{plugins}"))


def _with_preset(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, with the preset that suits the pictures where neither it nor a space was."""
    chosen = suited(given)
    if chosen is None:
        return given
    name, why = chosen
    _reporter(given.get("quiet", False)).say(why)
    return {**given, "preset": name}


def _reporter(quiet: bool) -> Reporter:
    """Of several processes one speaks."""
    return Reporter(quiet or distributed.rank() > 0 or is_helper() or is_trial())


def _check(settings: SearchSettings) -> None:
    """Refuses what can be refused before anything is read."""
    sampler_class(settings.sampler)
    check_init(settings.init)
    check_evaluator(settings.evaluator)
    check_engine(settings)
    check_shared(settings)
    check_latency(settings)
    check_score(settings.score)
    check_prior(settings.prior)
    run_folder.check_name(run_folder_of(settings))


def _storage(settings: SearchSettings, folder: Path) -> str:
    return settings.storage or f"sqlite:///{folder / run_folder.STUDY}"


def _identity(
    settings: SearchSettings, setup: Setup, evaluator: Evaluator, goal: Goal, sampler: Sampler
) -> dict[str, Any]:
    """All that makes two runs the same."""
    return {
        "space": setup.priced.to_dict(),
        "latency": setup.priced.latency and setup.priced.latency.digest,
        "data": setup.data.identity,
        "budget": asdict(setup.priced.budget),
        "evaluator": evaluator.identity(),
        "sampler": {
            "name": settings.sampler,
            "startup": settings.startup,
            "objectives": goal.objectives,
            "rescored": preset(settings.preset).rescored,
            **({"front_share": goal.front_share} if sampler.balances and goal.front_share != BEFORE else {}),
        },
        "seed": settings.seed,
        **named("task", setup.task.name),
        **described(goal.metric),
    }


def _candidates(
    settings: SearchSettings,
    setup: Setup,
    evaluator: Evaluator,
    sampler: Sampler,
    identity: dict[str, Any],
    threads: int,
    finals: _Finals,
    since: float,
) -> _Found:
    """Evaluates until there are as many candidates as wanted, or the hours are over; none if these were too few.

    Args:
        since: when the search began, in seconds since 1970.
    """
    folder, reporter, elsewhere = setup.folder, setup.reporter, is_elsewhere(settings)
    until = since + 3600 * (settings.max_hours or math.inf)

    def is_over() -> bool:
        return time.time() > until

    with run_folder.turn(folder, "study", reporter):
        study = OptunaStudy(
            sampler,
            _storage(settings, folder),
            name=name_of_run(folder, shared=settings.storage is not None),
            own=settings.storage is None,
            identity=identity,
            asked=SEARCHED,
            shared=is_shared(settings),
            say=reporter.say,
        )
    finished = len(study.candidates()) >= settings.trials
    front = None
    if finished and not is_helper():
        with run_folder.turn(folder, "results", reporter):
            front = _finished_front(setup, evaluator, study.candidates(), finals(len(study.candidates())))
        if front is not None:
            complete = f"already complete, with {len(study.candidates())} candidates"
            reporter.say(f"{folder}: {complete}; for more give --trials")
    # What has its front already evaluates nothing.
    if not distributed.from_first(lambda: front is not None):
        with run_folder.turn(folder, "preparation", reporter):
            prepare(evaluator)
    distributed.leave()
    if front is not None:
        study.refresh()
        return _Found(ended(study, reporter), front, False, _closed(study))
    with ExitStack() as working:
        evaluation: RayActors | NNIExperiment | None = None
        if not elsewhere and not is_helper() and not finished:
            working.enter_context(helpers(settings.workers - 1, folder, reporter, since, is_over))
        elif elsewhere and not finished:
            engine = _actors if settings.engine == "ray" else _experiment
            evaluation = working.enter_context(closing(engine(settings, setup, evaluator.metric, threads)))
        candidates = search(
            study, evaluator, trials=settings.trials, reporter=reporter, evaluation=evaluation, is_over=is_over
        )
    stopped = is_over() and len(candidates) < settings.trials
    if stopped:
        study.refresh()  # others may have been evaluating still
        candidates = study.candidates()
        reporter.say(
            f"--max-hours {settings.max_hours:g}: over after {len(candidates)} of {settings.trials} candidates; "
            "the same command goes on"
        )
    numbers = _closed(study)
    if not candidates and not stopped and not is_helper():
        raise InputError(f"{folder}: not one architecture within {setup.priced.budget} could be evaluated")
    return _Found(candidates, None, stopped, numbers)


def _closed(study: OptunaStudy) -> dict[str, int]:
    """The numbers of the study's trials, which is given up."""
    numbers = {} if is_helper() else study.numbers()
    study.close()
    return numbers


def _finished_front(
    setup: Setup, evaluator: Evaluator, candidates: Sequence[Candidate], finals: Finalists | None
) -> list[Candidate] | None:
    """The front in the folder, where it is one of these candidates, and the finalists among them were trained."""
    best = finals.known_winner(len(candidates)) if finals else None
    if finals and best is None:
        return None
    return run_folder.finished_front(
        setup.folder,
        candidates,
        evaluator.metric,
        setup.priced.budget,
        setup.data,
        setup.reporter,
        setup.task.name,
        best,
    )


def _finish(
    settings: SearchSettings,
    setup: Setup,
    evaluator: Evaluator,
    found: _Found,
    costs: tuple[str, ...],
    finals_of: _Finals,
) -> None:
    """Writes the front and the best, unless they are there, and the report; shows the front."""
    folder, reporter = setup.folder, setup.reporter
    candidates, front, stopped, numbers = found
    finals = finals_of(len(candidates))
    if stopped and finals:
        reporter.say("the finalists are trained once all candidates are there; until then the best score is the best")
        finals = None
    if front is None:
        with run_folder.turn(folder, "results", reporter):
            front = _finished_front(setup, evaluator, candidates, finals)  # of another process that has just finished
            if front is None:
                budget, count = setup.priced.budget, preset(settings.preset).rescored
                again = rescore(candidates, evaluator, count, reporter, costs, budget if finals else None)
                front = pareto_front(again, costs)
                best = finals.winner(again, len(candidates)) if finals else None
                run_folder.write_results(folder, front, len(candidates), budget, setup.data, setup.task.name, best)
    metric, pictures = evaluator.metric, setup.data.count("validation")
    measured = measured_on(evaluator.identity(), metric, pictures)
    scored = title_of(evaluator.identity(), metric, pictures, recorded_title(evaluator).get("title")).scored
    scored = scored.replace("pictures", things(setup.task))
    reporter.show(front_table(front, front_title(len(candidates), setup.priced.budget, scored), numbers, measured))
    decided = read_finalists(folder, metric) if finals else None
    if decided is not None:
        reporter.show(finalists_table(decided.finals, decided.epochs, decided.metric, numbers, pictures))
    with run_folder.turn(folder, "report", reporter), reporter.doing("writing the report"):
        write_report(folder, reporter, storage=_storage(settings, folder))


def _actors(settings: SearchSettings, setup: Setup, metric: Metric, threads: int) -> RayActors:
    """Ray actors, as many as there are workers, each with the setup's evaluator."""
    fields = {name: value for name, value in vars(setup).items() if name not in ("data", "reporter", "task")}
    fields |= {"folder": setup.folder.resolve()}
    side = max(setup.priced.space.resolution)
    make = Elsewhere(
        settings.evaluator,
        fields,
        settings.data,
        side,
        how_to_read(settings),
        settings.device,
        threads,
        loaded_plugins(),
        setup.task.name,
    )
    return RayActors(
        make,
        settings.workers,
        metric=metric,
        address=settings.ray_address,
        resources={"num_cpus": threads, "num_gpus": settings.worker_gpus},
        say=setup.reporter.say,
    )


def _experiment(settings: SearchSettings, setup: Setup, metric: Metric, threads: int) -> NNIExperiment:
    """An NNI experiment of as many trials at once as there are workers."""
    experiment = NNIExperiment(
        setup.priced.space,
        setup.folder,
        settings.workers,
        sampler=settings.sampler,
        threads=threads,
        metric=metric,
        port=settings.nni_port,
    )
    setup.reporter.say(f"NNI's page, on this machine alone: {experiment.page}")
    return experiment
