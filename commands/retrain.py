"""Train a found architecture, alone or beside hand-designed ones: see README.md, and `python retrain.py --help`."""

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from commands.afterwards import say_next
from commands.another_run import RETRAINED
from commands.compare import Contest, Foreseen, check_comparable, middle
from commands.planning import nothing_written, plan_retraining, suits
from commands.recipes import RETRAIN, RetrainSettings, acting_method, chosen_method, recipe, resolved
from commands.retrain_told import say_plan
from commands.retraining import attacking, begun_in, init_of, networks_beside, task_name, teaching_of
from commands.same_training import same_training
from deployment.export import calibration_pictures, check_exported, check_installed, export
from deployment.precisions import compare_precisions
from evaluators.finalists import FinalistSettings, FinalistTraining
from foundation import distributed
from foundation.device import default_threads, resolve_device
from foundation.errors import InputError
from foundation.files import check_inside, write_json
from foundation.metric import Metric, described
from foundation.plugins import loaded_plugins
from foundation.progress import Reporter, duration
from reports.kept_tests import keep_test
from reports.report import write_report
from reports.terminal.comparison import ComparedNetwork, comparison, comparison_table
from reports.terminal.comparison_plot import plot_comparison
from reports.terminal.deployed_tables import precision_table
from reports.terminal.description import head_alone
from reports.terminal.numbers_table import numbers_table
from search_space.architecture import Architecture
from search_space.cost.cost import Cost, measure
from search_space.first_weights import check_init
from studies.runs import run_folder
from studies.runs.identity import FILES, PICTURES
from studies.runs.source import check_former, read_source
from studies.storage.storages import check_address, without_password
from tasks.choice import task
from training.data.datasets import Dataset
from training.lanes import use_threads
from training.methods.choice import check_method
from training.model_file import load_model
from training.procedure import Procedure
from training.resize import resized
from training.sizing import told_apart
from training.specs import PPO
from training.standalone import (
    CHECKPOINT,
    WEIGHTS,
    Trained,
    check_trainable,
    epochs_behind,
    folder_name,
    train_standalone,
)
from training.task import Acting, check_class_labels, on, prepare, things

COMPARISON, PLOT = "comparison.json", "comparison.png"
KEPT = (f"*/{CHECKPOINT}*", f"*/{WEIGHTS}", run_folder.RESULTS)
"""What another recipe may not take the place of."""


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = RETRAIN.parse(arguments)
    again = same_training(settings, loaded_plugins())
    started = time.monotonic()
    reporter = Reporter(settings.quiet or distributed.rank() > 0)
    device = resolve_device(settings.device)
    check_init(settings.init or "scratch", "supernet")
    chosen = recipe(settings)
    check_installed(settings.export)
    if settings.micro_batch == "auto" and chosen.sync_batch_norm and distributed.world() > 1:
        raise InputError("--micro-batch auto: not with --sync-batch-norm yes; give a number")
    check_method(settings.method)
    method = chosen_method(settings)
    source = read_source(settings.source, settings.data, settings.network)
    given_init = settings.init
    settings = resolved(settings, suits(source.preset, source.architecture.family, settings.task or source.task))
    chosen = recipe(settings)
    if settings.storage is not None:
        check_address(settings.storage)
        if source.run is None:
            raise InputError(f"--storage {without_password(settings.storage)}: {settings.source} is not a run's folder")
    if source.recorded:
        reporter.say(f"data {source.data}, as {settings.source} says; --data names others")

    method = attacking(settings, source.task, method)
    what_for = task(task_name(settings, source.task, method), settings.head)
    if isinstance(what_for, Acting):
        method = acting_method(settings, method)
    elif method.name == PPO != settings.method:
        raise InputError(
            f"`mixreg`, `mixobs` and `crop` are for networks that act, not for task {what_for.name}; leave them out"
        )
    source = source.dilated(settings.output_stride)

    @cache
    def load(side: int) -> Dataset:
        return what_for.data(
            source.data,
            side,
            device,
            reporter,
            streamed=chosen.streamed,
            skip_corrupt=settings.skip_corrupt,
            loaders=settings.loaders,
            download=not source.recorded,
        )

    with reporter.doing("reading data"):
        data = load(source.architecture.resolution)
    what_for = on(what_for, data)
    head = what_for.head(data.num_classes, source.architecture)
    source.check(data, head)
    if source.changed(data):
        reporter.say(
            f"data: {source.data} is not what the search was given any more (files were added, removed, renamed or "
            "changed): what it trained on may be among what is tested on now"
        )
    init = init_of(given_init, settings, source, reporter)
    check_exported(what_for, settings.export)
    if settings.teacher is not None:
        check_class_labels(what_for, f"`teacher` {settings.teacher}", "leave it out")
    teaching = teaching_of(settings.teacher, data) if settings.teacher else None
    own = {"found" if source.priced else "given": source.architecture}
    networks = own
    if settings.compare:
        check_comparable(init)
        networks = {**own, **networks_beside(source, what_for, head, middle)}
    distributed.from_first(lambda: init.check(head, *networks.values()))
    # Each network has pictures of its own side: what it comes to does not depend on what is trained beside it.
    with reporter.doing("reading data"):
        sized = {architecture.resolution: load(architecture.resolution) for architecture in networks.values()}
        for pictures in sized.values():
            len(pictures.test)  # is read last, but a picture that cannot be decoded is found before anything is trained
    chosen, said = plan_retraining(settings, len(data.train))
    few = told_apart(len(data.test), "test") if what_for.metric.is_share else None
    for line in (said, few):
        if line:
            reporter.say(line)
    procedure = Procedure(chosen, what_for, init, teaching, settings.micro_batch == "auto", method)
    for architecture in networks.values():
        check_trainable(architecture, sized[architecture.resolution], procedure)
    number = "" if settings.network is None else f"-{settings.network}"
    out = Path(settings.out) if settings.out else source.folder / f"retrain{number}"
    if not settings.out:
        check_inside(out, source.folder)
    check_former(out, KEPT, source)
    identity = {
        "architecture": source.architecture.digest(),
        "data": data.identity,
        "recipe": chosen.described(),
        **procedure.described(),
        **described(what_for.metric),
    }
    free = {
        "command": again,
        "data": source.data,
        "device": str(device),
        "threads": default_threads(),
        "processes": distributed.world(),
        "seeds": settings.seeds,
        FILES: dict(data.files),
        PICTURES: {"test": len(data.test)},
        **init.recorded,
    }
    contests = settings.compare and distributed.world() == 1
    contested = FinalistTraining(load, data.count("train"), what_for, FinalistSettings(0, chosen, init), out, reporter)

    def behind(name: str, architecture: Architecture, seed: int) -> int:
        return epochs_behind(
            architecture,
            load(architecture.resolution),
            procedure,
            seed=seed,
            folder=out / folder_name(name, seed),
            begun=begun_in(out, source, architecture),
        )

    if settings.dry_run:
        run_folder.check_same(out, identity, free, KEPT, RETRAINED)
        use_threads(default_threads(), lanes=device.type == "cpu")
        with TemporaryDirectory() as temporary:
            prepare(what_for, Path(temporary), data, reporter)
        if distributed.rank() == 0:
            foreseen = Foreseen(contested)
            if contests:
                networks = {**own, **networks_beside(source, what_for, head, foreseen)}
            say_plan(networks, load, procedure, settings, reporter, behind, foreseen)
        reporter.say(nothing_written(out))
        return
    opened = run_folder.opened(out, identity, free, keeps=KEPT, asked=RETRAINED)
    with distributed.entered_by_first(opened) as recorded:
        use_threads(recorded["threads"], lanes=device.type == "cpu")
        prepare(what_for, out, data, reporter)
        if contests:
            networks = {**own, **networks_beside(source, what_for, head, Contest(contested))}
        rows = []
        results = []
        numbers = {}
        for name, architecture in networks.items():
            cost = measure(architecture, head)
            if not what_for.class_labels:
                reporter.say(f"{name}: {head_alone(architecture, head)}")
            trained: list[Trained] = []
            for seed in range(settings.seed, settings.seed + settings.seeds):
                folder = out / folder_name(name, seed)
                result = train_standalone(
                    architecture,
                    load(architecture.resolution),
                    procedure,
                    seed=seed,
                    folder=folder,
                    reporter=reporter,
                    what=f"{name}, seed {seed}",
                    begun=begun_in(out, source, architecture),
                )
                keep_test(folder, what_for, load(architecture.resolution), result.test, name, reporter)
                trained.append(result)
                told = {"network": name, "architecture": architecture.to_dict(), "cost": cost.to_dict()}
                results.append({**told, "seed": seed, "test": result.test.measured.numbers()})
            numbers[name] = [result.test.measured.numbers() for result in trained]
            rows.append(_row(name, architecture, trained, load(architecture.resolution), what_for.metric, cost))
        # Corrupt ones may have been passed over.
        tested = trained[0].test.pictures if distributed.world() == 1 else len(data.test)
        title = f"{data.name}: {tested} test {things(what_for)}, {chosen.epochs} epochs, {_seeds(settings.seeds)}"
        if distributed.rank() == 0:
            run_folder.merge_results(out, results)
            if settings.compare:
                write_json(out / COMPARISON, comparison(rows))
                plot_comparison(rows, title, out / PLOT)
            if source.run is not None:
                with reporter.doing("writing the report"):
                    write_report(source.run, reporter, storage=settings.storage, retrained=out)
        reporter.show(comparison_table(rows, title))
        if isinstance(what_for, Acting):
            reporter.show(numbers_table(numbers, what_for.metric, "on unseen levels, and on those trained on"))
        if distributed.rank() == 0 and settings.export:
            _export(settings, out / folder_name(next(iter(networks)), settings.seed), data, reporter)
        reporter.say(f"{out}: done in {duration(time.monotonic() - started)}")
        best = out / folder_name(next(iter(networks)), settings.seed)
        say_next(what_for, out, best, arguments, reporter, exported=bool(settings.export))


def _export(settings: RetrainSettings, folder: Path, data: Dataset, reporter: Reporter) -> None:
    """Writes the network of a folder in the formats that were asked for."""
    network, info = load_model(folder / WEIGHTS)
    side = info.architecture.resolution
    calibration = [resized(x, side) for x in calibration_pictures(data)] if "int8" in settings.export else []
    for path in export(network, info, settings.export, folder, reporter, calibration):
        reporter.say(f"export: {path}")
    if {"onnx", "int8"} <= set(settings.export):
        labels = data.test.targets
        if isinstance(labels, Tensor) and bool((labels < 0).any()):
            reporter.say("float32 and int8 are not compared: the test pictures have no labels")
            return
        with reporter.doing("comparing float32 and int8"):
            compared = compare_precisions(folder, data)
        reporter.show(precision_table(compared, "float32 and int8 in ONNX Runtime, one thread"))


def _row(
    name: str, architecture: Architecture, trained: Sequence[Trained], data: Dataset, metric: Metric, cost: Cost
) -> ComparedNetwork:
    tests = [result.test for result in trained]
    predictions = [test.predictions for test in tests if {"predicted", "labels"} <= test.predictions.keys()]
    right = tuple((kept["predicted"] == kept["labels"]).numpy() for kept in predictions)
    return ComparedNetwork(
        name,
        architecture,
        cost,
        tuple(test.measured.value for test in tests),
        tuple(result.seconds for result in trained),
        right if distributed.world() == 1 else (),
        None if data.test.sources is None else data.test.sources.numpy(),
        metric,
    )


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"
