"""What a search finds, beside what a user would take without it: test accuracy on several search seeds.

    python -m benchmarks.outcome --data SPEC [--preset NAME] [--searches N] [--first N] [--seeds N]
                                 [--folder FOLDER] [--before CHECKOUT] [--threads N] [--cifar10 TRAIN]

For each search seed the default `search.py` is run, and as a contender `random`: as many architectures drawn from the
budget as the same halving trains in the same processor time, without a supernet. `--before CHECKOUT` adds the search of
another checkout of this project. The uniform networks that fill the budget stand beside them, one of each kind of
attention, with the ratio that does best on validation pictures: of the search space's own shape, and of MobileNetV2's
(`mobilenetv2-32`), as a user would take them without it.

Each is then trained with `--seeds` seeds that no choice was made by (1, 2, …), and tested. Printed are each one's mean,
and how far the found networks are ahead: a Welch interval of 95% over the searches' means and the other's own, paired
by search seed where there is one. The best uniform network is the best on validation pictures. `--cifar10 TRAIN`, a
folder of CIFAR-10's training pictures by class, makes the data: 12,000 to train, 3,000 to validate, 10,000 to test,
drawn by seed 0, as links in the folder.

A killed run goes on where it was, and more searches or seeds can be asked for later. `--first` is the seed of the first
search, so that several machines can share the searches.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console

from benchmarks.cifar10 import linked
from benchmarks.intervals import ahead, told, welch
from benchmarks.settled import settle
from commands.compare import Contest, beside
from commands.presets import PRESETS
from commands.recipes import MADE_FOR, RECIPES
from commands.search_settings import settings_of
from evaluators.finalists import FinalistSettings, FinalistTraining
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from foundation.seeds import derive
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.cost.cost import measure
from search_space.head import ClassifierHead
from search_space.spaces import named_space
from studies.finalists import trained
from studies.runs.source import Source, read_source
from studies.trials import Candidate
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.data.datasets import load_data
from training.lanes import use_threads
from training.procedure import Procedure
from training.recipe import Recipe
from training.sizing import planned
from training.standalone import CHECKPOINT, METRICS, train_standalone

ROOT = Path(__file__).parent.parent
SHAPED = "mobilenetv2-32"
MAX_RANDOM = 1_000
SPLITS = {"train": 12_000, "val": 3_000, "test": 10_000}
QUIET = Reporter(quiet=True)


def main() -> None:
    """Searches, trains, prints."""
    arguments = _arguments()
    name = "cifar10" if arguments.cifar10 else re.sub("[:/]", "-", arguments.data)
    folder = arguments.folder or Path("runs") / f"outcome-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.cifar10:
        arguments.data = f"folder:{linked(arguments.cifar10, folder / 'cifar10', SPLITS)}"
    use_threads(arguments.threads)
    preset = PRESETS[arguments.preset]
    data = load_data(arguments.data, 32, torch.device("cpu"), QUIET)
    recipe = planned(RECIPES[preset.retraining], MADE_FOR[preset.retraining], len(data.train))
    settle(
        folder,
        data=data.identity,
        preset=arguments.preset,
        recipe=recipe.described(),
        search=search_told(arguments.preset, recipe),
    )
    bench = Bench(folder, data, recipe, arguments.seeds)
    print(f"{arguments.data}: {len(data.train)} pictures to train, {len(data.test)} to test; {recipe.epochs} epochs")
    contenders: dict[str, list[Results]] = {"search": [], "random": [], "before": []}
    uniform: dict[str, Results] = {}
    seeds = range(arguments.first, arguments.first + arguments.searches)
    flags = (arguments.preset, "--data", arguments.data)
    sources: list[Source] = []
    took: list[Took] = []
    for seed in seeds:
        run = folder / f"search-{seed}"
        took.append(searched(ROOT, flags, run, seed, arguments.threads))
        sources.append(read_source(str(run), arguments.data))
        contenders["search"].append(bench.trained(f"search {seed}", sources[-1].architecture))
    for name, network in (bench.uniform(sources[0], "space") | bench.uniform(sources[0], SHAPED)).items():
        uniform[name] = bench.trained(name, network)
    whole = [one.seconds for one in took if one.whole]
    if not whole:
        raise SystemExit(f"{folder}: no search ran at one go, so how long one takes is not known; ask for one more")
    for seed, source, one in zip(seeds, sources, took, strict=True):
        seconds = one.seconds if one.whole else statistics.mean(whole)
        contenders["random"].append(bench.trained(f"random {seed}", bench.drawn(source, seconds, seed)))
    for seed in seeds if arguments.before else ():
        older = folder / f"before-{seed}"
        searched(arguments.before, flags, older, seed, arguments.threads)
        best = read_source(str(older), arguments.data).architecture
        contenders["before"].append(bench.trained(f"before {seed}", best))
    _print(arguments.data, contenders, uniform)


def search_told(preset: str, recipe: Recipe) -> dict[str, Any]:
    """Plain values that tell a preset's search from one of another version of this project."""
    settings, own = settings_of(preset), PRESETS[preset]
    finalists = FinalistSettings(own.finalists, recipe).described()
    return {
        "space": settings.space,
        "prior": settings.prior,
        "supernet": own.recipe.described(),
        "finalists": {name: finalists[name] for name in ("count", "epochs")},
    }


class Results(NamedTuple):
    """Of a network, by seed."""

    test: tuple[float, ...]
    validation: tuple[float, ...]


class Bench:
    """The pictures and the recipe by which all are trained, and where what they come to is kept."""

    def __init__(self, folder: Path, data: Dataset, recipe: Recipe, seeds: int):
        self.folder = folder
        self.data = data
        self.recipe = recipe
        self.seeds = seeds

    def trained(self, name: str, architecture: Architecture) -> Results:
        """What a network comes to by the seeds, from its folders or by training it."""
        rows = []
        for seed in range(1, self.seeds + 1):
            folder = self.folder / "trained" / f"{architecture.digest()[:16]}-{seed}"
            kept = folder / "outcome.json"
            if not kept.exists():
                result = train_standalone(
                    architecture,
                    self.data,
                    Procedure(self.recipe, CLASSIFICATION),
                    seed=seed,
                    folder=folder,
                    reporter=QUIET,
                    what=name,
                )
                lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
                validation = max(line["validation_accuracy"] for line in lines)
                write_json(kept, {"test": result.test.measured.value, "validation": validation})
                remove_checkpoints(folder / CHECKPOINT)
            rows.append(read_json(kept))
        test = tuple(row["test"] for row in rows)
        macs = measure(architecture, self.data.num_classes).macs
        print(f"{name:22} {macs / 1e6:.3f}M  {' '.join(f'{100 * value:.2f}' for value in test)}", flush=True)
        return Results(test, tuple(row["validation"] for row in rows))

    def drawn(self, source: Source, seconds: float, seed: int) -> Architecture:
        """The best of architectures drawn from the budget, by the halving and in the time of a search."""
        folder = self.folder / f"random-{seed}"
        kept = folder / "best.json"
        if kept.exists():
            return Architecture.from_dict(read_json(kept))
        assert source.priced is not None
        rng = random.Random(derive(seed, "outcome"))
        settings = FinalistSettings(1, self.recipe)
        counted = folder / "count.json"
        if not counted.exists():
            shutil.rmtree(folder / "pilot", ignore_errors=True)  # what a killed one has trained would not be timed
            begun = time.process_time()
            pilot = self._training(settings, folder / "pilot")
            pilot.rung(source.priced.sample(rng), 0)
            steps = seconds / (time.process_time() - begun) * pilot.first_steps
            counts = range(2, MAX_RANDOM)
            fits = [self._training(replace(settings, count=count), folder).steps <= steps for count in counts]
            write_json(counted, {"count": max(2, sum(fits) + 1)})
        count = read_json(counted)["count"]
        rng = random.Random(derive(seed, "outcome"))
        networks: dict[str, Architecture] = {}
        while len(networks) < count:
            one = source.priced.sample(rng)
            networks.setdefault(one.digest(), one)
        print(f"random {seed}: {count} drawn, {seconds:.0f} s", flush=True)
        begun = time.process_time()
        training = self._training(replace(settings, count=count), folder)
        unscored = Measured(ACCURACY, 0.0, {"loss": 0.0})
        entrants = [Candidate(one, source.priced.cost(one), unscored) for one in networks.values()]
        best = trained(entrants, training, QUIET)[0].candidate.architecture
        write_json(kept, best.to_dict())
        print(f"random {seed}: took {time.process_time() - begun:.0f} s", flush=True)
        return best

    def uniform(self, source: Source, shape: str) -> dict[str, Architecture]:
        """The uniform networks that fill the budget, each with the ratio that does best after the first rung.

        Args:
            shape: `space`, the search's own, or the name of another one, whose middle network is taken.
        """
        if shape != "space":
            assert source.priced is not None
            source = replace(source, priced=replace(source.priced, space=named_space(shape)))
        contest = Contest(self._training(FinalistSettings(0, self.recipe), self.folder))
        found = beside(source, ClassifierHead(self.data.num_classes), contest)
        told = "" if shape == "space" else f", as {shape}"
        return {f"{name}{told}": network for name, network in found.items() if name.endswith("full")}

    def _training(self, settings: FinalistSettings, folder: Path) -> FinalistTraining:
        return FinalistTraining(lambda side: self.data, len(self.data.train), CLASSIFICATION, settings, folder, QUIET)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--preset", default="digits")
    parser.add_argument("--searches", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="default: runs/outcome-DATA")
    parser.add_argument("--before", type=Path, default=None, metavar="CHECKOUT")
    parser.add_argument("--cifar10", type=Path, default=None, metavar="TRAIN")
    return parser.parse_args()


class Took(NamedTuple):
    """Seconds of processor time, and whether they are of a whole search, or of what was left of a killed one."""

    seconds: float
    whole: bool


def searched(checkout: Path, flags: Sequence[str], run: Path, seed: int, threads: int) -> Took:
    """Runs the checkout's search, or goes on with it."""
    kept = run.with_suffix(".seconds.json")
    if kept.exists():
        told = read_json(kept)
        return Took(float(told["seconds"]), bool(told.get("whole", True)))
    whole = not run.exists()
    command = [sys.executable, str(checkout.resolve() / "search.py"), *flags, "--seed", str(seed), "--out", str(run)]
    begun = _children()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    took = Took(_children() - begun, whole)
    write_json(kept, took._asdict())
    print(f"{run.name}: {took.seconds:.0f} s{'' if whole else ' of what was left of it'}", flush=True)
    return took


def _children() -> float:
    """Seconds of processor time that ended child processes have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print(data: str, contenders: Mapping[str, Sequence[Results]], uniform: Mapping[str, Results]) -> None:
    best = max(uniform, key=lambda name: statistics.mean(uniform[name].validation))
    found = [statistics.mean(one.test) for one in contenders["search"]]
    table = plain_table(
        f"{data}: {len(found)} searches, {len(contenders['search'][0].test)} seeds",
        ("network", "test", "search ahead by"),
    )
    table.add_row("search", told(found), "")
    for name in ("random", "before"):
        if contenders[name]:
            own = [statistics.mean(one.test) for one in contenders[name]]
            table.add_row(name, told(own), ahead([a - b for a, b in zip(found, own, strict=True)]))
    for name, one in uniform.items():
        title = f"{name}, best on validation" if name == best else name
        table.add_row(title, told(one.test), welch(found, one.test))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
