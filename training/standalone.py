"""One architecture trained by itself."""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from foundation import distributed
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_atomically, write_json
from foundation.json_files import parse_json, read_json, read_text
from foundation.metric import Measured
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.network import Network, build
from training.checkpoint import load_weights, previous, save_weights
from training.data.datasets import Dataset, Split
from training.diverged import History
from training.loop import fit
from training.methods.base import Method
from training.methods.choice import METHODS, Training
from training.methods.drop_path import add_drop_path
from training.model_file import ModelInfo, save_model
from training.procedure import Procedure
from training.resize import resized_batches
from training.smoothed import judged, smoothing
from training.synchronised_norm import synchronise
from training.task import Examination

WEIGHTS, ARCHITECTURE, METRICS, CHECKPOINT = "weights.safetensors", "architecture.json", "metrics.jsonl", "checkpoint"
RECIPE, PREDICTIONS, EVENTS = "recipe.json", "predictions.safetensors", "tensorboard"
EVALUATION_BATCH = 256
MAX_METRICS = 20_000_000  # characters of a training's lines


def folder_name(network: str, seed: int) -> str:
    """Of a network's folder among those of a retraining."""
    return f"{network.replace(' ', '-').replace('/', '-')}-{seed}"


@dataclass(frozen=True)
class Trained:
    """A trained network on the test split, and the seconds its training took."""

    test: Examination
    seconds: float


def check_trainable(architecture: Architecture, data: Dataset, procedure: Procedure) -> None:
    """Raises InputError for what the method refuses to train, before anything is written: it is made once for that.

    Torch's global random state stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        network = build(architecture, procedure.task.head(data.num_classes, architecture)).to(data.device)
        _method(network, architecture, data, procedure)


def _method(
    network: Network,
    architecture: Architecture,
    data: Dataset,
    procedure: Procedure,
    say: Callable[[str], None] = lambda message: None,
) -> Method:
    """What takes the network's steps."""
    training = Training(
        network,
        architecture.resolution,
        procedure.recipe,
        procedure.task,
        data,
        teacher=procedure.teacher,
        adapt=procedure.adapt,
        say=say,
        own=procedure.method.own,
    )
    return METHODS[procedure.method.name](training)


def train_standalone(
    architecture: Architecture,
    data: Dataset,
    procedure: Procedure,
    *,
    seed: int,
    folder: Path,
    reporter: Reporter,
    what: str,
    begun: Sequence[Path] = (),
) -> Trained:
    """Trains in `folder`, or goes on there; the weights of the best validation epoch are tested once, at the end.

    With an average of the weights both are validated, and the better ones are kept. Several processes train and test
    together; the first writes

    - `recipe.json`, `architecture.json`: what is trained, and how;
    - `weights.safetensors`: the best epoch's, with classes and normalisation (`training.model_file`);
    - `metrics.jsonl`, `tensorboard/`: a line and a point an epoch;
    - `predictions.safetensors`: what the task keeps of the test pictures: the class predicted for each, and its label
      (of one process only; a task may keep nothing);
    - `checkpoint`, `checkpoint.previous`: what a killed training continues from.

    Args:
        begun: folders in which it may have been begun; from one that holds this very training it is gone on with.
    """
    network, history = _trained(architecture, data, procedure, seed, folder, reporter, what, begun)
    tensors = distributed.from_first(lambda: load_weights(folder / WEIGHTS)[0])
    network.load_state_dict(tensors)
    with reporter.doing(f"{what}: test"):
        test = _examine(network, architecture, data.test, procedure)
    if distributed.world() == 1 and test.predictions:
        save_weights(folder / PREDICTIONS, dict(test.predictions), {})
    return Trained(test, sum(entry["seconds"] for entry in history))


def train_part(
    architecture: Architecture,
    data: Dataset,
    procedure: Procedure,
    *,
    until: int,
    seed: int,
    folder: Path,
    reporter: Reporter,
    what: str,
) -> Measured:
    """Trains the first epochs of what `train_standalone` would do in the folder, which goes on from there.

    By one process. Returns what the training comes to so far by its smoothed weights, see `training.smoothed`.
    """
    recipe = procedure.recipe
    kept: list[AveragedModel] = []

    def smooth(network: Network) -> AveragedModel:
        kept.append(smoothing(network, recipe, len(data.train)))
        return kept[0]

    _trained(architecture, data, procedure, seed, folder, reporter, what, until=until, smooth=smooth)
    return judged(kept[0], procedure.task, data, architecture.resolution, recipe, seed)


def _trained(
    architecture: Architecture,
    data: Dataset,
    procedure: Procedure,
    seed: int,
    folder: Path,
    reporter: Reporter,
    what: str,
    begun: Sequence[Path] = (),
    *,
    until: int | None = None,
    smooth: Callable[[Network], AveragedModel] | None = None,
) -> tuple[Network, History]:
    """The network as it is after its last epoch, and an entry an epoch; the best epoch's weights are in the folder."""
    first = distributed.rank() == 0
    recipe, task, start = procedure.recipe, procedure.task, procedure.start
    head = task.head(data.num_classes, architecture)
    info = ModelInfo(architecture, data.classes, data.mean, data.std, data.name, task.name, task.described(data), head)
    resolved = procedure.resolved(data, seed)
    if first and distributed.world() == 1:  # a training goes on in as many processes as it began
        _take_over(begun, folder, architecture, resolved, lambda message: reporter.say(f"{what}: {message}"))
    finished = distributed.from_first(lambda: _begun(folder, architecture, resolved))
    if first and finished and smooth is None:
        reporter.say(f"{what}: already trained, {len(finished)} epochs")
    torch.manual_seed(derive(seed, "weights"))
    network = build(architecture, head)
    if first and start.source is not None and not finished and not (folder / CHECKPOINT).exists():
        reporter.say(f"{what}: {start.begin(network)}")
    if recipe.sync_batch_norm:
        synchronise(network)
    add_drop_path(network, recipe.drop_path)
    network = network.to(data.device).to(memory_format=torch.channels_last)
    step = _method(network, architecture, data, procedure, lambda message: reporter.say(f"{what}: {message}"))
    smoothed = smooth(network) if smooth else None
    if smoothed is not None:
        finished = None  # what is judged is in the checkpoint alone

    def validated(model: nn.Module) -> dict[str, float]:
        numbers = _examine(model, architecture, data.validation, procedure).measured.numbers()
        return {name: float(value) for name, value in numbers.items()}  # a checkpoint bears no numbers of NumPy's

    def best_of(entry: dict[str, float]) -> tuple[float, float]:
        """The merits of the weights to use and of the raw ones, where these are others."""
        names = (f"{prefix}validation_{task.metric.name}" for prefix in ("", "raw_"))
        merits = [task.metric.merit(entry[name]) if name in entry else -math.inf for name in names]
        usable, raw = (merit if math.isfinite(merit) else -math.inf for merit in merits)
        return usable, raw

    def after_epoch(model: nn.Module, history: History) -> str:
        entry = history[-1]
        best = max((max(best_of(earlier)) for earlier in history[:-1]), default=-math.inf)
        entry |= {f"validation_{name}": value for name, value in validated(model).items()}
        if model is not network:
            entry |= {f"raw_validation_{name}": value for name, value in validated(network).items()}
        told = f"validation {task.metric.told(entry[f'validation_{task.metric.name}'])}"
        if not first:
            return told
        usable, raw = best_of(entry)
        if step.keeps_last or len(history) == 1 or max(usable, raw) > best:  # some are kept whatever they come to
            averaged = step.keeps_last or usable >= raw
            save_model(folder / WEIGHTS, (model if averaged else network).state_dict(), info)
        lines = "".join(json.dumps(entry) + "\n" for entry in history)
        write_atomically(folder / METRICS, lambda temporary: _write(temporary, lines))
        _to_tensorboard(folder / EVENTS, entry)
        return told

    history = (
        finished
        or fit(
            step,
            data.train,
            recipe,
            seed=derive(seed, "training"),
            checkpoint=folder / CHECKPOINT,
            identity={
                "architecture": architecture.digest(),
                "data": data.identity,
                "pixels": list(data.train.size),
                **procedure.described(),
            },
            reporter=reporter,
            what=what,
            networks=lambda number: (architecture,),
            after_epoch=after_epoch,
            until=until,
            smoothed=smoothed,
        )[1]
    )
    return network, history


def epochs_behind(
    architecture: Architecture,
    data: Dataset,
    procedure: Procedure,
    *,
    seed: int,
    folder: Path,
    begun: Sequence[Path] = (),
) -> int:
    """How many epochs of its training `train_standalone` would find: in the folder, or where it was begun.

    A forecast: of lines that cannot be read none is counted.
    """
    resolved, epochs = procedure.resolved(data, seed), procedure.recipe.epochs
    places = (folder, *(begun if distributed.world() == 1 else ()))
    for place in places:
        if not _holds(place, architecture, resolved) or (place != folder and not (place / CHECKPOINT).exists()):
            continue
        try:
            done = len(read_text(place / METRICS, MAX_METRICS).splitlines()) if (place / METRICS).exists() else 0
        except InputError:
            return 0
        goes_on = any((place / name).exists() for name in (CHECKPOINT, previous(Path(CHECKPOINT)).name))
        return min(done, epochs) if goes_on or done >= epochs else 0
    return 0


def _holds(place: Path, architecture: Architecture, resolved: dict[str, Any]) -> bool:
    """Whether a folder has weights of this very training."""
    wanted = {ARCHITECTURE: architecture.to_dict(), RECIPE: resolved}
    if not all((place / name).exists() for name in (WEIGHTS, *wanted)):
        return False
    return all(read_json(place / name) == value for name, value in wanted.items())


def _take_over(
    begun: Sequence[Path],
    folder: Path,
    architecture: Architecture,
    resolved: dict[str, Any],
    say: Callable[[str], None],
) -> None:
    """Copies this training from where it was begun, if it was and if there is none of it in the folder yet."""
    if any((folder / name).exists() for name in (CHECKPOINT, previous(Path(CHECKPOINT)).name)):
        return
    if all((folder / name).exists() for name in (WEIGHTS, RECIPE)):  # weights alone were being taken over at a kill
        return
    for place in begun:
        if (place / CHECKPOINT).exists() and _holds(place, architecture, resolved):
            folder.mkdir(parents=True, exist_ok=True)
            if (place / EVENTS).is_dir():
                shutil.copytree(place / EVENTS, folder / EVENTS, dirs_exist_ok=True)
            for name in (METRICS, WEIGHTS, CHECKPOINT):  # last what the training goes on from
                write_atomically(folder / name, partial(shutil.copyfile, place / name))
            say(f"goes on from where {place} has it")
            return


def _begun(folder: Path, architecture: Architecture, resolved: dict[str, Any]) -> History | None:
    """Makes the folder say what is trained in it; the history, if that has been trained to its end already.

    Raises InputError if something else is being trained there, and changes nothing then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, (WEIGHTS, ARCHITECTURE, METRICS, CHECKPOINT, RECIPE, PREDICTIONS))
    described = {ARCHITECTURE: architecture.to_dict(), RECIPE: resolved}
    trained = [name for name in (CHECKPOINT, WEIGHTS) if (folder / name).exists()]
    for name, value in described.items():
        if trained and (folder / name).exists() and read_json(folder / name) != value:
            raise InputError(f"{folder}: {trained[0]} belongs to another training; use another `out`, or remove it")
    for name, value in described.items():
        write_json(folder / name, value)
    if WEIGHTS not in trained or not (folder / METRICS).exists():
        return None
    try:
        lines = read_text(folder / METRICS, MAX_METRICS).splitlines()
        if len(lines) != resolved["epochs"]:
            return None
        # Weights and metrics of the last epoch are written before its checkpoint, which is needed no more.
        return [_entry(line) for line in lines]
    except InputError:
        if CHECKPOINT in trained:  # the training goes on from there, and knows its history
            return None
        raise InputError(f"{folder / METRICS}: has a damaged line; remove {folder}, and it is trained again") from None


def _entry(line: str) -> dict[str, float]:
    """An epoch's numbers. Raises InputError for a line that does not hold them."""
    entry = parse_json(line, finite=False)
    if not isinstance(entry, dict) or not all(type(value) in (int, float) for value in entry.values()):
        raise InputError("expected numbers by name")
    if not math.isfinite(entry.get("seconds", math.nan)):
        raise InputError("seconds: missing")
    return entry


def _examine(network: nn.Module, architecture: Architecture, split: Split, procedure: Procedure) -> Examination:
    batches = split.batches(EVALUATION_BATCH, share=(distributed.rank(), distributed.world()))
    resized = resized_batches(batches, architecture.resolution)
    return procedure.task.measure(network, resized, shared=True, precision=procedure.recipe.precision)


def _to_tensorboard(folder: Path, entry: dict[str, float]) -> None:
    """The epoch's numbers as a point each, by its number. An epoch that a kill repeats gives the same points again."""
    from torch.utils.tensorboard import SummaryWriter  # takes a second

    with SummaryWriter(str(folder), purge_step=int(entry["epoch"])) as writer:
        for name, value in entry.items():
            if name != "epoch":
                writer.add_scalar(name, value, int(entry["epoch"]))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
