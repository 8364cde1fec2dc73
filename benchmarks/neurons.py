"""How well a found network predicts simulated neurons, and how far pictures made by it fool them: cats and dogs.

    python -m benchmarks.neurons [--cifar10 FOLDER | --data SPEC] [--seeds N] [--epochs N] [--pictures N] [--macs N]
                                 [--budgets B,B] [--folder FOLDER] [--threads N]

Nothing is an animal's: the neurons are those of a hidden network (`evaluate.py --neurons`). Each seed has a hidden
network, an ensemble, a judged network and draws of its own. The judged network is the middle network of `mobile-32`
without attention, as wide as takes the MACs, trained by the recipe `quick`. CIFAR-10's training pictures of cats and
dogs, a folder for each, are split once: 4,000 of each class to train on, 500 to choose the epoch by, 500 to test.

Printed are explained variance, noise ceiling and their ratio, then by attack and budget the share of test pictures that
are taken for the other animal, and how far the neuron-guided attack is ahead of each other one, paired by seed, all
with intervals of 95 % over seeds. A killed run goes on where it was; more seeds can be asked for later.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.cifar10 import linked
from benchmarks.intervals import ahead
from benchmarks.settled import settle
from commands.recipes import RECIPES
from commands.values import count, fractions
from deployment.choices import NEURON_BUDGETS
from deployment.model_source import read_model
from deployment.neurons import Hidden, studied
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.baselines import at_cost
from search_space.cost.cost import measure
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.baselines import nudged, uniform
from search_space.families.mobile.space import MobileSpace
from search_space.parts import NO_ATTENTION
from search_space.spaces import named_space
from tasks.choice import task
from tasks.neural.attacks import GUIDED, METHODS
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.lanes import use_threads
from training.procedure import Procedure
from training.standalone import CHECKPOINT, WEIGHTS, train_standalone

SIDE = 32
ANIMALS = ("cat", "dog")
SPLITS = {"train": 40_000, "val": 5_000, "test": 5_000}
"""Of ten classes, of which there are two here."""
QUIET = Reporter(quiet=True)


def main() -> None:
    """Trains, changes, prints."""
    arguments = _arguments()
    use_threads(arguments.threads)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    spec = arguments.data or f"folder:{_animals(arguments.cifar10, arguments.folder)}"
    data = task("classification").data(spec, SIDE, torch.device("cpu"), QUIET)
    settle(arguments.folder, data=data.identity)
    rows = []
    for seed in range(1, arguments.seeds + 1):
        rows.append(_of_seed(seed, data, arguments))
        told = ", ".join(f"{name} {rows[-1][name]:.4f}" for name in ("explained", "ceiling", "decoded"))
        print(f"seed {seed}: {told}", flush=True)
    _print(rows, data.name, arguments)


def _animals(pictures: Path, folder: Path) -> Path:
    """A folder of links to the pictures of both animals, split once."""
    chosen = folder / "animals"
    for name in ANIMALS:
        chosen.mkdir(exist_ok=True)
        if not (chosen / name).exists():
            (chosen / name).symlink_to((pictures / name).resolve())
    return linked(chosen, folder / "data", SPLITS)


def _network(macs: int, classes: int) -> Architecture:
    """The middle network without attention, as wide as takes so many MACs."""
    space = named_space("mobile-32")
    assert isinstance(space, MobileSpace)

    def make(width: float, divisor: int) -> MobileArchitecture:
        assert isinstance(space, MobileSpace)
        return uniform(space, NO_ATTENTION, width, divisor)

    return at_cost(make, lambda network: measure(network, classes).macs / macs - 1, nudged)


def _of_seed(seed: int, data: Dataset, arguments: argparse.Namespace) -> dict[str, Any]:
    """What `Study.to_dict` tells of a seed, kept in its folder."""
    network = _network(arguments.macs, data.num_classes)
    folder = arguments.folder / f"{network.digest()[:12]}-{arguments.epochs}-{seed}"
    budgets = "-".join(f"{budget:g}" for budget in arguments.budgets)
    kept = folder / f"study-{arguments.pictures}-{budgets}.json"
    if not kept.exists():
        if not (folder / "trained.json").exists():
            trained = train_standalone(
                network,
                data,
                Procedure(RECIPES["quick"].lasting(arguments.epochs), task("classification")),
                seed=seed,
                folder=folder,
                reporter=QUIET,
                what="judged",
            )
            write_json(folder / "trained.json", trained.test.measured.numbers())
            remove_checkpoints(folder / CHECKPOINT)
        found = studied(
            read_model(folder / WEIGHTS, data.device),
            data,
            data.test,
            Hidden.of(data, folder, QUIET, seed),
            folder,
            name="judged",
            part="test",
            budgets=arguments.budgets,
            pictures=arguments.pictures,
            seed=seed,
            reporter=QUIET,
        )
        accuracy = read_json(folder / "trained.json")["accuracy"]
        write_json(kept, {**found.to_dict(), "accuracy": accuracy})
    content: dict[str, Any] = read_json(kept)
    return content


def _print(rows: Sequence[Mapping[str, Any]], data: str, arguments: argparse.Namespace) -> None:
    console = Console(width=140)
    of = f"{data}, {arguments.seeds} seeds, mean and interval of 95 % over seeds"
    clean = plain_table(f"simulated neurons, {of}", ("of clean pictures", "percent"))
    for name in ("explained", "ceiling", "share_of_ceiling", "decoded", "accuracy", "taken_at_rest"):
        clean.add_row(name, ahead([row[name] for row in rows]).lstrip("+"))
    console.print(clean)
    heads = tuple(f"MSE {budget:g}" for budget in arguments.budgets)
    taken = plain_table(f"taken for the other animal, {arguments.pictures} test pictures, {of}", ("changed by", *heads))
    lead = plain_table(f"{GUIDED} ahead of, in points, paired by seed", ("changed by", *heads))
    for name in METHODS:
        shares = [[row["taken_for_target"][name][place] for row in rows] for place in range(len(heads))]
        taken.add_row(name, *(ahead(own).lstrip("+") for own in shares))
        if name != GUIDED:
            guided = [[row["taken_for_target"][GUIDED][place] for row in rows] for place in range(len(heads))]
            pairs = (
                [mine - theirs for mine, theirs in zip(*both, strict=True)] for both in zip(guided, shares, strict=True)
            )
            lead.add_row(name, *map(ahead, pairs))
    changed = [[row["explained_on_neuron_guided"][place] for row in rows] for place in range(len(heads))]
    taken.add_section()
    taken.add_row(f"explained, {GUIDED}", *(ahead(own).lstrip("+") for own in changed))
    console.print(taken)
    console.print(lead)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--cifar10", type=Path, default=Path("cifar10/train"), help="its training pictures, by class")
    where.add_argument("--data", help="other pictures of 32 pixels, such as digits:uci")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30, help="of the judged network's training")
    parser.add_argument("--pictures", type=int, default=500, help="of the test, that are changed")
    parser.add_argument("--macs", type=count, default=1_200_000, help="of the judged network, e.g. 1.2M")
    parser.add_argument("--budgets", type=fractions, default=NEURON_BUDGETS, help="bounds on the mean squared change")
    parser.add_argument("--folder", type=Path, default=Path("runs/neurons"))
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
