"""Search on a torch Dataset of your own: any object with a length, whose items are a picture and its label.

    python examples/own_dataset.py --out runs/shapes

This one draws its pictures: discs, squares and crosses at random places, in colours that say nothing.
"""

import argparse

import torch
from torch import Tensor
from torch.utils.data import Dataset

import coordnas

SIDE = 32


class Shapes(Dataset[tuple[Tensor, int]]):
    """Pictures 3×32×32 (uint8) of three shapes; the same number has always the same picture."""

    classes = ("disc", "square", "cross")

    def __init__(self, count: int, first: int = 0):
        self.count, self.first = count, first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        label = index % len(self.classes)
        generator = torch.Generator().manual_seed(self.first + index)
        x, y = torch.randint(9, SIDE - 9, (2,), generator=generator).tolist()
        colours = torch.randint(0, 256, (2, 3, 1, 1), generator=generator)
        down, right = (torch.arange(SIDE) - y)[:, None], (torch.arange(SIDE) - x)[None]
        shape = (
            down**2 + right**2 <= 64,
            (down.abs() <= 7) & (right.abs() <= 7),
            ((down.abs() <= 2) & (right.abs() <= 8)) | ((right.abs() <= 2) & (down.abs() <= 8)),
        )[label]
        return torch.where(shape, colours[0], colours[1]).to(torch.uint8), label


def main(out: str, pictures: int = 2000, **settings: object) -> coordnas.Run:
    """Searches; what is not given is as in the preset `digits`."""
    train, validation = Shapes(pictures), Shapes(pictures // 4, first=pictures)
    run = coordnas.search("mobilenetv2-32", (train, validation), folder=out, max_macs=1_000_000, **settings)
    print(f"the best of {len(run.front)} on the front, for {', '.join(run.classes)}: {run.best.digest()[:8]}")
    return run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/shapes", help="the run's folder (default: runs/shapes)")
    parser.add_argument("--pictures", type=int, default=2000, help="to train on (default: 2000)")
    parser.add_argument("--trials", type=int, default=60, help="candidates (default: 60)")
    parser.add_argument("--epochs", type=int, default=4, help="of the supernet (default: 4)")
    given = parser.parse_args()
    try:
        main(given.out, given.pictures, trials=given.trials, supernet_epochs=given.epochs)
    except coordnas.InputError as error:
        parser.exit(2, f"error: {error}\n")
    parser.exit()
