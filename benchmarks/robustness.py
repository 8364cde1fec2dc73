"""Which attention is robust: adversarial training of networks of equal MACs, and all attacks on each.

    python -m benchmarks.robustness [--data SPEC] [--epsilon E] [--macs N] [--seeds N] [--epochs N] [--steps N]
                                    [--arms A,B] [--pictures N] [--folder FOLDER] [--threads N]

Every arm is the middle network of `mobile-32` with its attention in every block, or in the last stage alone (`-last`),
as wide as takes the same MACs; `natural` is the first of them trained without attacks, as a control. All are trained
from scratch, each seed with the same order of pictures, by the recipe `quick` and projected gradient descent. `probe`
is what CIFS has beside its gate: the fair comparison for the gate.

Of the test pictures `--pictures` are attacked, as `evaluate.py --attack` does: by gradients, by queries, and where
there are probes by all that is known against their gates. Printed are natural accuracy, that under each attack, the
worst of all by picture, how often gradients seem to be masked, and how far CIFS is ahead under the worst, paired by
seed, with an interval of 95%. A killed run goes on where it was, and more seeds or arms can be asked for later.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.arms import some_of
from benchmarks.intervals import ahead, told
from benchmarks.settled import settle
from commands.recipes import RECIPES
from commands.values import count
from deployment.model_source import read_model
from deployment.robustness import attacked
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture, Attention
from search_space.attention.probes import Probe, probes
from search_space.baselines import at_cost
from search_space.cost.cost import measure
from search_space.families.mobile.architecture import MobileArchitecture
from search_space.families.mobile.baselines import nudged, uniform
from search_space.families.mobile.space import MobileSpace
from search_space.parts import NO_ATTENTION
from search_space.spaces import named_space
from tasks.choice import task
from training.attacks.epsilon import read_epsilon
from training.attacks.registry import read_attack
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.data.datasets import load_data
from training.lanes import use_threads
from training.methods.settings import LABELS, Adversarial, ChosenMethod
from training.procedure import Procedure
from training.standalone import CHECKPOINT, WEIGHTS, train_standalone
from training.task import Task, on

SIDE = 32
QUIET = Reporter(quiet=True)
ARMS = {
    "natural": NO_ATTENTION,
    "none": NO_ATTENTION,
    "probe": Attention("probe"),
    "se": Attention("se", 4),
    "ca": Attention("ca", 4),
    "cifs": Attention("cifs"),
    "probe-last": Attention("probe"),
    "cifs-last": Attention("cifs"),
    "cifs_mlp-last": Attention("cifs_mlp"),
}
COMPARED = "cifs"
ATTACKS = ("pgd", "apgd:50", "square:500")
AGAINST_GATES = "adaptive"


def main() -> None:
    """Trains, attacks, prints."""
    arguments = _arguments()
    use_threads(arguments.threads)
    data = load_data(arguments.data, SIDE, torch.device("cpu"), QUIET)
    settle(arguments.folder, data=data.identity, epsilon=arguments.epsilon, steps=arguments.steps)
    robust = on(task(f"robust:{arguments.epsilon}:{arguments.steps}"), data)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.arms}
    for seed in range(1, arguments.seeds + 1):
        for name, rows in found.items():
            network = scaled(name, arguments.macs, data.num_classes)
            folder = arguments.folder / f"{name}-{network.digest()[:12]}-{arguments.epochs}-{seed}"
            _trained(name, network, data, robust, seed, folder, arguments)
            rows.append(_tested(name, folder, data, arguments))
            shown = ", ".join(f"{what} {100 * value:.2f}" for what, value in rows[-1].items())
            print(f"{name} {seed}: {measure(network, data.num_classes).macs / 1e3:.0f}k, {shown}", flush=True)
    _print(found, arguments)


def scaled(name: str, macs: int, classes: int) -> Architecture:
    """An arm's network, as wide as takes so many MACs."""
    space = named_space("mobile-32")
    assert isinstance(space, MobileSpace)
    own = space

    def make(width: float, divisor: int) -> MobileArchitecture:
        whole = uniform(own, ARMS[name], width, divisor)
        if not name.endswith("-last"):
            return whole
        bare = (replace(stage, attention=(NO_ATTENTION,) * stage.depth) for stage in whole.stages[:-1])
        return replace(whole, stages=(*bare, whole.stages[-1]))

    return at_cost(make, lambda network: measure(network, classes).macs / macs - 1, nudged)


def _trained(
    name: str,
    network: Architecture,
    data: Dataset,
    robust: Task,
    seed: int,
    folder: Path,
    arguments: argparse.Namespace,
) -> None:
    """Trains it in the folder, if it is not there yet."""
    kept = folder / "trained.json"
    if kept.exists():
        return
    method = ChosenMethod("adversarial", Adversarial(arguments.epsilon, arguments.steps))
    result = train_standalone(
        network,
        data,
        Procedure(
            RECIPES["quick"].lasting(arguments.epochs),
            task("classification") if name == "natural" else robust,
            method=LABELS if name == "natural" else method,
        ),
        seed=seed,
        folder=folder,
        reporter=QUIET,
        what=name,
    )
    write_json(kept, {"seconds": result.seconds})
    remove_checkpoints(folder / CHECKPOINT)


def _tested(name: str, folder: Path, data: Dataset, arguments: argparse.Namespace) -> dict[str, float]:
    """Natural accuracy, that under each attack, the worst of all, and 1 where queries find more than gradients."""
    kept = folder / f"attacked-{arguments.pictures}.json"
    if not kept.exists():
        model = read_model(folder / WEIGHTS, data.device)
        assert model.network is not None
        against = (AGAINST_GATES,) if any(not isinstance(one, Probe) for one in probes(model.network)) else ()
        result = attacked(
            model,
            data,
            data.test,
            {text: read_attack(text) for text in (*ATTACKS, *against)},
            read_epsilon(arguments.epsilon),
            name=name,
            pictures=arguments.pictures,
            batch_size=256,
            reporter=QUIET,
        )
        write_json(kept, {"natural": result.natural_accuracy, **result.accuracies, "worst": result.worst})
    found = {what: float(value) for what, value in read_json(kept).items()}
    by_gradients, by_queries = min(found[what] for what in ATTACKS[:-1]), found[ATTACKS[-1]]
    return {**found, "masked": float(by_queries < by_gradients)}


def _print(found: Mapping[str, Sequence[Mapping[str, float]]], arguments: argparse.Namespace) -> None:
    shown = ("natural", *ATTACKS, AGAINST_GATES, "worst")
    title = f"{arguments.data}, epsilon {arguments.epsilon}, {arguments.epochs} epochs, {arguments.seeds} seeds"
    heads = (*(re.sub(":.*", "", what) for what in shown), "masked", f"{COMPARED} ahead by")
    table = plain_table(title, ("arm", *heads))
    compared = [row["worst"] for row in found.get(COMPARED, ())]
    for name, rows in found.items():
        values = [told([row[what] for row in rows]) if what in rows[0] else "" for what in shown]
        own = [row["worst"] for row in rows]
        lead = ahead([a - b for a, b in zip(compared, own, strict=True)]) if compared and name != COMPARED else ""
        masked = f"{sum(row['masked'] for row in rows):.0f} of {len(rows)}"
        table.add_row(name, *values, masked, lead)
    Console(width=140).print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits:mnist", help="pictures of 32 pixels (default: digits:mnist)")
    parser.add_argument("--epsilon", default="0.1", help="of a value from 0 to 1")
    parser.add_argument("--macs", type=count, default=500_000, help="of each arm, e.g. 500k")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=5, help="of each attack in training")
    parser.add_argument("--arms", type=some_of(ARMS), default=tuple(ARMS), help=f"default: {','.join(ARMS)}")
    parser.add_argument("--pictures", type=int, default=400, help="of the test, that are attacked")
    parser.add_argument("--folder", type=Path, default=Path("runs/robustness"))
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
