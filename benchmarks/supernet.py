"""A supernet's training step against NNI's one-shot trainer, OFA's dynamic layers and the networks' own steps.

    python -m benchmarks.supernet [--rounds N] [--steps N] [--group nni|ofa|sandwich ...]

Every contender is a process of one thread that trains on the same batches of the same space: images a second of
processor time, so that other work on the machine counts as little as it can, and peak memory. They take turns in
rounds, and ratios are taken within a round. A peer gets its batches as its own data loader makes them, contiguous, and
in a second process as this project's does, channels last. The peers take part where they are installed:
`pip install nni==3.0 pytorch-lightning`, `pip install ofa`.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from benchmarks import supernet_contenders as contenders
from search_space.architecture import Attention
from search_space.families.mobile.space import MobileSpace
from search_space.families.mobile.spaces import mobilenetv2_32
from search_space.families.mobile.stage_options import StageOptions
from search_space.parts import NO_ATTENTION
from training.data.datasets import load_data

BATCH = 64
WARM_UP = 24  # steps

PEERS = {"nni": ("nni", "pytorch_lightning"), "ofa": ("ofa",)}
TRAININGS: dict[str, tuple[contenders.Contender, torch.memory_format]] = {
    "shared weights": (contenders.train_shared, torch.channels_last),
    "stand-alone": (contenders.train_alone, torch.channels_last),
    "nni": (contenders.train_nni, torch.contiguous_format),
    "nni, channels last": (contenders.train_nni, torch.channels_last),
    "ofa": (contenders.train_ofa, torch.contiguous_format),
    "ofa, channels last": (contenders.train_ofa, torch.channels_last),
    "sandwich": (contenders.train_sandwich, torch.channels_last),
    "stand-alone sum": (contenders.train_sandwich_alone, torch.channels_last),
}


@dataclass
class Group:
    """Contenders on one space; the first is what the others are compared with."""

    name: str
    title: str
    space: str
    names: tuple[str, ...]


GROUPS = (
    Group(
        "nni",
        "one random network a step, none or SE by stage: forward, backward, update\n"
        "(NNI's SE has a hard sigmoid and a ReLU, and its width is rounded to a multiple of 8)",
        "se",
        ("shared weights", "stand-alone", "nni", "nni, channels last"),
    ),
    Group(
        "ofa",
        "one random network a step, no attention, which OFA's layers do not choose: forward, backward, update\n"
        "(OFA transforms a 5×5 kernel into a 3×3 one by a learnt matrix)",
        "none",
        ("shared weights", "stand-alone", "ofa", "ofa, channels last"),
    ),
    Group(
        "sandwich",
        "the sandwich rule, 3 networks a step, space mobilenetv2-32 with CA: forward, backward\n"
        "(an image counts once a step; no update, of which the sum would need three)",
        "mobilenetv2-32",
        ("stand-alone sum", "sandwich"),
    ),
)


def bench_space(name: str) -> MobileSpace:
    """The default space, or one that the peers can express too: channels all multiples of 8, none or SE by stage."""
    if name == "mobilenetv2-32":
        return mobilenetv2_32()
    rows = ((16, 2), (16, 1), (24, 1), (24, 1), (32, 1))
    attention = (NO_ATTENTION,) if name == "none" else (NO_ATTENTION, Attention("se", 4))
    stages = tuple(
        StageOptions(
            block="inverted_residual",
            stride=stride,
            width=(width,),
            depth=(1, 2),
            expansion=(2, 3, 4),
            kernel_size=(3, 5),
            attention=attention,
        )
        for width, stride in rows
    )
    return replace(mobilenetv2_32(), name=name, stages=stages)


@dataclass
class Process:
    """A contender in a process of its own: `ready`, then a round for each line it is sent."""

    name: str
    process: subprocess.Popen[str]
    errors: IO[str]
    seconds: list[float] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)

    def answer(self) -> list[float]:
        """The numbers of its next line. Raises RuntimeError with its last words if it has ended."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("::"):
                return [float(number) for number in line[2:].split()]
        self.process.wait()
        self.errors.seek(0)
        raise RuntimeError((self.errors.read().strip().splitlines() or ["?"])[-1])

    def round(self) -> None:
        """Trains for a round."""
        assert self.process.stdin is not None
        print("go", file=self.process.stdin, flush=True)
        self.seconds += self.answer()

    def end(self) -> None:
        """Lets it end, and asks for its memory."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        before, peak = self.answer()
        self.memory = (before, peak)
        self.process.wait()


def main() -> None:
    """Prints a table a group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=24, help="of a round")
    names = [group.name for group in GROUPS]
    parser.add_argument("--group", action="append", choices=names, help="only this; may be repeated; default: all")
    parser.add_argument("--contender", choices=TRAININGS, help=argparse.SUPPRESS)
    parser.add_argument("--space", help=argparse.SUPPRESS)
    parser.add_argument("--batches", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        _train(arguments.contender, arguments.space, arguments.batches, arguments.steps)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/batches"
        data = load_data("digits", 32, torch.device("cpu"))
        # Made here, so that the peak of making them is not a contender's.
        torch.save([batch for batch, _ in zip(data.train.batches(BATCH, seed=0), range(WARM_UP), strict=False)], path)
        groups = [group for group in GROUPS if group.name in (arguments.group or names)]
        _compare(groups, path, arguments.rounds, arguments.steps)


def _compare(groups: list[Group], path: str, rounds: int, steps: int) -> None:
    for group in groups:
        print(f"\n{group.title}")
        running = []
        for name in group.names:
            absent = [
                module for module in PEERS.get(name.split(",")[0], ()) if importlib.util.find_spec(module) is None
            ]
            if absent:
                print(f"{name:18} left out: {', '.join(absent)} not installed")
                continue
            process = _start(name, group.space, path, steps)
            try:
                process.answer()
                running.append(process)
            except RuntimeError as error:
                print(f"{name:18} left out: {error}")
        for number in range(rounds):
            for process in running if number % 2 else running[::-1]:
                process.round()
        for process in running:
            process.end()
        _print(running, steps)


def _print(running: list[Process], steps: int) -> None:
    first = running[0]
    print(f"{'':18} {'images/s':>9} {'time over that of ' + first.name:>42} {'peak MiB':>9} {'of training':>12}")
    for process in running:
        rate = BATCH * steps / statistics.median(process.seconds)
        ratios = [own / other for own, other in zip(process.seconds, first.seconds, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        ratio = f"{statistics.median(ratios):.2f} (quartiles {low:.2f} to {high:.2f})"
        before, peak = process.memory
        print(f"{process.name:18} {rate:9.0f} {ratio:>42} {peak:9.0f} {peak - before:12.0f}")


def _start(name: str, space: str, path: str, steps: int) -> Process:
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the process)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.supernet", "--contender", name),
            *("--space", space, "--batches", path, "--steps", str(steps)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return Process(name, process, errors)


def _train(name: str, space: str, path: str, steps: int) -> None:
    """A contender's process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train, layout = TRAININGS[name]
    batches = [(images.contiguous(memory_format=layout), labels) for images, labels in torch.load(path)]
    before: list[float] = []
    train(bench_space(space), _rounds(batches, steps, before))
    print("::", before[0], _peak(), flush=True)


def _rounds(batches: list[tuple[Tensor, Tensor]], steps: int, before: list[float]) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches again and again, a round for each line read; tells the processor time of each round.

    What trains asks for the next batch when it has done with the last. One that fetches a batch ahead trains on the
    same number in a round.
    """
    before.append(_peak())
    yield from batches
    print(":: 0", flush=True)
    while sys.stdin.readline():
        start = time.process_time()
        for step in range(steps):
            yield batches[step % len(batches)]
        print("::", time.process_time() - start, flush=True)


def _peak() -> float:
    """The process's peak memory in MiB. getrusage's counts what the parent had when it started this one."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


if __name__ == "__main__":
    main()
