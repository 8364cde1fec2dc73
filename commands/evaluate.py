"""Test trained networks class by class, or compare how fast they are: see `python evaluate.py --help`."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from commands.attacked import AttackPlan, planned, show_robustness, under_attack
from commands.contrasted import Contrast, contrasted, show_contrasts, to_dict
from commands.neurons import FILES, NeuronPlan, beside_neurons, neurons_planned, show_neurons
from commands.output_folder import make
from commands.settings import EVALUATE, EvaluateSettings
from deployment.compared_latency import compare_latency
from deployment.evaluation import Evaluation, evaluated
from deployment.model_source import Model, check_classes, find_models, read_model
from deployment.neurons import Hidden, Study, check_neurons, check_pictures
from deployment.robustness import Robustness, check_attacks
from deployment.runtimes import device_name
from foundation.device import default_threads, resolve_device
from foundation.errors import InputError
from foundation.files import check_folder, check_inside, write_json
from foundation.printed import printable
from foundation.progress import Reporter
from reports.terminal.confusion_picture import draw_confusion
from reports.terminal.deployed_tables import EvaluationRow, class_table, evaluation_table, latency_table
from training.data.datasets import Dataset
from training.data.preprocessing import WHOLE
from training.lanes import use_threads
from training.model_file import load_model
from training.recorded_data import changed, is_changed, named_alike, recorded_data, trained_on
from training.resize import resized_batch
from training.targets import Batch

_Key = tuple[str, str, int, tuple[float, ...], tuple[float, ...]]

PATHED = ("folder", "imagenet", "hieve", *WHOLE)
"""Kinds of data that weights name without their paths."""


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = EVALUATE.parse(arguments)
    reporter = Reporter(settings.quiet)
    attacking, neurons = planned(settings), neurons_planned(settings)
    found = find_models(settings.source)
    if settings.latency:
        use_threads(settings.threads, lanes=False)
        _compare_latency(found, settings, reporter)
    else:
        _evaluate(found, settings, attacking, neurons, reporter)


def _evaluate(
    found: dict[str, Path],
    settings: EvaluateSettings,
    attacking: AttackPlan | None,
    neurons: NeuronPlan | None,
    reporter: Reporter,
) -> None:
    """Tests each network, and writes its results."""
    device = resolve_device(settings.device)
    use_threads(default_threads(), lanes=device.type == "cpu")
    models = {name: read_model(path, device) for name, path in found.items()}
    if attacking is not None:
        for model in models.values():
            check_attacks(model, attacking.attacks)
    if neurons is not None:
        for model in models.values():
            check_neurons(model)
    specs = {name: _spec(model, settings.data) for name, model in models.items()}
    if settings.data is None:
        reporter.say(f"data {', '.join(dict.fromkeys(specs.values()))}, as {settings.source} says; --data names others")
    sets: dict[_Key, Dataset] = {}

    def load(model: Model, spec: str) -> Dataset:
        key = _key(model, spec)
        if key not in sets:
            with reporter.doing("reading data"):
                data = model.task.data(
                    spec,
                    model.info.architecture.resolution,
                    device,
                    reporter,
                    skip_corrupt=settings.skip_corrupt,
                    loaders=settings.loaders,
                    download=settings.data is not None,
                )
                sets[key] = data.normalised_by(model.info.mean, model.info.std)
        return sets[key]

    for name, model in models.items():
        key = _key(model, specs[name])
        load(model, specs[name])
        check_classes(model, sets[key])
        if neurons is not None:
            check_pictures(getattr(sets[key], settings.split))
    others = [
        specs[name]
        for name, model in models.items()
        if named_alike(specs[name], _recorded(model))
        and changed(trained_on(model.path.parent), sets[_key(model, specs[name])])
    ]
    for spec in dict.fromkeys(others):
        reporter.say(is_changed(spec, settings.source))
    evaluations: list[tuple[str, Model, Evaluation]] = []
    robust: list[tuple[str, Robustness]] = []
    studies: list[tuple[str, Study]] = []
    contrasts: list[Contrast] = []
    hidden: dict[_Key, Hidden] = {}
    for name, model in models.items():
        data = sets[_key(model, specs[name])]
        folder = _folder(name, model.path, settings, alone=len(models) == 1)
        if settings.out is None:
            check_inside(folder, model.path.parent)
            check_folder(folder)
        make(folder)
        evaluation = _tested(name, model, data, settings, reporter)
        evaluations.append((name, model, evaluation))
        results = {"data": data.name, "split": settings.split, **evaluation.to_dict()}
        contrast = contrasted(
            name,
            model,
            specs[name],
            evaluation,
            partial(load, model),
            partial(_tested, name, model, settings=settings, reporter=reporter),
            reporter.say,
        )
        if contrast is not None:
            contrasts.append(contrast)
            results["contrasts"] = to_dict(contrast)
        if attacking is not None:
            robust.append((name, under_attack(name, model, data, attacking, settings, reporter)))
            results["robustness"] = robust[-1][1].to_dict()
        if neurons is not None:
            key = _key(model, specs[name])
            if key not in hidden:
                hidden[key] = Hidden.of(data, folder, reporter)
            studies.append((name, beside_neurons(name, model, data, neurons, hidden[key], folder, settings, reporter)))
            results["simulated_neurons"] = studies[-1][1].to_dict()
        write_json(folder / "evaluation.json", results)
        measured = evaluation.measured
        lacking = [each for each in measured.metric.beside if each not in measured.beside]
        if lacking:
            reporter.say(f"{model.path}: gives answers alone, so there is no {', '.join(lacking)}")
        if not _has_confusion(evaluation):
            continue
        title = f"{name}: {_said(evaluation)} {settings.split} pictures"
        by_number = draw_confusion(evaluation, printable(title), folder / "confusion.png")
        if by_number:
            reporter.say(
                f"{folder / 'confusion.png'}: no installed font has the letters of {len(by_number)} of "
                f"{len(evaluation.classes)} names ({by_number[0]}, …); those classes are shown by their numbers in "
                "evaluation.json"
            )
    tested = [sets[_key(model, specs[name])] for name, model in models.items()]
    of = ", ".join(dict.fromkeys(data.name for data in tested))
    counts = ", ".join(dict.fromkeys(str(evaluation.pictures) for _, _, evaluation in evaluations))
    title = f"{of}: {counts} {settings.split} pictures"
    rows = [
        EvaluationRow(name, model.info.architecture, model.info.head, evaluation)
        for name, model, evaluation in evaluations
    ]
    if len(evaluations) == 1 and evaluation.by_class is not None:
        reporter.show(class_table(evaluation))
    reporter.show(evaluation_table(rows, title))
    show_contrasts(contrasts, reporter)
    if attacking is not None:
        show_robustness(robust, of, attacking, settings, reporter)
    show_neurons(studies, of, settings.split, reporter)
    for name, model, evaluation in evaluations:
        files = ["evaluation.json", *(("confusion.png",) if _has_confusion(evaluation) else ())]
        files += FILES if neurons is not None else ()
        reporter.say(f"{_folder(name, model.path, settings, alone=len(models) == 1)}: {', '.join(files)}")


def _tested(name: str, model: Model, data: Dataset, settings: EvaluateSettings, reporter: Reporter) -> Evaluation:
    split = getattr(data, settings.split)
    resolution = model.info.architecture.resolution
    with reporter.track(name, math.ceil(len(split) / settings.batch_size), "batches") as advance:

        def batches() -> Iterator[Batch]:
            for images, targets in split.batches(settings.batch_size):
                yield resized_batch(images, targets, resolution)
                advance("")

        return evaluated(model.see, batches(), data.classes, model.task, str(model.path))


def _key(model: Model, spec: str) -> _Key:
    """What networks have in common that are tested on the same pictures."""
    info = model.info
    return info.task, spec, info.architecture.resolution, info.mean, info.std


def _said(evaluation: Evaluation) -> str:
    """The metric's value and the number of pictures; what counts pictures is a share of them."""
    measured, known = evaluation.measured, evaluation.by_class
    value = measured.metric.written(measured.value)
    if known is not None and known.unit == "pictures":
        return f"{value} of {evaluation.pictures}"
    return f"{measured.metric.words} {value}, {evaluation.pictures}"


def _has_confusion(evaluation: Evaluation) -> bool:
    return evaluation.by_class is not None and evaluation.by_class.confusion is not None


def _spec(model: Model, given: str | None) -> str:
    spec = given or _recorded(model) or model.info.data
    if spec in PATHED:
        raise InputError(f"{model.path}: does not say where its pictures are; give --data {spec}:PATH")
    return spec


def _recorded(model: Model) -> str | None:
    """The data that the network was trained on, where the folders around it say: its weights name no path."""
    named = model.info.data
    recorded = recorded_data(model.path.parent, named.partition(":")[0])
    # They may name no settings of the data either.
    return recorded if recorded is not None and f"{recorded}:".startswith(f"{named}:") else None


def _folder(name: str, path: Path, settings: EvaluateSettings, *, alone: bool) -> Path:
    """Where a network's results go."""
    if settings.out is None:
        # Of several files of one network each has its own.
        name = path.stem if path.suffix == ".safetensors" else path.name
        return path.parent / "evaluation" / f"{name}-{settings.split}"
    return Path(settings.out) if alone else Path(settings.out) / name


def _compare_latency(found: dict[str, Path], settings: EvaluateSettings, reporter: Reporter) -> None:
    """Measures the networks in each runtime."""
    for path in found.values():
        if path.suffix == ".onnx":
            raise InputError(f"--latency: {path}: give the network's .safetensors; its ONNX models are made from it")
    device = resolve_device(settings.device if settings.device != "auto" else "cpu")
    networks = [(name, load_model(path)[0]) for name, path in found.items()]
    times = compare_latency(networks, settings.runtimes, settings.threads, device, settings.rounds, reporter)
    threads = "1 thread" if settings.threads == 1 else f"{settings.threads} threads"
    title = f"one picture, {threads}, {device_name(device)}: median (and quartiles)"
    reporter.show(latency_table([(name, network.architecture) for name, network in networks], times, title))
