"""Search on a folder of your own pictures, and train what is found beside hand-designed networks of the same cost.

    python examples/own_pictures.py --pictures PATH --out runs/own-pictures

PATH has a folder a class. Without --pictures a folder of a thousand handwritten digits is written first, a class a
digit, to see how it goes. Further flags are those of search.py, such as --max-macs 2M --trials 100.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from commands import command_line, ending, retrain, search
from foundation.files import write_atomically
from training.data.digits import source

SIDE = 32


def main(arguments: Sequence[str]) -> None:
    """Searches, then retrains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", help="a folder with a folder a class (default: writes OUT-pictures)")
    parser.add_argument("--out", default="runs/own-pictures", help="the run's folder (default: runs/own-pictures)")
    parser.add_argument("--epochs", default="30", help="passes of the retraining over the pictures (default: 30)")
    given, further = parser.parse_known_args(command_line.at_home(arguments))
    pictures = Path(given.pictures or f"{given.out}-pictures")
    if given.pictures is None:
        write_digits(pictures)

    search.main(["--data", f"folder:{pictures}", "--max-macs", "1M", "--trials", "100", "--out", given.out, *further])
    retrain.main([given.out, "--compare", "--epochs", given.epochs, "--batch-size", "64"])


def write_digits(folder: Path, each: int = 100) -> None:
    """Writes `each` pictures of every handwritten digit, PNG of 32×32; those that are there already stay."""
    images, labels = source("train")  # n×8×8, in 0 to 1
    for digit in range(10):
        (folder / f"digit-{digit}").mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images[labels == digit][:each]):
            path = folder / f"digit-{digit}" / f"{number:03}.png"
            if not path.exists():
                pixels = Image.fromarray((image * 255).astype(np.uint8))
                enlarged = pixels.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
                write_atomically(path, partial(enlarged.save, format="PNG"))


if __name__ == "__main__":
    sys.exit(ending.run(main, continues=True))
