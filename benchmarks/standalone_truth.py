"""Networks trained from scratch, each by itself: what every evaluator's ranking is held against.

Two groups are drawn: `equal` at one count of MACs (±3%), where counting cannot tell networks apart, and `range` over
the range of MACs. Each network is trained with every seed in a folder of its own; processes that work in the same
folder share the jobs, and a killed one goes on where it was.
"""

import fcntl
import math
import multiprocessing
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.settled import settle
from evaluators.tabular.table import Table
from foundation.errors import InputError
from foundation.files import write_atomically, write_json
from foundation.json_files import read_json
from foundation.progress import Reporter, duration
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.cost import Budget
from search_space.cost.priced_space import PricedSpace
from search_space.network import build
from search_space.spaces import priced_space
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import load_weights, remove_checkpoints
from training.data import digits
from training.data.datasets import Dataset, HeldSplit, Split, load_data
from training.procedure import Procedure
from training.recipe import Recipe
from training.resize import resized
from training.standalone import CHECKPOINT, WEIGHTS, train_standalone

NETWORKS = "networks.json"
GROUPS = ("equal", "range")
WINDOW = 0.03
MAX_DRAWS = 100_000
TEST_CANVASES = 8_000  # canvases are free; the originals they are made from are not


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        equal: networks at `equal_macs` ±3%.
        across: networks whose MACs are spread evenly on a log scale over `macs_range`.
        known: a table of networks that count among these and need no training.
    """

    space: str
    data: str
    equal: int
    across: int
    seeds: int
    equal_macs: int
    macs_range: tuple[int, int]
    recipe: Recipe
    seed: int = 0
    known: Table | None = None

    def __post_init__(self) -> None:
        if self.known is None:
            return
        # A setting that came after the table was written was at its default.
        recipe = {**asdict(Recipe()), **self.known.recipe}
        seeds = {len(entry.test) for entry in self.known.networks}
        for name, value, own in (
            ("space", self.known.space, self.space),
            ("data", self.known.data, self.data),
            ("recipe", recipe, asdict(self.recipe)),
            ("seeds", seeds, {self.seeds}),
        ):
            if value != own:
                raise InputError(f"the table's {name}: expected {own}, got {value}; give another --table")

    def networks(self, folder: Path) -> list[tuple[str, Architecture]]:
        """Each network's group and architecture, the groups in turn.

        Those known come first, unless the folder has a list already. The others are drawn once and kept in the folder:
        what is drawn later goes on from there, even by another version.
        """
        path = folder / NETWORKS
        if path.exists():
            kept = [(str(group), Architecture.from_dict(data)) for group, data in read_json(path)]
        else:
            kept = [(entry.group, entry.architecture) for entry in self.known.networks] if self.known else []
        counts = {group: sum(1 for own, _ in kept if own == group) for group in GROUPS}
        wanted = {"equal": self.equal, "range": self.across}
        if any(counts[group] < wanted[group] for group in GROUPS):
            kept += self._drawn(kept, counts)
            write_json(path, [(group, architecture.to_dict()) for group, architecture in kept])
        numbers = dict.fromkeys(GROUPS, 0)
        chosen = []
        for group, architecture in kept:
            if numbers[group] < wanted[group]:
                chosen.append((group, architecture))
            numbers[group] += 1
        return chosen

    def to_train(self, folder: Path) -> list[tuple[str, Architecture]]:
        """Those of the networks that are not known."""
        known = {entry.architecture for entry in self.known.networks} if self.known else set()
        return [(group, architecture) for group, architecture in self.networks(folder) if architecture not in known]

    def _drawn(self, kept: list[tuple[str, Architecture]], counts: dict[str, int]) -> list[tuple[str, Architecture]]:
        priced = self.search_space()
        targets_of = {
            "equal": [self.equal_macs] * self.equal,
            "range": [_spread(index, *self.macs_range) for index in range(self.across)],
        }
        drawn: list[tuple[str, Architecture]] = []
        seen = {architecture.digest() for _, architecture in kept}
        for index in range(max(self.equal, self.across)):
            for group, targets in targets_of.items():
                if counts[group] <= index < len(targets):
                    rng = random.Random(derive(self.seed, "truth", group, index))
                    architecture = draw_near(priced, targets[index], rng, seen)
                    seen.add(architecture.digest())
                    drawn.append((group, architecture))
        return drawn

    def search_space(self) -> PricedSpace:
        """The space the networks are drawn from."""
        return priced_space(self.space)


def draw_near(priced: PricedSpace, macs: int, rng: random.Random, seen: set[str]) -> Architecture:
    """A uniform draw from the architectures within 3% of `macs` whose digest is not in `seen`.

    Raises InputError if 100,000 draws meet none.
    """
    low = math.ceil(macs * (1 - WINDOW))
    bounded = priced.within(Budget(max_macs=int(macs * (1 + WINDOW))))
    for _ in range(MAX_DRAWS):
        architecture = bounded.sample(rng)
        if bounded.cost(architecture).macs >= low and architecture.digest() not in seen:
            return architecture
    raise InputError(
        f"{macs} MACs: {MAX_DRAWS} draws met no new network of space {priced.space.name} within {WINDOW:.0%}"
    )


def _spread(index: int, low: int, high: int) -> int:
    """The index-th of an endless sequence that fills [low, high] evenly on a log scale (van der Corput, base 2)."""
    share, step = 0.0, 0.5
    index += 1
    while index:
        share += step * (index & 1)
        index >>= 1
        step /= 2
    return round(low * (high / low) ** share)


@dataclass(frozen=True)
class Results:
    """What the trainings came to, by network and seed.

    Attributes:
        networks: each one's group and architecture.
        validation: accuracies, networks × seeds.
        correct: right answers on the test pictures by original, networks × seeds × originals; `counted` pictures each.
    """

    networks: list[tuple[str, Architecture]]
    macs: list[int]
    validation: NDArray[np.float64]
    correct: NDArray[np.int64]
    counted: NDArray[np.int64]
    seconds: NDArray[np.float64]

    @property
    def test(self) -> NDArray[np.float64]:
        """Accuracies, networks × seeds."""
        shares: NDArray[np.float64] = self.correct.sum(2) / self.counted.sum()
        return shares


def without_trained_here(plan: Plan, folder: Path) -> Plan:
    """The plan without the known networks that were trained in the folder, of which more is known there."""
    if plan.known is None:
        return plan
    here = {
        architecture
        for _, architecture in plan.networks(folder)
        if all(_result(folder, architecture, seed).exists() for seed in range(plan.seeds))
    }
    others = tuple(entry for entry in plan.known.networks if entry.architecture not in here)
    return replace(plan, known=replace(plan.known, networks=others) if others else None)


def train(plan: Plan, folder: Path, workers: int, reporter: Reporter) -> Results:
    """Trains what is not trained yet, in `workers` processes of one thread; prints what one network costs first."""
    settle(
        folder,
        space=plan.space,
        data=plan.data,
        equal_macs=plan.equal_macs,
        macs_range=plan.macs_range,
        recipe=plan.recipe.described(),
    )
    networks = plan.to_train(folder)
    # The networks of equal MACs first: they say most, should there be no time for all.
    jobs = [(index, seed) for seed in range(plan.seeds) for index in range(len(networks))]
    jobs.sort(key=lambda job: GROUPS.index(networks[job[0]][0]))
    open_jobs = [job for job in jobs if not _result(folder, networks[job[0]][1], job[1]).exists()]
    if open_jobs:
        started = time.monotonic()
        _run(plan, folder, [open_jobs[0]])
        took = time.monotonic() - started
        left = duration(took * (len(open_jobs) - 1) / workers)
        reporter.say(f"one network: {took:.0f} s; {len(open_jobs) - 1} more in {workers} processes: about {left}")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            # Every process goes through all jobs and takes those that nobody else has.
            for future in [pool.submit(_run, plan, folder, open_jobs[1:]) for _ in range(workers)]:
                future.result()
    missing = [job for job in jobs if not _result(folder, networks[job[0]][1], job[1]).exists()]
    if missing:
        raise InputError(f"{folder}: {len(missing)} trainings are in the hands of another process; run again later")
    return read(plan, folder)


def read(plan: Plan, folder: Path) -> Results:
    """The results of a plan whose trainings are all done, without the networks that were known."""
    rows = []
    networks = plan.to_train(folder)
    if not networks:
        accuracies = np.zeros((0, plan.seeds))
        return Results([], [], accuracies, np.zeros((0, plan.seeds, 1), np.int64), np.ones(1, np.int64), accuracies)
    priced = plan.search_space()
    for _, architecture in networks:
        results = [np.load(_result(folder, architecture, seed), allow_pickle=False) for seed in range(plan.seeds)]
        rows.append([(r["validation"], r["correct"], r["counted"], r["seconds"]) for r in results])
    return Results(
        networks,
        [priced.cost(architecture).macs for _, architecture in networks],
        np.array([[float(seed[0]) for seed in row] for row in rows]),
        np.array([[seed[1] for seed in row] for row in rows]),
        np.array(rows[0][0][2]),
        np.array([[float(seed[3]) for seed in row] for row in rows]),
    )


def from_table(table: Table) -> Results:
    """What a table of trained networks holds. Its test pictures cannot be drawn anew: all count as one original."""
    test = np.array([entry.test for entry in table.networks])
    return Results(
        [(entry.group, entry.architecture) for entry in table.networks],
        [entry.macs for entry in table.networks],
        np.array([entry.validation for entry in table.networks]),
        np.rint(test * TEST_CANVASES).astype(np.int64)[:, :, None],
        np.array([TEST_CANVASES]),
        np.zeros_like(test),
    )


def _result(folder: Path, architecture: Architecture, seed: int) -> Path:
    return folder / f"{architecture.digest()[:16]}-{seed}" / "result.npz"


def _run(plan: Plan, folder: Path, jobs: Sequence[tuple[int, int]]) -> None:
    torch.set_num_threads(1)
    networks = plan.to_train(folder)
    quiet = Reporter(quiet=True)
    side = max(architecture.resolution for _, architecture in networks)
    data = load_data(plan.data, side, torch.device("cpu"), quiet)
    test = test_split(data)
    for index, seed in jobs:
        group, architecture = networks[index]
        result = _result(folder, architecture, seed)
        result.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(result.parent) as mine:
            if not mine or result.exists():
                continue
            started = time.monotonic()
            train_standalone(
                architecture,
                data,
                Procedure(plan.recipe, CLASSIFICATION),
                seed=seed,
                folder=result.parent,
                reporter=quiet,
                what=str(result),
            )
            tensors, _ = load_weights(result.parent / WEIGHTS)
            network = build(architecture, data.num_classes)
            network.load_state_dict(tensors)
            right = _right(network, test, architecture.resolution)
            validation = _right(network, data.validation, architecture.resolution).mean()
            sources = test.sources.numpy() if test.sources is not None else np.arange(len(test))
            counted = np.bincount(sources)
            values = {
                "validation": validation,
                "correct": np.bincount(sources, weights=right, minlength=len(counted)).astype(np.int64),
                "counted": counted,
                "seconds": time.monotonic() - started,
            }
            write_atomically(result, lambda path, values=values: _save(path, values))  # type: ignore[misc]
            remove_checkpoints(result.parent / CHECKPOINT)
            print(
                f"{index:3} seed {seed} {group:5} {right.mean():.4f} test, {validation:.4f} validation, "
                f"{values['seconds']:.0f} s",
                flush=True,
            )


def _save(path: Path, values: dict[str, object]) -> None:
    with open(path, "wb") as file:
        np.savez_compressed(file, **values)  # type: ignore[arg-type]


def test_split(data: Dataset) -> Split:
    """The pictures that truth is measured on: of the digits, more canvases than a retraining tests on."""
    kind, _, variant = data.name.partition(":")
    if kind != "digits":
        return data.test
    pictures = digits.compose(variant or "pointed", "test", count=TEST_CANVASES)
    return HeldSplit(pictures, data.mean, data.std, data.device)


@torch.no_grad()
def _right(network: torch.nn.Module, split: Split, resolution: int) -> NDArray[np.bool_]:
    network.eval()
    found = [network(resized(images, resolution)).argmax(1) == labels for images, labels in split.batches(256)]
    return torch.cat(found).numpy()


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Whether this process has the job; the claim goes with the process, however it ends."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        lock.write(str(os.getpid()))
        yield True
