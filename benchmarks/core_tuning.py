"""What Core-tuning is worth: test accuracy after fine-tuning on few labels, beside what it is made of.

    python -m benchmarks.core_tuning --cifar10 TRAIN [--pictures N] [--labels 100,500] [--seeds N] [--epochs N]
                                     [--pretraining N] [--contrast ETA] [--source SOURCE] [--folder FOLDER]
                                     [--threads N] [--device NAME]

`--cifar10 TRAIN` is a folder of CIFAR-10's training pictures by class: 40,000 to train, 2,000 to validate, 8,000 to
test, drawn by seed 0, as links in the folder. A backbone is pre-trained as `pretrain.py` does on the 40,000 without
their labels, once, with seed 0. Then each seed draws so many labelled pictures a class of them, and each arm is
fine-tuned on these, with the same steps, batches and augmentation:

- cross-entropy; with label smoothing of 0.1; with feature mixup alone (Core-tuning with η of 0: the same rows); with
  the supervised contrast of the pictures as they are (no mixtures, no focal weight); and Core-tuning, all of it;
- from scratch as the control: cross-entropy, and Core-tuning.

Weights are chosen on validation pictures, and tested once. Printed are means and standard deviations over the seeds,
and how far Core-tuning is ahead with its 95 % interval, paired by seed: of the draws of labelled pictures and of the
fine-tuning, not of the pre-training. A killed run goes on where it was; more seeds or labels can be asked for later.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from benchmarks.cifar10 import linked
from benchmarks.intervals import ahead, told
from commands.pretraining import RECIPE
from commands.values import wholes
from evaluators.weight_sources import weights_in
from foundation.device import resolve_device
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from foundation.seeds import derive
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture, Attention
from search_space.baselines import at_cost
from search_space.cost.cost import measure
from search_space.families.mobile.baselines import nudged, uniform
from search_space.families.mobile.spaces import mobilenetv2_32
from search_space.first_weights import SCRATCH, FirstWeights
from studies.runs.source import read_source
from tasks.classification.room import CLASSIFICATION
from tasks.pretraining import PRETRAINING
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.data.datasets import load_data
from training.lanes import use_threads
from training.methods.choice import METHODS, Training
from training.methods.contrast import contrast
from training.methods.core_tuning import TEMPERATURE, CoreTuningStep
from training.methods.settings import LABELS, ChosenMethod, CoreTuning
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import CHECKPOINT, train_standalone
from training.targets import Targets

CLASSES, SIDE, MACS = 10, 32, 920_000
QUIET = Reporter(quiet=True)
BATCH = 64
# Not in halves, which other methods do not take: all arms have the batch statistics of whole batches.
TUNING = Recipe(batch_size=BATCH, micro_batch=BATCH, learning_rate=0.05, weight_decay=1e-4, augmentation="crop-flip")
FULL = "core-tuning"


@METHODS.register("supervised-contrast")
def _supervised(training: Training) -> CoreTuningStep:
    return _Supervised(training, training.own or CoreTuning())


class _Supervised(CoreTuningStep):
    """Cross-entropy and supervised contrast of the pictures as they are (arXiv:2004.11362)."""

    def _loss(self, images: Tensor, targets: Targets, network: nn.Module | None = None) -> Tensor:
        assert isinstance(targets, Tensor)
        features = self.features(images)
        same = targets[:, None] == targets
        itself = torch.eye(len(same), dtype=torch.bool, device=same.device)
        apart = contrast(self.projector(features), same & ~itself, ~same, temperature=TEMPERATURE)
        return self.task_loss(self.classifier(features[:, :, None, None]), targets) + self.own.contrast * apart


@dataclass(frozen=True)
class Arm:
    """A way of fine-tuning."""

    name: str
    start: FirstWeights
    method: ChosenMethod = LABELS
    label_smoothing: float = 0.0

    def place(self, labels: int, epochs: int, seed: int) -> str:
        """Of its training: another for whatever it differs in."""
        weight = "" if self.method.own is None else f"-{self.method.own.contrast:g}"
        return f"{labels}-labels-{epochs}-epochs/{re.sub('[^a-z]+', '-', self.name).strip('-')}{weight}-{seed}"


def main() -> None:
    """Trains, prints."""
    arguments = _arguments()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    spec = f"folder:{linked(arguments.cifar10, folder / 'cifar10', _splits(arguments.pictures))}"
    device = resolve_device(arguments.device)
    use_threads(arguments.threads, lanes=device.type == "cpu")
    network = read_source(arguments.source, spec).architecture if arguments.source else _middle()
    pictures = load_data(spec, network.resolution, device, QUIET)
    print(f"{len(pictures.train)} pictures without labels, {len(pictures.test)} to test", flush=True)
    recipe = replace(RECIPE, epochs=arguments.pretraining)
    train_standalone(
        network,
        replace(pictures, classes=()),
        Procedure(recipe, PRETRAINING, method=ChosenMethod("simclr")),
        seed=0,
        folder=folder / "pretrained",
        reporter=Reporter(quiet=False),
        what="backbone",
    )
    arms = _arms(weights_in(folder / "pretrained"), arguments.contrast)
    for labels in arguments.labels:
        found: dict[str, list[float]] = {arm.name: [] for arm in arms}
        for seed in range(1, arguments.seeds + 1):
            data = _labelled(pictures, labels, seed)
            for arm in arms:
                tuning = replace(TUNING, epochs=arguments.epochs, label_smoothing=arm.label_smoothing)
                value = _tested(arm, network, data, tuning, seed, folder / arm.place(labels, arguments.epochs, seed))
                found[arm.name].append(value)
                print(f"{labels} labels a class, seed {seed}, {arm.name}: {100 * value:.2f} %", flush=True)
        _print(found, f"{labels} labels a class, {arguments.epochs} epochs")


def _splits(pictures: int) -> dict[str, int]:
    """Of so many to train, a twentieth to validate and a fifth to test."""
    return {"train": pictures, "val": pictures // 20, "test": pictures // 5}


def _arms(pretrained: FirstWeights, weight: float) -> list[Arm]:
    tuned = ChosenMethod("core-tuning", CoreTuning(weight))
    return [
        Arm("cross-entropy", pretrained),
        Arm("+ label smoothing", pretrained, label_smoothing=0.1),
        Arm("+ feature mixup alone", pretrained, ChosenMethod("core-tuning", CoreTuning(0.0))),
        Arm("+ supervised contrast", pretrained, ChosenMethod("supervised-contrast", CoreTuning(weight))),
        Arm(FULL, pretrained, tuned),
        Arm("from scratch: cross-entropy", SCRATCH),
        Arm(f"from scratch: {FULL}", SCRATCH, tuned),
    ]


def _middle() -> Architecture:
    """The middle network of `mobilenetv2-32` with ca/8 at 920k MACs."""
    space = mobilenetv2_32()
    return at_cost(
        lambda width, divisor: uniform(space, Attention("ca", 8), width, divisor),
        lambda network: measure(network, CLASSES).macs / MACS - 1,
        nudged,
    )


def _labelled(pictures: Dataset, count: int, seed: int) -> Dataset:
    """So many training pictures of each class, drawn by the seed; validation and test pictures are those of all."""
    targets = pictures.train.targets
    assert isinstance(targets, Tensor)
    labels = targets.cpu()
    generator = torch.Generator().manual_seed(derive(seed, "labelled", count))
    drawn = []
    for label in range(pictures.num_classes):
        members = (labels == label).nonzero()[:, 0]
        drawn.append(members[torch.randperm(len(members), generator=generator)[:count]])
    chosen = pictures.train.subset(torch.cat(drawn))
    return replace(
        pictures,
        identity=f"{pictures.identity}, {count} labels by seed {seed}",
        load=lambda split: chosen if split == "train" else getattr(pictures, split),
        counts={},
    )


def _tested(arm: Arm, network: Architecture, data: Dataset, recipe: Recipe, seed: int, folder: Path) -> float:
    """Test accuracy, from the folder or by training there."""
    kept = folder / "outcome.json"
    if not kept.exists():
        result = train_standalone(
            network,
            data,
            Procedure(recipe, CLASSIFICATION, start=arm.start, method=arm.method),
            seed=seed,
            folder=folder,
            reporter=QUIET,
            what=arm.name,
        )
        write_json(kept, {"test": result.test.measured.value})
        remove_checkpoints(folder / CHECKPOINT)
    return float(read_json(kept)["test"])


def _print(found: Mapping[str, Sequence[float]], title: str) -> None:
    table = plain_table(f"{title}, {len(found[FULL])} seeds", ("arm", "test, %", f"{FULL} ahead by"))
    for name, values in found.items():
        scratch = name.startswith("from scratch")
        full = found[f"from scratch: {FULL}" if scratch else FULL]
        same = values is full
        table.add_row(name, told(values), "" if same else ahead([a - b for a, b in zip(full, values, strict=True)]))
    Console(width=110).print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True, metavar="TRAIN")
    parser.add_argument("--pictures", type=int, default=40_000, help="without labels, of all classes")
    parser.add_argument("--labels", type=wholes(1), default=(100, 500))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60, help="of the fine-tuning")
    parser.add_argument("--pretraining", type=int, default=40, help="epochs")
    parser.add_argument("--contrast", type=float, default=CoreTuning.contrast, help="η of the arms with contrast")
    parser.add_argument("--source", default=None, help="as retrain.py's (default: a uniform network of 920k MACs)")
    parser.add_argument("--folder", type=Path, default=Path("runs/core-tuning"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
