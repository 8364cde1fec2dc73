"""How good the networks of a search space are before any search: drawn at random, and hand-designed.

    python -m benchmarks.design_spaces SPACE [SPACE ...] [--data SPEC] [--max-macs N] [--networks N] [--folder FOLDER]

A space is judged by the distribution of what its networks come to (arXiv:2003.13678, section 3.1). `--networks` that
fill the budget are drawn from each space, a name or a FILE.toml, and trained for the first rung of the finalists, with
the recipe `quick`. Printed are mean, deviation and best on validation pictures; and beside them the space's uniform
networks that fill the budget, of each kind of attention. A killed run goes on where it was.
"""

import argparse
import random
import statistics
from pathlib import Path

import torch
from rich.console import Console

from commands.recipes import MADE_FOR, RECIPES
from evaluators.finalists import FinalistSettings, FinalistTraining
from foundation.progress import Reporter
from foundation.seeds import derive
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.baselines import compared
from search_space.cost.cost import FULL, Budget
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import named_space
from tasks.classification.room import CLASSIFICATION
from training.data.datasets import load_data
from training.lanes import use_threads
from training.sizing import planned

MAX_DRAWS = 100_000
QUIET = Reporter(quiet=True)


def main() -> None:
    """Draws, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spaces", nargs="+", metavar="SPACE")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--max-macs", type=int, default=1_200_000)
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/design-spaces"))
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    data = load_data(arguments.data, 32, torch.device("cpu"), QUIET)
    recipe = planned(RECIPES["quick"], MADE_FOR["quick"], len(data.train))
    budget = Budget(max_macs=arguments.max_macs)
    settings = FinalistSettings(1, recipe)
    training = FinalistTraining(lambda side: data, len(data.train), CLASSIFICATION, settings, arguments.folder, QUIET)

    def judged(architecture: Architecture) -> float:
        return 100 * training.rung(architecture, 0).value

    table = plain_table(
        f"{arguments.data}, {budget}: validation accuracy after {settings.halving.epochs[0]} epochs",
        ("space", "random", "best", "uniform"),
        words=("space", "uniform"),
    )
    for name in arguments.spaces:
        priced = PricedSpace(named_space(name), data.num_classes, budget=budget)
        drawn = [judged(one) for one in _full(priced, arguments.networks)]
        spread = f" ± {statistics.stdev(drawn):.1f}" if len(drawn) > 1 else ""
        beside = compared(priced.smallest, priced.space, budget, priced.head)
        uniform = ", ".join(f"{label.removeprefix('uniform ')} {judged(one):.1f}" for label, one in beside.items())
        table.add_row(name, f"{statistics.mean(drawn):.1f}{spread}", f"{max(drawn):.1f}", uniform)
        print(f"{name}: {' '.join(f'{value:.1f}' for value in sorted(drawn, reverse=True))}; {uniform}", flush=True)
    Console(width=120).print(table)


def _full(priced: PricedSpace, count: int) -> list[Architecture]:
    """Distinct networks drawn from the budget that fill it. Raises SystemExit if there are too few."""
    rng = random.Random(derive(0, "design spaces"))
    least = FULL * (priced.budget.max_macs or 0)
    found: dict[str, Architecture] = {}
    for _ in range(MAX_DRAWS):
        one = priced.sample(rng)
        if priced.cost(one).macs >= least:
            found.setdefault(one.digest(), one)
        if len(found) == count:
            return list(found.values())
    raise SystemExit(f"--networks {count}: {MAX_DRAWS} draws met {len(found)} that fill the budget; ask for fewer")


if __name__ == "__main__":
    main()
