"""A search for the task's own score against a search for accuracy: which finds the better backbone for the task.

    python -m benchmarks.downstream_search --cifar10 TRAIN [--task segmentation|detection] [--searches N] [--first N]
                                           [--seeds N] [--epochs N] [--folder FOLDER] [--uniform FOLDER]

For each search seed two searches of `mobile-96` are run: that of the task's preset on `scenes`, and one for accuracy on
CIFAR-10's classes (6,000 pictures) at 48 pixels, with as many candidates and finalists, within the MACs that are left
beside the task's largest head. What the latter finds is scaled in width to the MACs of what the former does, head
included. Both are trained on the task from scratch, with seeds that no choice was made by, and tested; so are the
uniform networks that fill the budget (`benchmarks.downstream attention`, whose results are taken from its folder).

Printed are the scores, the processor time of the searches, and the lead of the own score: paired by search seed, with
an interval of 95%; over the uniform networks Welch's. A killed run goes on where it was.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.cifar10 import linked
from benchmarks.downstream import ATTENTIONS, Arm, Bench
from benchmarks.intervals import ahead, told, welch
from foundation.files import write_json
from foundation.json_files import read_json
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.baselines import at_cost
from search_space.cost.cost import measure, measured_apart
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.baselines import nudged
from search_space.rounding import divisible
from studies.runs.source import read_source
from training.lanes import use_threads

ROOT = Path(__file__).parent.parent
SPLITS = {"train": 6_000, "val": 1_000, "test": 1_000}
ACCURACY_FLAGS = ("--supernet-epochs", "12", "--trials", "160", "--finalists", "4", "--space", "mobile-48")


def main() -> None:
    """Searches, trains, prints."""
    arguments = _arguments()
    folder = arguments.folder or Path("runs") / f"downstream-search-{arguments.task}"
    folder.mkdir(parents=True, exist_ok=True)
    use_threads(arguments.threads)
    pictures = linked(arguments.cifar10, folder / "cifar10", SPLITS)
    bench = Bench(folder, arguments.task, arguments.seeds, arguments.epochs)
    largest = max(measured_apart(one, bench.head)[1].macs for _, one in bench.space.widest(own_kernels=False))
    within = (bench.budget - largest) // 4  # at half the side a backbone costs a quarter
    scores: dict[str, list[float]] = {"own score": [], "accuracy": []}
    for seed in range(arguments.first, arguments.first + arguments.searches):
        own = _searched([bench.name], folder / f"own-{seed}", seed, arguments.threads)
        flags = ["cifar10", "--data", f"folder:{pictures}", "--max-macs", str(within), *ACCURACY_FLAGS]
        flags += ["--plugin", str(ROOT / "benchmarks" / "mobile_48.py")]
        if bench.preset.output_stride:
            flags += ["--output-stride", str(bench.preset.output_stride)]
        accurate = _searched(flags, folder / f"accuracy-{seed}", seed, arguments.threads)
        aim = measure(own, bench.head).macs
        for name, one in (("own score", own), ("accuracy", _scaled(accurate, aim, bench))):
            results = bench.results(name.replace(" ", "-"), Arm(one, bench.task, bench.head))
            scores[name].append(statistics.mean(row[bench.task.metric.name] for row in results))
            print(
                f"{name} {seed}: {measure(one, bench.head).macs / 1e6:.3f}M, {100 * scores[name][-1]:.2f}", flush=True
            )
    uniform = {}
    if arguments.uniform:
        kept = Bench(arguments.uniform, arguments.task, 5, arguments.epochs)
        for attention in ATTENTIONS:
            rows = kept.results(attention.kind, Arm(kept.filled(attention), kept.task, kept.head))
            uniform[attention.label] = [row[bench.task.metric.name] for row in rows]
    _print(bench, scores, uniform)


def _scaled(architecture: Architecture, aim: int, bench: Bench) -> Architecture:
    """The network at the task's side, its widths scaled until it costs `aim` MACs with the task's head."""
    assert isinstance(architecture, MobileArchitecture)
    found = replace(architecture, resolution=bench.space.resolution[0])
    stem = found.stem_width
    assert stem is not None

    def make(width: float, divisor: int) -> MobileArchitecture:
        stages = tuple(replace(stage, width=divisible(stage.width * width, divisor)) for stage in found.stages)
        return replace(found, stem_width=divisible(stem * width, divisor), stages=stages)

    return at_cost(make, lambda network: measure(network, bench.head).macs / aim - 1, nudged)


def _searched(flags: list[str], run: Path, seed: int, threads: int) -> Architecture:
    """What a search finds, that is run or gone on with."""
    kept = run.with_suffix(".seconds.json")
    if not kept.exists():
        command = [sys.executable, str(ROOT / "search.py"), *flags, "--seed", str(seed), "--out", str(run)]
        begun = _children()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        write_json(kept, {"seconds": _children() - begun})
    print(f"{run.name}: {read_json(kept)['seconds']:.0f} s", flush=True)
    return read_source(str(run), None).architecture


def _children() -> float:
    """Seconds of processor time that ended child processes have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print(bench: Bench, scores: dict[str, list[float]], uniform: dict[str, list[float]]) -> None:
    own = scores["own score"]
    table = plain_table(
        f"{bench.name} of scenes, {bench.recipe.epochs} epochs: {len(own)} searches, {len(bench.seeds)} seeds",
        ("found by", f"{bench.task.metric.name}, %", "own score ahead by"),
    )
    table.add_row("own score", told(own), "")
    pairs = zip(own, scores["accuracy"], strict=True)
    table.add_row("accuracy", told(scores["accuracy"]), ahead([a - b for a, b in pairs]))
    for name, values in uniform.items():
        table.add_row(f"uniform {name}", told(values), welch(own, values))
    Console(width=110).print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True, metavar="TRAIN")
    parser.add_argument("--task", choices=("segmentation", "detection"), default="segmentation")
    parser.add_argument("--searches", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="of the first search")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--uniform", type=Path, default=None, metavar="FOLDER")
    return parser.parse_args()


if __name__ == "__main__":
    main()
