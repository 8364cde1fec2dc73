"""One architecture trained from scratch by itself."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from search_space.architecture import Architecture
from search_space.network import build
from search_space.pretrained import published, transfer
from training import distributed
from training.checkpoint import load_weights
from training.data import Dataset, Split
from training.evaluation import Metrics, evaluate
from training.files import remove_leftovers, write_atomically, write_json
from training.loop import History, Step, autocast, fit
from training.model_file import ModelInfo, save_model
from training.progress import Reporter
from training.recipe import Recipe
from training.resize import resized
from training.seeds import derive
from training.synchronised_norm import synchronise

WEIGHTS, ARCHITECTURE, METRICS, CHECKPOINT = "weights.safetensors", "architecture.json", "metrics.jsonl", "checkpoint"
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Trained:
    """A trained network's metrics on the test split, and the seconds its training took."""

    test: Metrics
    seconds: float


def train_standalone(
    architecture: Architecture,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    folder: Path,
    reporter: Reporter,
    what: str,
    init: str = "scratch",
) -> Trained:
    """Trains in `folder`, or goes on there; the weights of the best validation epoch are tested once, at the end.

    Writes `architecture.json`, `weights.safetensors` (the best epoch's), `metrics.jsonl` (a line an epoch) and the
    checkpoint that a killed training continues from. Several processes train and test together; the first writes.

    Args:
        init: `scratch`, or `torchvision` to start from the published weights of the same family.
    """
    first = distributed.rank() == 0
    info = ModelInfo(architecture, data.classes, data.mean, data.std, data.name)
    if first:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, (WEIGHTS, ARCHITECTURE, METRICS, CHECKPOINT))
        write_json(folder / ARCHITECTURE, architecture.to_dict())
    torch.manual_seed(derive(seed, "weights"))
    network = build(architecture, data.num_classes)
    if first and init == "torchvision" and not (folder / CHECKPOINT).exists():
        reporter.say(f"{what}: init torchvision: {transfer(published(architecture), network)}")
    if recipe.sync_batch_norm:
        synchronise(network)
    network = network.to(data.device).to(memory_format=torch.channels_last)

    def after_epoch(model: nn.Module, history: History) -> None:
        metrics = _evaluate(model, architecture, data.validation)
        best = max((entry["validation_accuracy"] for entry in history[:-1]), default=-1.0)
        history[-1] |= {"validation_accuracy": metrics.accuracy, "validation_loss": metrics.loss}
        if not first:
            return
        if metrics.accuracy > best:
            save_model(folder / WEIGHTS, model.state_dict(), info)
        lines = "".join(json.dumps(entry) + "\n" for entry in history)
        write_atomically(folder / METRICS, lambda temporary: _write(temporary, lines))

    _, history = fit(
        network,
        label_step(network, architecture.resolution, recipe.label_smoothing),
        data.train,
        recipe,
        seed=derive(seed, "training"),
        checkpoint=folder / CHECKPOINT,
        identity={"architecture": architecture.digest(), "data": data.identity, "init": init},
        reporter=reporter,
        what=what,
        networks=lambda number: (architecture,),
        after_epoch=after_epoch,
    )
    tensors = distributed.from_first(lambda: load_weights(folder / WEIGHTS)[0])
    network.load_state_dict(tensors)
    return Trained(_evaluate(network, architecture, data.test), sum(entry["seconds"] for entry in history))


def label_step(network: nn.Module, resolution: int, label_smoothing: float) -> Step:
    """The step of a training on labels, at so many pixels a side."""

    def step(images: Tensor, labels: Tensor, _number: int) -> float:
        with autocast(images.device):
            logits = network(resized(images, resolution))
            loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
        loss.backward()
        return loss.item()

    return step


def _evaluate(network: nn.Module, architecture: Architecture, split: Split) -> Metrics:
    batches = split.batches(EVALUATION_BATCH, share=(distributed.rank(), distributed.world()))
    sized = ((resized(images, architecture.resolution), labels) for images, labels in batches)
    return evaluate(network, sized, shared=True)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
