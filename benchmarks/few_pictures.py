"""What planning a training by its number of pictures is worth: test accuracy with the recipe as it is, and as planned.

    python -m benchmarks.few_pictures [--pictures 42,150,600] [--seeds 2] [--cifar10 ROOT]

Trains the middle network of `mobilenetv2-32` with ca/8 at 920k MACs by `quick`, on some of the 8×8 handwritten digits
scaled to 32 pixels, or on some of CIFAR-10 (with crops and mirrors) where torchvision has it in ROOT. For validation
there are 15 pictures to 70 of training; tested is on all test pictures (of CIFAR-10 on 4,000). One thread.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from commands.recipes import MADE_FOR, RECIPES
from commands.values import wholes
from foundation.progress import Reporter
from search_space.architecture import Architecture, Attention
from search_space.baselines import at_cost
from search_space.cost.cost import measure
from search_space.families.mobile.baselines import nudged, uniform
from search_space.families.mobile.spaces import mobilenetv2_32
from tasks.classification.room import CLASSIFICATION
from training.data import digits
from training.data.datasets import Dataset, Split, load_data
from training.data.held import HeldSplit
from training.data.pictures import Pictures
from training.procedure import Procedure
from training.recipe import Recipe
from training.sizing import epoch_steps, planned
from training.standalone import train_standalone

CPU, QUIET = torch.device("cpu"), Reporter(quiet=True)
SIDE, MACS, CLASSES, TESTED = 32, 920_000, 10, 4000


def main() -> None:
    """Prints a line a training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=wholes(2), default=(42, 150, 600))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cifar10", metavar="ROOT")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space = mobilenetv2_32()
    network = at_cost(
        lambda width, divisor: uniform(space, Attention("ca", 8), width, divisor),
        lambda network: measure(network, CLASSES).macs / MACS - 1,
        nudged,
    )
    recipe = RECIPES["quick"]
    if arguments.cifar10:
        recipe = replace(recipe, augmentation="crop-flip")
        source = load_data(f"cifar10:{arguments.cifar10}", SIDE, CPU)
    else:
        source = _handwritten()
    for pictures in arguments.pictures:
        data = _some(source, pictures)
        for name, used in (("as it is", recipe), ("planned", planned(recipe, MADE_FOR["quick"], pictures))):
            steps = used.epochs * epoch_steps(pictures, used.batch_size)
            found = [_accuracy(network, data, used, seed) for seed in range(arguments.seeds)]
            accuracies = ", ".join(f"{100 * accuracy:.1f} %" for accuracy in found)
            print(f"{source.name}, {pictures} pictures, {name}: {steps} steps, {accuracies}", flush=True)


def _handwritten() -> Dataset:
    """The digits that `digits` makes canvases of, each by itself."""

    def load(split: str) -> Split:
        images, labels = digits.source(split)
        scaled = [
            np.array(Image.fromarray((image * 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            for image in images
        ]
        pictures = Pictures(torch.from_numpy(np.stack(scaled))[:, None], torch.from_numpy(labels))
        return HeldSplit(pictures, (digits.MEAN["pointed"],), (digits.STD["pointed"],), CPU)

    classes = tuple(str(digit) for digit in range(CLASSES))
    mean, std = (digits.MEAN["pointed"],), (digits.STD["pointed"],)
    return Dataset("handwritten digits", "handwritten digits", classes, mean, std, load, CPU)


def _some(source: Dataset, pictures: int) -> Dataset:
    """So many of the training pictures, and a share of the validation pictures; always the same."""
    drawn: dict[str, Callable[[], Split]] = {
        "train": lambda: _drawn(source.train, pictures),
        "validation": lambda: _drawn(source.validation, max(9, pictures * 15 // 70)),
        "test": lambda: _drawn(source.test, TESTED),
    }
    return replace(source, identity=f"{source.identity} {pictures}", load=lambda split: drawn[split]())


def _drawn(split: Split, count: int) -> Split:
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(count))
    return split.subset(order[:count])


def _accuracy(network: Architecture, data: Dataset, recipe: Recipe, seed: int) -> float:
    with TemporaryDirectory() as folder:
        trained = train_standalone(
            network,
            data,
            Procedure(recipe, CLASSIFICATION),
            seed=seed,
            folder=Path(folder),
            reporter=QUIET,
            what="few pictures",
        )
    return trained.test.measured.value


if __name__ == "__main__":
    main()
