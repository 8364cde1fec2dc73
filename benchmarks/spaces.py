"""Which of several search spaces gives the better network, at the same budget.

    python -m benchmarks.spaces [--spaces A,B,…] [--data SPEC] [--preset NAME] [--max-macs N] [--searches N] [--first N]
                                [--seeds N] [--folder FOLDER] [--threads N]

For each search seed the default `search.py` is run in every space. What it finds is then trained with `--seeds` seeds
that no choice was made by (1, 2, …), and tested. Printed are each space's mean over the searches, and how far the
others are ahead of the first one, paired by search seed, with an interval of 95%. A killed run goes on where it was.
"""

import argparse
import statistics
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.intervals import ahead, told
from benchmarks.outcome import QUIET, ROOT, Bench, search_told, searched
from benchmarks.settled import settle
from commands.presets import PRESETS
from commands.recipes import MADE_FOR, RECIPES
from reports.terminal.tables import plain_table
from studies.runs.source import read_source
from training.data.datasets import load_data
from training.lanes import use_threads
from training.sizing import planned


def main() -> None:
    """Searches, trains, prints."""
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    use_threads(arguments.threads)
    preset = PRESETS[arguments.preset]
    data = load_data(arguments.data, 32, torch.device("cpu"), QUIET)
    recipe = planned(RECIPES[preset.retraining], MADE_FOR[preset.retraining], len(data.train))
    settle(
        arguments.folder,
        data=data.identity,
        preset=arguments.preset,
        max_macs=arguments.max_macs,
        recipe=recipe.described(),
        search=search_told(arguments.preset, recipe),
    )
    bench = Bench(arguments.folder, data, recipe, arguments.seeds)
    scores: dict[str, list[float]] = {name: [] for name in arguments.spaces}
    flags = [arguments.preset, "--data", arguments.data]
    flags += ["--max-macs", arguments.max_macs] if arguments.max_macs else []
    for seed in range(arguments.first, arguments.first + arguments.searches):
        for space, means in scores.items():
            run = arguments.folder / f"{space}-{seed}"
            searched(ROOT, [*flags, "--space", space], run, seed, arguments.threads)
            best = read_source(str(run), arguments.data).architecture
            means.append(statistics.mean(bench.trained(f"{space} {seed}", best).test))
    table = plain_table(
        f"{arguments.data}: {arguments.searches} searches, {arguments.seeds} seeds",
        ("space", "test", f"ahead of {arguments.spaces[0]} by"),
    )
    first = scores[arguments.spaces[0]]
    for space, means in scores.items():
        lead = "" if means is first else ahead([a - b for a, b in zip(means, first, strict=True)])
        table.add_row(space, told(means), lead)
    Console(width=110).print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", type=lambda text: text.split(","), default=["mobilenetv2-32", "mobilenetv4-32"])
    parser.add_argument("--data", default="digits")
    parser.add_argument("--preset", default="digits")
    parser.add_argument("--max-macs", default=None, help="default: the preset's")
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="of the first search")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/spaces"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
