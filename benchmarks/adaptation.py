"""What each part of an adaptation is worth: handwritten digits of one source for another, or CIFAR-10 corrupted.

    python -m benchmarks.adaptation [--seeds 5] [--epochs 15] [--source-epochs 15] [--folder FOLDER]
                                    [--cifar10 TRAIN --corruption noise|blur|contrast]

For each direction and seed a network (`mobilenetv2-32` with ca/8 at 920k MACs, head `bottleneck`) is trained on the
source with labels smoothed by 0.1, and adapted to the target's training pictures without labels: by the target's batch
statistics alone, by information maximisation, with pseudo-labels, with the rotation, and by the labelling transfer.
The oracle is trained on the target with its labels. The source's epoch is chosen on its own validation pictures, an
adaptation has its last epoch, and all are tested once on the target's test pictures, which nothing else saw. An
unbalanced target lacks 80 % of the pictures of classes 0 to 4, in training and in test; there information maximisation
stands with and without its diversity term. Differences are paired by seed, with intervals of 95 %.

`--cifar10 TRAIN` takes a folder of CIFAR-10's training pictures by class instead, and one fixed corruption of them as
the target. A killed run goes on where it was, and more seeds can be asked for later.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.cifar10 import linked
from benchmarks.intervals import ahead, told
from commands.adaptations import RECIPES
from commands.recipes import RECIPES as TRAININGS
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
from search_space.network import Network
from tasks.choice import task
from training.adaptation.adapt import SOURCE, STATISTICS, Adapting, stand
from training.adaptation.hypothesis import WithFeatures, look
from training.adaptation.settings import Adaptation
from training.data.adaptation_target import Before, target_set
from training.data.dataset import Dataset
from training.data.datasets import load_data
from training.data.held import HeldSplit
from training.data.pictures import Pictures
from training.data.split import Split
from training.model_file import load_model
from training.procedure import Procedure
from training.recipe import Recipe
from training.standalone import WEIGHTS, train_standalone

CPU, QUIET = torch.device("cpu"), Reporter(quiet=True)
SIDE, MACS, CLASSES, KEPT = 32, 920_000, 10, 0.2
SPLITS = {"train": 10_000, "val": 2_000, "test": 5_000}
INFORMATION, LABELS, ROTATION, TRANSFER, ORACLE = (
    "information maximisation",
    "+ pseudo-labels",
    "+ rotation",
    "++",
    "oracle",
)
WITHOUT = "information maximisation, no diversity"
ARMS = (SOURCE, STATISTICS, INFORMATION, WITHOUT, LABELS, ROTATION, TRANSFER, ORACLE)


def main() -> None:
    """Trains, adapts, prints a table a direction."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--source-epochs", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=Path("runs/adaptation"))
    parser.add_argument("--cifar10", type=Path, metavar="TRAIN")
    parser.add_argument("--corruption", choices=tuple(CORRUPTIONS), default="noise")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.cifar10:
        clean = load_data(f"folder:{linked(arguments.cifar10, arguments.folder / 'cifar10', SPLITS)}", SIDE, CPU)
        target = _with(clean, f"cifar10 {arguments.corruption}", CORRUPTIONS[arguments.corruption])
        directions, kind = [(clean, target)], "objects"
    else:
        uci, mnist = (load_data(f"digits:{name}", SIDE, CPU) for name in ("uci", "mnist"))
        directions, kind = [(uci, mnist), (mnist, uci)], "digits"
    for source, target in directions:
        for unbalanced in (False, True):
            bench = Bench(arguments.folder, source, target, kind, arguments.epochs, arguments.source_epochs, unbalanced)
            bench.print([bench.results(seed) for seed in range(arguments.seeds)])


class Bench:
    """One direction: a source network a seed, and what it comes to on the target's test pictures, by arm."""

    def __init__(
        self,
        folder: Path,
        source: Dataset,
        target: Dataset,
        kind: str,
        epochs: int,
        source_epochs: int,
        unbalanced: bool,
    ):
        self.source, self.title = source, f"{source.name} to {target.name}"
        self.folder = folder / self.title.replace(":", "-").replace(" ", "-")
        self.place = self.folder / ("unbalanced" if unbalanced else "balanced")
        self.unbalanced = unbalanced
        self.target = _with(target, f"{target.name} unbalanced", _thinned) if unbalanced else target
        steps, self.losses = RECIPES[kind]
        self.steps = replace(steps, epochs=epochs)
        augmentation = self.steps.augmentation
        self.training = replace(
            TRAININGS["quick"], epochs=source_epochs, label_smoothing=0.1, augmentation=augmentation
        )

    def results(self, seed: int) -> dict[str, float]:
        """Test accuracy by arm, from the folder or by training."""
        kept = self.place / f"{seed}-{self.steps.epochs}-{self.training.epochs}.json"
        if not kept.exists():
            weights = self.folder / f"source-{self.training.epochs}-{seed}"
            _trained(self.source, self.training, seed, weights)
            found = self._arms(load_model(weights / WEIGHTS)[0], weights, seed)
            write_json(kept, found)
        read = read_json(kept)
        found = {name: read[name] for name in ARMS if name in read}
        print(
            f"{self._told} {seed}: {', '.join(f'{name} {100 * value:.2f}' for name, value in found.items())}",
            flush=True,
        )
        return found

    def _arms(self, network: Network, weights: Path, seed: int) -> dict[str, float]:
        info = load_model(weights / WEIGHTS)[1]
        target = target_set(self.target, Before.of(info), CPU)
        tested = target_set(self.target, Before.of(info), CPU, "test")

        def accuracy(adapted: Network) -> float:
            found = stand("", look(WithFeatures(adapted), tested.pictures, SIDE, "float32"), tested.labels).accuracy
            assert found is not None
            return found

        def adapting(name: str, **changed: float) -> Adapting:
            losses: Adaptation = replace(self.losses, **changed)  # type: ignore[arg-type]
            folder = self.place / f"{name}-{self.steps.epochs}-{self.training.epochs}-{seed}"
            return Adapting(network, info, target, losses, self.steps, seed, folder, QUIET)

        information = adapting("information", pseudo_labels=0.0, rotation=0.0)
        found = {SOURCE: accuracy(network), STATISTICS: accuracy(information.normalised())}
        found[INFORMATION] = accuracy(information.shot())
        if self.unbalanced:
            found[WITHOUT] = accuracy(adapting("sure", pseudo_labels=0.0, rotation=0.0, diversity=0.0).shot())
            return found
        found[LABELS] = accuracy(adapting("labels", rotation=0.0).shot())
        whole = adapting("whole")
        adapted = whole.shot()
        found[ROTATION] = accuracy(adapted)
        found[TRANSFER] = accuracy(whole.transferred(adapted))
        found[ORACLE] = _trained(self.target, self.training, seed, self.place / f"oracle-{self.training.epochs}-{seed}")
        return found

    @property
    def _told(self) -> str:
        return f"{self.title}{', unbalanced' if self.unbalanced else ''}"

    def print(self, results: list[dict[str, float]]) -> None:
        """A row an arm: accuracy, and how far it is ahead of the network as it came, and of the arm before."""
        table = plain_table(
            f"{self._told}: test accuracy, {len(results)} seeds",
            ("arm", "accuracy", "over source", "over the row above"),
            words=("arm",),
        )
        names = list(results[0])
        for index, name in enumerate(names):
            before = names[max(0, index - 1)]
            table.add_row(
                name,
                told([one[name] for one in results]),
                *(ahead([one[name] - one[other] for one in results]) if index else "" for other in (SOURCE, before)),
            )
        Console(width=120).print(table)


def _trained(data: Dataset, recipe: Recipe, seed: int, folder: Path) -> float:
    """The test accuracy of a network that is trained with labels; its weights are in the folder."""
    what = task("classification", "bottleneck")
    result = train_standalone(
        _network(), data, Procedure(recipe, what), seed=seed, folder=folder, reporter=QUIET, what=data.name
    )
    return result.test.measured.value


def _network() -> Architecture:
    space = mobilenetv2_32()
    return at_cost(
        lambda width, divisor: uniform(space, Attention("ca", 8), width, divisor),
        lambda network: measure(network, CLASSES).macs / MACS - 1,
        nudged,
    )


def _with(data: Dataset, name: str, change: Callable[[Pictures, str], Pictures]) -> Dataset:
    """The data set with its pictures changed, split by split."""

    def load(split: str) -> Split:
        held = data.load(split)
        assert isinstance(held, HeldSplit)
        return HeldSplit(change(Pictures(held.images, held.targets), split), data.mean, data.std, CPU)

    return replace(data, name=name, identity=f"{data.identity} {name}", load=load, counts={})


def _thinned(pictures: Pictures, split: str) -> Pictures:
    """Without 80 % of the pictures of classes 0 to 4, always the same."""
    assert isinstance(pictures.targets, Tensor)
    drawn = torch.rand(len(pictures.images), generator=torch.Generator().manual_seed(derive("unbalanced", split)))
    kept = (pictures.targets >= CLASSES // 2) | (drawn < KEPT)
    return Pictures(pictures.images[kept], pictures.targets[kept])


def _noisy(pictures: Pictures, split: str) -> Pictures:
    """Gaussian noise of a standard deviation of 0.15, in 0 to 1."""
    generator = torch.Generator().manual_seed(derive("noise", split))
    noise = torch.randn(pictures.images.shape, generator=generator) * 0.15
    images = (pictures.images / 255 + noise).clamp(0, 1)
    return Pictures((images * 255).round().to(torch.uint8), pictures.targets)


def _blurred(pictures: Pictures, _split: str) -> Pictures:
    """A Gaussian of a standard deviation of 1.5 pixels."""
    from torchvision.transforms.v2 import functional

    return Pictures(functional.gaussian_blur(pictures.images, [7, 7], [1.5, 1.5]), pictures.targets)


def _pale(pictures: Pictures, _split: str) -> Pictures:
    """Three tenths of the contrast."""
    from torchvision.transforms.v2 import functional

    return Pictures(functional.adjust_contrast(pictures.images, 0.3), pictures.targets)


CORRUPTIONS = {"noise": _noisy, "blur": _blurred, "contrast": _pale}


if __name__ == "__main__":
    main()
