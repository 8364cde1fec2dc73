"""What mixreg is worth: return on levels never trained on, beside plain PPO and what mixreg is made of.

    python -m benchmarks.control [--data SPEC] [--network impala|ca] [--macs N] [--seeds N] [--first N] [--epochs N]
                                 [--arms A,B] [--alpha A] [--crop N] [--folder FOLDER] [--threads N]

Every arm trains the same network from the same first weights, with as many steps, by the recipe `control`: plain PPO;
observations moved by a few pixels (`crop`); observations mixed and nothing else (`mixobs`); all mixed (`mixreg`). The
network is IMPALA's encoder, or the middle network of `mobile-32` with coordinate attention, of so many MACs.

The epoch is chosen on validation levels, and tested once on others. Printed are interquartile means over the seeds, of
the return on unseen levels and on training levels and of the gap between them, and how far each arm is ahead of plain
PPO on unseen levels: the interquartile mean of the differences, paired by seed, with its 95 % interval by the
bootstrap. A killed run goes on where it was, and more seeds or arms can be asked for later. `--first` is the first
seed, so that several processes can share the seeds of one folder; a last one prints all.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from scipy import stats

from benchmarks.arms import some_of
from commands.recipes import RECIPES
from commands.values import count
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture, Attention
from search_space.baselines import at_cost
from search_space.cost.cost import measure
from search_space.families.impala.equal import of_macs
from search_space.families.mobile.baselines import nudged, uniform
from search_space.families.mobile.space import MobileSpace
from search_space.head import Head
from search_space.spaces import named_space
from tasks.choice import task
from training.acting.settings import PPOSettings
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.lanes import use_threads
from training.methods.settings import ChosenMethod
from training.procedure import Procedure
from training.standalone import CHECKPOINT, train_standalone
from training.task import Task, on

ARMS = ("plain", "crop", "mixobs", "mixreg")
NETWORKS = ("impala", "ca")
MEASURES = ("return", "training_return", "gap")
QUIET = Reporter(quiet=True)
DRAWS = 10_000  # of the bootstrap


def main() -> None:
    """Trains, prints."""
    arguments = _arguments()
    use_threads(arguments.threads)
    control = task("control")
    data = control.data(arguments.data, 32, torch.device("cpu"), QUIET)
    control = on(control, data)
    side = 32 if arguments.network == "ca" else data.train.size[0]
    network = _network(arguments.network, arguments.macs, side, control.head(data.num_classes, _middle()))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.arms}
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        for name, rows in found.items():
            rows.append(_trained(name, network, control, data, seed, arguments))
            shown = ", ".join(f"{what} {rows[-1][what]:.3f}" for what in MEASURES)
            print(f"{name} {seed}: {shown}", flush=True)
    _print(found, arguments)


def settings(arm: str, alpha: float, crop: int) -> PPOSettings:
    """What an arm's training has of its own."""
    return {
        "plain": PPOSettings(),
        "crop": PPOSettings(crop=crop),
        "mixobs": PPOSettings(mixobs=alpha),
        "mixreg": PPOSettings(mixreg=alpha),
    }[arm]


def _middle() -> Architecture:
    space = named_space("mobile-32")
    assert isinstance(space, MobileSpace)
    return uniform(space, Attention("ca", 8))


def _network(kind: str, macs: int, side: int, head: Head) -> Architecture:
    """The network of so many MACs."""
    if kind == "impala":
        return of_macs(macs, side, head)
    space = named_space("mobile-32")
    assert isinstance(space, MobileSpace)
    make = partial(uniform, space, Attention("ca", 8))
    return at_cost(make, lambda network: measure(network, head).macs / macs - 1, nudged)


def _trained(
    arm: str, network: Architecture, control: Task, data: Dataset, seed: int, arguments: argparse.Namespace
) -> dict[str, float]:
    """What it comes to on test levels: trained in its folder, if it is not there yet."""
    own = settings(arm, arguments.alpha, arguments.crop)
    told = f"{arm}-{own.mixreg or own.mixobs or own.crop:g}-{network.digest()[:12]}-{arguments.epochs}-{seed}"
    folder = arguments.folder / arguments.data.replace(":", "-") / told
    kept = folder / "tested.json"
    if not kept.exists():
        result = train_standalone(
            network,
            data,
            Procedure(RECIPES["control"].lasting(arguments.epochs), control, method=ChosenMethod("ppo", own)),
            seed=seed,
            folder=folder,
            reporter=QUIET,
            what=arm,
        )
        write_json(kept, result.test.measured.numbers())
        remove_checkpoints(folder / CHECKPOINT)
    return {what: float(value) for what, value in read_json(kept).items()}


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean of the middle half (arXiv:2108.13264)."""
    return float(stats.trim_mean(values, 0.25))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Of the interquartile mean: 95 %, by the bootstrap's percentiles."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, (DRAWS, len(values)))
    low, high = np.quantile(stats.trim_mean(drawn, 0.25, axis=1), (0.025, 0.975))
    return float(low), float(high)


def _print(found: Mapping[str, Sequence[Mapping[str, float]]], arguments: argparse.Namespace) -> None:
    title = f"{arguments.data}, {arguments.network}, {arguments.epochs} epochs, {arguments.seeds} seeds"
    table = plain_table(title, ("arm", *(what.replace("_", " ") for what in MEASURES), "ahead of plain", "95 %"))
    plain = [row["return"] for row in found.get("plain", ())]
    for name, rows in found.items():
        values = [f"{interquartile_mean([row[what] for row in rows]):.3f}" for what in MEASURES]
        lead = ["", ""]
        if plain and name != "plain":
            differences = [row["return"] - other for row, other in zip(rows, plain, strict=True)]
            low, high = interval(differences)
            lead = [f"{interquartile_mean(differences):+.3f}", f"{low:+.3f} to {high:+.3f}" if len(plain) > 1 else ""]
        table.add_row(name, *values, *lead)
    Console(width=110).print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="gridworld", help="a game, as --data of retrain.py has it")
    parser.add_argument("--network", choices=NETWORKS, default="impala")
    parser.add_argument("--macs", type=count, default=360_000, help="of the network, e.g. 360k")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="seed")
    parser.add_argument("--epochs", type=int, default=30, help="of 10,240 steps")
    parser.add_argument("--arms", type=some_of(ARMS), default=ARMS, help=f"default: {','.join(ARMS)}")
    parser.add_argument("--alpha", type=float, default=0.2, help="of the beta distribution")
    parser.add_argument("--crop", type=int, default=4, help="most pixels that an observation is moved by")
    parser.add_argument("--folder", type=Path, default=Path("runs/control-benchmark"))
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
