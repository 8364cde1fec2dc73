"""A retraining killed at random moments ends with the weights of one that was not, bit for bit.

    python -m benchmarks.kill_retraining [--kills N] [--a-run N] [--epochs N]

`retrain.py` runs once whole, with all that is random switched on: augmentation, MixUp and CutMix, drop-path, an average
of the weights, gradients added up over parts of a batch. Then runs of the same command are killed (SIGKILL) at moments
drawn uniformly from the last two thirds of the time that the whole one took, `--a-run` times each, and run again to
their end. Compared are all files of weights and predictions, and the table of results.
"""

import argparse
import random
import shlex
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmarks.kill import run
from search_space.spaces import priced_space
from studies.runs.run_folder import RESULTS
from training.standalone import METRICS, PREDICTIONS, WEIGHTS

SETTINGS = shlex.split(
    "--data digits --quiet --batch-size 128 --micro-batch 48 --ema-decay 0.98 --mixup 0.2 --cutmix 1 --drop-path 0.1 "
    "--label-smoothing 0.1 --augmentation crop-flip --seeds 2"
)


def main() -> None:
    """Prints a line for each run, and how many differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--a-run", type=int, default=4, help="kills of each run")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        source = root / "network.json"
        source.write_text(priced_space("mobilenetv2-32").smallest.to_json())
        command = [sys.executable, "retrain.py", str(source), "--epochs", str(arguments.epochs), *SETTINGS]
        took = run(command, root / "whole")
        print(f"whole: 2 trainings of {arguments.epochs} epochs in {took:.1f} s", flush=True)
        killed = different = runs = 0
        while killed < arguments.kills:
            folder = root / str(runs)
            epochs = []
            for _ in range(min(arguments.a_run, arguments.kills - killed)):
                run(command, folder, rng.uniform(took / 3, took))
                epochs.append(sum(len(path.read_text().splitlines()) for path in folder.glob(f"*/{METRICS}")))
            killed += len(epochs)
            run(command, folder)
            found = differences(root / "whole", folder)
            different += bool(found)
            runs += 1
            print(f"run {runs}: killed after {epochs} epochs; differs in: {found or 'nothing'}", flush=True)
    print(f"{killed} kills, {runs} runs, {different} of them differ")
    sys.exit(1 if different else 0)


def differences(whole: Path, other: Path) -> list[str]:
    """The files that differ, by name."""
    found = []
    for path in sorted([*whole.glob(f"*/{WEIGHTS}"), *whole.glob(f"*/{PREDICTIONS}")]):
        one, two = load_file(path), load_file(other / path.relative_to(whole))
        if one.keys() != two.keys() or not all(torch.equal(tensor, two[key]) for key, tensor in one.items()):
            found.append(str(path.relative_to(whole)))
    if (whole / RESULTS).read_bytes() != (other / RESULTS).read_bytes():
        found.append(RESULTS)
    return found


if __name__ == "__main__":
    main()
