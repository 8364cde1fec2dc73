"""What gathering tokens step by step is worth, and depth against width, beside a mobile network at equal MACs.

    python -m benchmarks.tokens [--data SPEC] [--macs 18M] [--seeds N] [--epochs N] [--arms A,B] [--device D]
                                [--cifar10 TRAIN] [--pictures N] [--found RUN] [--threads N] [--folder F]

Every arm is scaled by its width to the same MACs and is trained from scratch by the recipe `tokens`:

- `patches`: 4×4 pixels are a token, cut out once;
- `convolution`: two convolutions before the embedding;
- `t2t`: two performers before it, as published (T2T-ViT, arXiv:2101.11986, section 3.1);
- `deep`, `wide`: `t2t` with twice and half as many blocks;
- `mobilenetv2`: the middle network of the space mobilenetv2-32, without attention;
- `found`: the answer of a search in t2t-32, with `--found RUN` (as it is: of so many MACs as the search chose).

Accuracy on the test pictures by seed; differences are paired by seed, with 95% intervals and t-tests: from `patches`,
and of `found` from the published-style network (`t2t`, `deep`, `wide`) that is best on validation pictures. A killed
run goes on where it was, and more seeds or arms can be asked for later. Without flags it takes minutes an arm: the
handwritten digits, one seed. The proof is on CIFAR-10: `--cifar10 TRAIN`, a folder of its training pictures by class,
makes the data: `--pictures` to train, 2,000 to validate, 8,000 to test, drawn by seed 0, as links in the folder; and
`--seeds 3` or more.
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
from typing import Any, NamedTuple

from rich.console import Console
from scipy import stats

from benchmarks.arms import some_of
from benchmarks.cifar10 import linked
from benchmarks.intervals import told
from benchmarks.settled import settle
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
from studies.runs.source import read_source
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import remove_checkpoints
from training.data.dataset import Dataset
from training.lanes import use_threads
from training.procedure import Procedure
from training.recipe import Recipe
from training.sizing import planned
from training.standalone import CHECKPOINT, METRICS, train_standalone

QUIET = Reporter(quiet=True)
SIDE, DEPTH, HEAD = 32, 6, 16
ARMS = ("patches", "convolution", "t2t", "deep", "wide", "mobilenetv2")
REFERENCE = "patches"
PUBLISHED = ("t2t", "deep", "wide")
FOUND = "found"
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


class Outcome(NamedTuple):
    """The accuracy that a training came to."""

    test: float
    validation: float


def _compare(arguments: argparse.Namespace) -> None:
    use_threads(arguments.threads)
    if arguments.cifar10:
        splits = {"train": arguments.pictures, "val": 2_000, "test": 8_000}
        arguments.data = f"folder:{linked(arguments.cifar10, arguments.folder / 'cifar10', splits)}"
    data = CLASSIFICATION.data(arguments.data, SIDE, resolve_device(arguments.device), QUIET)
    classes = len(data.classes)
    recipe = replace(RECIPES["tokens"], augmentation="none" if arguments.data.startswith("digits") else "crop-flip")
    recipe = planned(recipe, MADE_FOR["tokens"], len(data.train))
    recipe = recipe if arguments.epochs is None else recipe.lasting(arguments.epochs)
    settle(arguments.folder, data=data.identity, recipe=recipe.described())
    networks = {name: scaled(name, arguments.macs, classes) for name in arguments.arms}
    if arguments.found:
        networks[FOUND] = read_source(str(arguments.found), arguments.data).architecture
    found = {
        name: [_trained(name, network, data, recipe, seed, arguments.folder) for seed in range(1, arguments.seeds + 1)]
        for name, network in networks.items()
    }
    told_data = "CIFAR-10" if arguments.cifar10 else arguments.data
    title = f"{told_data}: {len(data.train)} pictures, {recipe.epochs} epochs, {arguments.seeds} seeds"
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


def _trained(name: str, network: Architecture, data: Dataset, recipe: Recipe, seed: int, folder: Path) -> Outcome:
    """What it comes to: from its folder, or by training it."""
    own = folder / f"{name}-{network.digest()[:12]}-{recipe.epochs}-{seed}"
    kept = own / "outcome.json"
    if not kept.exists():
        trained = train_standalone(
            network, data, Procedure(recipe, CLASSIFICATION), seed=seed, folder=own, reporter=QUIET, what=name
        )
        lines = [json.loads(line) for line in (own / METRICS).read_text().splitlines()]
        validation = max(line["validation_accuracy"] for line in lines)
        kept_values = {"accuracy": trained.test.measured.value, "validation": validation, "seconds": trained.seconds}
        write_json(kept, kept_values)
        remove_checkpoints(own / CHECKPOINT)
    outcome = read_json(kept)
    print(f"{name} {seed}: {json.dumps(outcome)}", flush=True)
    return Outcome(float(outcome["accuracy"]), float(outcome["validation"]))


def _print(
    title: str, networks: Mapping[str, Architecture], classes: int, found: Mapping[str, Sequence[Outcome]]
) -> None:
    table = plain_table(title, ("arm", "MACs", "params", "width", "depth", "accuracy, %", f"ahead of {REFERENCE}"))
    test = {name: [outcome.test for outcome in outcomes] for name, outcomes in found.items()}
    for name, network in networks.items():
        cost, own = measure(network, classes), test[name]
        last = [row for row in network.stage_rows() if row.depth][-1]
        depth = sum(row.depth for row in network.stage_rows()) if network.family == "mobile" else last.depth
        lead = _lead(own, test[REFERENCE]) if name != REFERENCE and REFERENCE in test else ""
        table.add_row(name, human(cost.macs), human(cost.params), str(last.width), str(depth), told(own), lead)
    Console(width=120).print(table)
    published = [name for name in PUBLISHED if name in found]
    if FOUND in found and published:
        best = max(published, key=lambda name: statistics.mean(outcome.validation for outcome in found[name]))
        Console(width=120).print(
            f"{FOUND} ahead of {best}, best of {', '.join(published)} on validation pictures: ", end=""
        )
        Console(width=120).print(_lead(test[FOUND], test[best]))


def _lead(one: Sequence[float], other: Sequence[float]) -> str:
    """Mean difference in points, paired by seed, with its 95% interval and the p of a paired t-test."""
    differences = [100 * (a - b) for a, b in zip(one, other, strict=True)]
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
    parser.add_argument("--cifar10", type=Path, default=None, metavar="TRAIN")
    parser.add_argument("--pictures", type=int, default=40_000, help="of CIFAR-10 to train on")
    parser.add_argument("--found", type=Path, default=None, metavar="RUN")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/tokens"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
