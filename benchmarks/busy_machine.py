"""The parts of a default search and of a retraining, on an idle machine and beside busy loops.

    python -m benchmarks.busy_machine [--seconds S] [--rounds N] [--loops 0,1,2] [--contender NAME ...]

A contender is a way to use the processors: two lanes of one thread (what the commands do), one thread, or two threads
for each operation, as PyTorch does by itself, with GNU OpenMP's settings for how threads wait. Every measurement is a
process of its own; the contenders take turns within a round, first without other work, then beside loops that do
nothing but count. Printed are steps (or candidates) a second by the wall clock, the median over rounds, and their ratio
to one thread's beside the same loops. Give the machine to nothing else meanwhile.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from commands.presets import PRESETS
from commands.recipes import RECIPES
from commands.search_settings import settings_of
from evaluators.prior import Prior
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.room import PRIOR_BATCH
from evaluators.supernet.sandwich import Sandwich
from evaluators.zero_cost import Scorer
from foundation.memory import keep_freed_memory
from foundation.progress import Reporter
from search_space.cost.cost import Budget
from search_space.network import build
from search_space.spaces import priced_space
from studies.samplers import Goal, make_sampler
from studies.samplers.base import Proposal, Told
from tasks.classification.room import CLASSIFICATION
from training.data.datasets import load_data
from training.lanes import use_threads
from training.methods.label_step import LabelStep
from training.recipe import Recipe
from training.targets import Targets

PARTS = ("largest alone", "sandwich", "proposal", "candidate", "retraining")
"""A step of the supernet's first epochs, one of its later ones, what the predictor proposes after 200 candidates, a
candidate scored with its prior, a step of `quick`."""

CONTENDERS: dict[str, tuple[int, bool, dict[str, str]]] = {
    "two lanes": (2, True, {}),
    "one thread": (1, True, {}),
    "two threads": (2, False, {"OPENBLAS_NUM_THREADS": "2"}),
    "two threads, OMP_WAIT_POLICY=PASSIVE": (2, False, {"OPENBLAS_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"}),
    "two threads, GOMP_SPINCOUNT=1000": (2, False, {"OPENBLAS_NUM_THREADS": "2", "GOMP_SPINCOUNT": "1000"}),
}
"""Threads, whether they make lanes, and what the environment says."""

WARM_UP = 4
FIRST_LATER_STEP = 1_000
EVALUATED = 200


def measure(name: str, seconds: float) -> dict[str, float]:
    """Steps a second of each part, in this process."""
    threads, lanes, _ = CONTENDERS[name]
    keep_freed_memory()
    use_threads(threads, lanes=lanes)
    return {part: _rate(work, seconds) for part, work in zip(PARTS, _works(), strict=True)}


def _works() -> Iterator[Callable[[int], object]]:
    """What each part does in a turn of that number."""
    preset = PRESETS["digits"]
    data = load_data("digits", 32, torch.device("cpu"))
    priced = replace(
        priced_space(settings_of("digits").space), num_classes=data.num_classes, budget=Budget(preset_macs())
    )
    with tempfile.TemporaryDirectory() as folder:
        prior = Prior("progressivity", Scorer(priced, data, 0, PRIOR_BATCH), Path(folder), 1000)
        evaluator = SupernetEvaluator(
            priced,
            data,
            preset.recipe,
            preset.scoring,
            seed=0,
            folder=Path(folder),
            reporter=Reporter(quiet=True),
            prior=prior,
        )
        images, labels = next(data.train.batches(preset.recipe.batch_size, seed=0))
        step = Sandwich(evaluator.store, preset.recipe, seed=0, priced=priced, largest_steps=FIRST_LATER_STEP)
        trained = _trained(evaluator.store, step, preset.recipe, images, labels)
        yield trained
        yield lambda turn: trained(FIRST_LATER_STEP + turn)
        rng = random.Random(0)
        sampler = make_sampler("predictor", Goal(priced, 0, 20))
        for _ in range(EVALUATED):
            architecture = priced.sample(rng)
            cost = priced.cost(architecture)
            sampler.tell(Told(Proposal(architecture), cost, cost.macs / 10**7 + rng.random() / 50, 0.0))
        yield lambda turn: sampler.propose(turn, [])
        yield lambda _: evaluator.evaluate(priced.sample(rng))
    quick = RECIPES["quick"]
    network = build(priced.sample(random.Random(1)), data.num_classes).to(memory_format=torch.channels_last)
    network.train()
    batch = next(data.train.batches(quick.batch_size, seed=0))
    yield _trained(network, LabelStep(network, 32, quick, CLASSIFICATION, data.num_classes), quick, *batch)


def preset_macs() -> int:
    """The default search's budget."""
    macs = settings_of("digits").max_macs
    assert macs is not None
    return macs


def _trained(
    model: nn.Module, step: Callable[[Tensor, Targets, int], float], recipe: Recipe, images: Tensor, labels: Targets
) -> Callable[[int], object]:
    """A step as the training loop takes it."""
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=0.01,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )

    def turn(number: int) -> None:
        optimizer.zero_grad()
        step(images, labels, number)
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()

    return turn


def _rate(work: Callable[[int], object], seconds: float) -> float:
    for turn in range(WARM_UP):
        work(turn)
    started = time.monotonic()
    turn = WARM_UP
    while time.monotonic() - started < seconds:
        work(turn)
        turn += 1
    return (turn - WARM_UP) / (time.monotonic() - started)


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Processes that only count, beside what is done meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _measured_elsewhere(name: str, seconds: float) -> dict[str, float]:
    environment = {**os.environ, **CONTENDERS[name][2]}
    command = [sys.executable, "-m", "benchmarks.busy_machine", "--measure", name, "--seconds", str(seconds)]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    rates: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return rates


def _show(found: dict[tuple[str, int], list[dict[str, float]]], names: list[str], loops: list[int]) -> None:
    for part in PARTS:
        print(f"\n{part}: a second, and ÷ one thread's")
        print(f"{'':38}" + "".join(f"{_beside(count):>22}" for count in loops))
        for name in names:
            row = f"{name:38}"
            for count in loops:
                rate = statistics.median(rates[part] for rates in found[name, count])
                alone = [rates[part] for rates in found.get(("one thread", count), [])]
                ratio = f"{rate / statistics.median(alone):10.2f}" if alone else " " * 10
                row += f"{rate:12.2f}{ratio}"
            print(row)


def _beside(count: int) -> str:
    return "idle" if count == 0 else f"{count} busy loop{'s' if count > 1 else ''}"


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each part of a measurement")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--loops", default="0,1,2", help="busy loops beside, a column each")
    parser.add_argument("--contender", action="append", choices=[*CONTENDERS], help="may be repeated; default: all")
    parser.add_argument("--measure", choices=[*CONTENDERS], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.seconds)))
        return
    names = arguments.contender or [*CONTENDERS]
    loops = [int(count) for count in arguments.loops.split(",")]
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for count in loops:
            for name in names:
                with busy(count):
                    found.setdefault((name, count), []).append(_measured_elsewhere(name, arguments.seconds))
    _show(found, names, loops)


if __name__ == "__main__":
    main()
