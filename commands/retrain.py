"""Train a found architecture, alone or beside hand-designed ones: see README.md, and `python retrain.py --help`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from commands.afterwards import say_next
from commands.another_run import RETRAINED
from commands.compare import Contest
from commands.planning import nothing_written
from commands.recipes import RETRAIN, RetrainSettings
from commands.retrain_setup import Retraining, retraining_of
from commands.retrain_told import say_plan
from commands.same_training import same_training
from deployment.export import calibration_pictures, export
from deployment.precisions import compare_precisions
from foundation import distributed
from foundation.device import default_threads, resolve_device
from foundation.files import write_json
from foundation.metric import Metric
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
from studies.runs import run_folder
from studies.runs.identity import FILES, PICTURES
from training.data.datasets import Dataset
from training.lanes import use_threads
from training.model_file import load_model
from training.resize import resized
from training.standalone import WEIGHTS, Trained, train_standalone
from training.task import Acting, prepare, things

COMPARISON, PLOT = "comparison.json", "comparison.png"
CLASSES = ("predicted", "labels")
"""What is kept of test pictures that networks are compared by."""


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = RETRAIN.parse(arguments)
    again = same_training(settings, loaded_plugins())
    started = time.monotonic()
    reporter = Reporter(settings.quiet or distributed.rank() > 0)
    device = resolve_device(settings.device)
    wanted = retraining_of(settings, device, reporter)
    settings, task, out, data = wanted.settings, wanted.procedure.task, wanted.out, wanted.data
    free = {
        "command": again,
        "data": wanted.source.data,
        "device": str(device),
        "threads": default_threads(),
        "processes": distributed.world(),
        "seeds": settings.seeds,
        FILES: dict(data.files),
        PICTURES: {"test": len(data.test)},
        **wanted.procedure.start.recorded,
    }
    if settings.dry_run:
        run_folder.check_same(out, wanted.described(), free, run_folder.WORTH, RETRAINED)
        use_threads(default_threads(), lanes=device.type == "cpu")
        with TemporaryDirectory() as temporary:
            prepare(task, Path(temporary), data, reporter)
        if distributed.rank() == 0:
            say_plan(wanted)
        reporter.say(nothing_written(out))
        return
    opened = run_folder.opened(out, wanted.described(), free, keeps=run_folder.WORTH, asked=RETRAINED)
    with distributed.entered_by_first(opened) as recorded:
        use_threads(recorded["threads"], lanes=device.type == "cpu")
        prepare(task, out, data, reporter)
        networks = wanted.compared(Contest(wanted.contested()))
        trained = {name: _trained(wanted, name, architecture) for name, architecture in networks.items()}
        _tell(wanted, networks, trained)
        best = wanted.folder(next(iter(networks)), settings.seed)
        if distributed.rank() == 0 and settings.export:
            _export(settings, best, data, reporter)
        reporter.say(f"{out}: done in {duration(time.monotonic() - started)}")
        say_next(task, out, best, arguments, reporter, exported=bool(settings.export))


def _trained(wanted: Retraining, name: str, architecture: Architecture) -> list[Trained]:
    """What a network's trainings came to on test pictures, by the seeds in turn."""
    task, data, reporter = wanted.procedure.task, wanted.pictures(architecture), wanted.reporter
    if not task.class_labels:
        reporter.say(f"{name}: {head_alone(architecture, wanted.head)}")
    trained = []
    for seed in wanted.seeds:
        folder = wanted.folder(name, seed)
        result = train_standalone(
            architecture,
            data,
            wanted.procedure,
            seed=seed,
            folder=folder,
            reporter=reporter,
            what=f"{name}, seed {seed}",
            begun=wanted.begun(architecture),
        )
        keep_test(folder, task, data, result.test, name, reporter)
        trained.append(_without_maps(result))
    return trained


def _without_maps(result: Trained) -> Trained:
    """With the predicted classes alone of its predictions: of many networks, those of each pixel are gigabytes."""
    kept = {name: result.test.predictions[name] for name in CLASSES if name in result.test.predictions}
    return replace(result, test=replace(result.test, predictions=kept))


def _tell(wanted: Retraining, networks: Mapping[str, Architecture], trained: Mapping[str, Sequence[Trained]]) -> None:
    """Writes what the networks came to, and shows it."""
    settings, out, reporter, task = wanted.settings, wanted.out, wanted.reporter, wanted.procedure.task
    costs = {name: measure(architecture, wanted.head) for name, architecture in networks.items()}
    numbers = {name: [result.test.measured.numbers() for result in of_one] for name, of_one in trained.items()}
    rows = [
        _row(name, architecture, trained[name], wanted.pictures(architecture), task.metric, costs[name])
        for name, architecture in networks.items()
    ]
    # Corrupt ones may have been passed over.
    *_, last = trained.values()
    tested = last[0].test.pictures if distributed.world() == 1 else len(wanted.data.test)
    epochs = wanted.procedure.recipe.epochs
    title = f"{wanted.data.name}: {tested} test {things(task)}, {epochs} epochs, {_seeds(settings.seeds)}"
    if distributed.rank() == 0:
        results = [
            {
                "network": name,
                "architecture": architecture.to_dict(),
                "cost": costs[name].to_dict(),
                "seed": seed,
                "test": test,
            }
            for name, architecture in networks.items()
            for seed, test in zip(wanted.seeds, numbers[name], strict=True)
        ]
        run_folder.merge_results(out, results)
        if settings.compare:
            write_json(out / COMPARISON, comparison(rows))
            plot_comparison(rows, title, out / PLOT)
        if wanted.source.run is not None:
            with reporter.doing("writing the report"):
                write_report(wanted.source.run, reporter, storage=settings.storage, retrained=out)
    reporter.show(comparison_table(rows, title))
    if isinstance(task, Acting):
        reporter.show(numbers_table(numbers, task.metric, "on unseen levels, and on those trained on"))


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
    predictions = [test.predictions for test in tests if set(CLASSES) <= test.predictions.keys()]
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
