"""Adapt a trained network to pictures without labels: see docs/adaptation.md, and `python adapt.py --help`."""

import hashlib
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from commands.adaptations import ADAPT, check_data, chosen
from commands.another_run import ADAPTED
from deployment.model_source import find_model
from foundation.device import default_threads, resolve_device
from foundation.errors import InputError
from foundation.files import check_inside, write_json, write_text
from foundation.progress import Reporter, duration
from foundation.started_as import as_typed
from reports.html.adaptation_page import REPORT, adaptation_page
from reports.terminal.adaptation_table import shares_table, stands_table
from studies.runs import run_folder
from training.adaptation.adapt import SHOT, SOURCE, STATISTICS, TRANSFER, WEIGHTS, Adapting, Stand
from training.adaptation.information import equal_classes
from training.data.adaptation_target import FOLDER, Before, Target, target_folder, target_set
from training.data.datasets import load_data
from training.lanes import use_threads
from training.model_file import ModelInfo, load_model
from training.specs import OF_CLASSES, TASK

RESULTS = "adaptation.json"
LOPSIDED = 0.8
"""Shares of classes that are as spread out as those of fewer equal ones, of all, are told."""


def main(arguments: Sequence[str]) -> None:
    """Parses, wires, prints."""
    settings = ADAPT.parse(arguments)
    started = time.monotonic()
    reporter = Reporter(settings.quiet)
    spec = check_data(settings)
    recipe, losses = chosen(settings)
    device = resolve_device(settings.device)
    path = find_model(settings.source)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: cannot be trained; give the network's .safetensors")
    network, info = load_model(path)
    if info.task.partition(":")[0] not in OF_CLASSES:
        raise InputError(f"{path}: of task {info.task}; only a classifier of pictures ({TASK}) can be adapted")
    if len(info.classes) < 2:
        raise InputError(f"{path}: knows one class ({info.classes[0]}), so there is nothing to be sure of")
    with reporter.doing("reading data"):
        target = _target(spec, info, device, reporter, skip_corrupt=settings.skip_corrupt)
    out = Path(settings.out) if settings.out else path.parent / "adapted"
    if not settings.out:
        check_inside(out, path.parent)
    identity = {
        "weights": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        "data": target.identity,
        "recipe": recipe.described(),
        "adaptation": asdict(losses),
        "seed": settings.seed,
    }
    free = {"data": spec, "device": str(device), "threads": default_threads()}
    adapting = Adapting(network.to(device), info, target, losses, recipe, settings.seed, out, reporter)
    with run_folder.opened(out, identity, free, keeps=run_folder.WORTH, asked=ADAPTED) as recorded:
        use_threads(recorded["threads"], lanes=False)
        stands = [adapting.stand(SOURCE, adapting.network), adapting.stand(STATISTICS, adapting.normalised())]
        adapted = adapting.shot()
        stands.append(adapting.stand(SHOT, adapted))
        if settings.labelling_transfer:
            stands.append(adapting.stand(TRANSFER, adapting.transferred(adapted)))
        pictures = len(target.pictures)
        write_json(out / RESULTS, {"pictures": pictures, "classes": info.classes, "networks": [*map(asdict, stands)]})
        true = _shares(target.labels, len(info.classes))
        write_text(out / REPORT, adaptation_page(out.resolve().name, spec, pictures, info.classes, stands, true))
        reporter.show(shares_table(stands, info.classes, true))
        reporter.show(stands_table(stands, info.classes, f"{spec}: {pictures} pictures, {recipe.epochs} epochs"))
        _warn(stands, pictures, losses.diversity, reporter)
        written = ["shot", *(["labelling-transfer"] if settings.labelling_transfer else [])]
        files = ", ".join([*(f"{part}/{WEIGHTS}" for part in written), RESULTS, REPORT])
        reporter.say(f"{out}: {files}; done in {duration(time.monotonic() - started)}")
        adapted_to = shlex.quote(str(out / written[-1]))
        reporter.say_command("next:", as_typed(f"python predict.py {adapted_to} PICTURES"))


def _target(spec: str, info: ModelInfo, device: torch.device, reporter: Reporter, *, skip_corrupt: bool) -> Target:
    before = Before.of(info)
    if spec.partition(":")[0] == FOLDER:
        return target_folder(spec, before, device, reporter, skip_corrupt=skip_corrupt)
    return target_set(load_data(spec, before.side, torch.device("cpu"), reporter), before, device)


def _shares(labels: Tensor | None, classes: int) -> list[float] | None:
    return None if labels is None else (labels.bincount(minlength=classes) / len(labels)).tolist()


def _warn(stands: Sequence[Stand], pictures: int, diversity: float, reporter: Reporter) -> None:
    """Tells of lopsided shares before and after."""
    for one in (stands[0], stands[-1]):
        classes = len(one.shares)
        spread = equal_classes(torch.tensor(one.shares), pictures)
        if spread < LOPSIDED * classes:
            pulled = "; the diversity term pulls them to equal shares: if the pictures are so, give --diversity 0"
            reporter.say(
                f"warning: {one.name}: predictions are lopsided, as spread out as {spread:.1f} equal classes of "
                f"{classes}{pulled if diversity else ''}"
            )
