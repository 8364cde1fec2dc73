"""What gathering tokens step by step is worth, and depth against width, beside a mobile network at equal MACs.

    python -m benchmarks.tokens [--data SPEC] [--macs 18M] [--seeds N] [--epochs N] [--arms A,B] [--device D]
                                [--folder F]

Every arm is scaled by its width to the same MACs and is trained from scratch by the recipe `tokens`:

- `patches`: 4×4 pixels are a token, cut out once;
- `convolution`: two convolutions before the embedding;
- `t2t`: two performers before it, as published (T2T-ViT, arXiv:2101.11986, section 3.1);
- `deep`, `wide`: `t2t` with twice and half as many blocks;
- `mobilenetv2`: the middle network of the space mobilenetv2-32, without attention.

Accuracy on the test pictures by seed; differences from `patches` are paired by seed, with 95% intervals and t-tests.
A killed run goes on where it was, and more seeds or arms can be asked for later. Without flags it takes minutes an arm:
the handwritten digits, one seed. The proof is on CIFAR-10's training pictures, of which a fifth is for testing:
`--data folder:ROOT`, where ROOT has the folder `train`, and `--seeds 3` or more.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from scipy import stats

from benchmarks.arms import some_of
from commands.recipes import MADE_FOR, RECIPES
from commands.values import count
from foundation.amounts import human
from foundation.device import resolve_device
from foundation.errors import InputError
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.printed import complain, name_flags
from foundation.progress import Reporter
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.baselines import at_cost
from search_space.cost.cost import measure
from search_space.families.mobile import baselines as mobile
from search_space.families.mobile.space import MobileSpace
from search_space.families.t2t.architecture import PATCH, T2TArchitecture, TransformerBlock
from search_space.families.t2t.baselines import nudged, widened
from search_space.parts import NO_ATTENTION
from search_space.spaces import named_space
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.recipe import Recipe
from training.sizing import planned
from training.standalone import CHECKPOINT, train_standalone

QUIET = Reporter(quiet=True)
SIDE, DEPTH, HEAD = 32, 6, 16
ARMS = ("patches", "convolution", "t2t", "deep", "wide", "mobilenetv2")
REFERENCE = "patches"
WITHIN = 0.99  # of the MACs that are asked for, so that a percent to either side stays within them


def main() -> None:
    """Trains, prints. Bad input ends in one line, and exit code 2."""
    arguments = _arguments()
    name_flags()
    try:
        _compare(arguments)
    except InputError as error:
        complain(f"error: {error}")
        sys.exit(2)


def _compare(arguments: argparse.Namespace) -> None:
    data = CLASSIFICATION.data(arguments.data, SIDE, resolve_device(arguments.device), QUIET)
    classes = len(data.classes)
    recipe = replace(RECIPES["tokens"], augmentation="none" if arguments.data.startswith("digits") else "crop-flip")
    recipe = planned(recipe, MADE_FOR["tokens"], len(data.train))
    recipe = recipe if arguments.epochs is None else recipe.lasting(arguments.epochs)
    networks = {name: scaled(name, arguments.macs, classes) for name in arguments.arms}
    found = {
        name: [_trained(name, network, data, recipe, seed, arguments.folder) for seed in range(1, arguments.seeds + 1)]
        for name, network in networks.items()
    }
    title = f"{arguments.data}: {len(data.train)} pictures, {recipe.epochs} epochs, {arguments.seeds} seeds"
    _print(title, networks, classes, found)


def scaled(name: str, macs: int, num_classes: int) -> Architecture:
    """An arm's network, as wide as takes so many MACs. Raises InputError if no width does."""

    def off(network: Architecture) -> float:
        return measure(network, num_classes).macs / (WITHIN * macs) - 1

    make, near = _widths(name)
    try:
        return at_cost(make, off, near)
    except InputError:
        least, most = (human(measure(make(width, 1), num_classes).macs) for width in (0.05, 8))
        raise InputError(
            f"`macs` {human(macs)}: no width of arm {name} comes to it within a percent; its widths take {least} to "
            f"{most}, in steps: give another `macs`, or leave the arm out by `arms`"
        ) from None


def _widths(name: str) -> tuple[Callable[[float, int], Any], Callable[[Any], Iterable[Any]]]:
    """An arm's network by its width's multiplier and what widths are multiples of; and those next to a network."""
    if name == "mobilenetv2":
        space = named_space("mobilenetv2-32")
        assert isinstance(space, MobileSpace)
        return partial(mobile.uniform, space, NO_ATTENTION), mobile.nudged
    depth = {"deep": 2 * DEPTH, "wide": DEPTH // 2}.get(name, DEPTH)
    blocks = (TransformerBlock(heads=4, expansion=2, attention=NO_ATTENTION),) * depth
    if name == "patches":
        base = T2TArchitecture(SIDE, PATCH, 4, (4,), 3, 64, HEAD, 64, blocks)
    else:
        tokens = "convolution" if name == "convolution" else "performer"
        base = T2TArchitecture(SIDE, tokens, 3, (2, 2, 1), 16, 64, HEAD, 64, blocks)
    return partial(widened, base), nudged


def _trained(name: str, network: Architecture, data: Dataset, recipe: Recipe, seed: int, folder: Path) -> float:
    """The accuracy on the test pictures, in percent: from its folder, or by training it."""
    own = folder / f"{name}-{network.digest()[:12]}-{recipe.epochs}-{seed}"
    kept = own / "outcome.json"
    if not kept.exists():
        trained = train_standalone(
            network, data, recipe, CLASSIFICATION, seed=seed, folder=own, reporter=QUIET, what=name
        )
        write_json(kept, {"accuracy": trained.test.measured.value, "seconds": trained.seconds})
        remove_checkpoints(own / CHECKPOINT)
    outcome = read_json(kept)
    print(f"{name} {seed}: {json.dumps(outcome)}", flush=True)
    return 100 * float(outcome["accuracy"])


def _print(
    title: str, networks: Mapping[str, Architecture], classes: int, found: Mapping[str, Sequence[float]]
) -> None:
    table = plain_table(title, ("arm", "MACs", "params", "width", "depth", "accuracy, %", f"ahead of {REFERENCE}"))
    for name, network in networks.items():
        cost, own = measure(network, classes), found[name]
        last = [row for row in network.stage_rows() if row.depth][-1]
        spread = f" ± {statistics.stdev(own):.2f}" if len(own) > 1 else ""
        depth = sum(row.depth for row in network.stage_rows()) if network.family == "mobile" else last.depth
        lead = _lead(own, found[REFERENCE]) if name != REFERENCE and REFERENCE in found else ""
        told = f"{statistics.mean(own):.2f}{spread}"
        table.add_row(name, human(cost.macs), human(cost.params), str(last.width), str(depth), told, lead)
    Console(width=120).print(table)


def _lead(one: Sequence[float], other: Sequence[float]) -> str:
    """Mean difference in points, paired by seed, with its 95% interval and the p of a paired t-test."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    mean = statistics.mean(differences)
    if len(differences) < 2 or len(set(differences)) < 2:
        return f"{mean:+.2f}"
    half = float(stats.t.ppf(0.975, len(differences) - 1)) * statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{mean:+.2f} ± {half:.2f} (p {float(stats.ttest_1samp(differences, 0).pvalue):.3f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="pictures, as for search.py (default: digits)")
    parser.add_argument("--macs", type=count, default=18_000_000, help="of each arm, e.g. 18M")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=None, help="default: those of the recipe")
    parser.add_argument("--arms", type=some_of(ARMS), default=ARMS, help=f"default: {','.join(ARMS)}")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, default=Path("runs/tokens"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
