"""How unlike finalists should be, and how many: from what networks came to that differ in so many decisions.

    python -m benchmarks.unlikeness RUN [RUN ...] [--trained FOLDER ...] [--prior NUMBER] [--noise NUMBER]

The runs are finished searches of one space, on the same pictures. Printed is how far two finalists lie apart after the
first rung, by the share of decisions in which they differ: the root of half the mean squared difference, in points. It
is of finalists that fill the budget, those of the runs and of the folders of finalists that are named besides; all must
have been trained by one recipe on one data set.

Then other choices of finalists are made among the runs' candidates, and what each would win is simulated. What a
candidate comes to is `--prior` times its score (its normal quantile in the run), and for the rest a Gaussian process
that correlates two networks by exp(-d/length), for the share d of their decisions by which they differ; it is seen with
an error of `--noise`, and the best seen wins. Printed is the mean of what winners come to, in standard deviations.
The scores are those of the search itself, not those of the second look; twice as many finalists have twice as many.
"""

import argparse
import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.stats import norm, rankdata

from commands.presets import preset
from evaluators.finalists import FOLDER, RUNGS
from foundation.json_files import read_json
from reports.record import read_record
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.cost.cost import FULL
from search_space.cost.priced_space import PricedSpace
from studies.finalists import UNLIKE, finalists, unlikeness
from studies.front import promising
from studies.runs.source import read_source
from studies.trials import Candidate
from training.standalone import ARCHITECTURE, RECIPE

SHARES = (0.1, UNLIKE, 1 / 3, 0.5)
COUNTS = (8, 16)
LENGTHS = (0.2, 0.5)
DRAWS = 20_000


def main() -> None:
    """Reads, simulates, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--trained", nargs="*", default=[], help="other folders with folders of finalists")
    parser.add_argument("--prior", type=float, default=0.5)
    parser.add_argument("--noise", type=float, default=0.6)
    arguments = parser.parse_args()
    sources = [read_source(run, None) for run in arguments.runs]
    priced = sources[0].priced
    for run, source in zip(arguments.runs, sources, strict=True):
        if priced is None or source.priced is None or source.preset is None:
            raise SystemExit(f"{run}: no folder of a search; name those of finished searches")
        if (source.priced.space, source.priced.budget) != (priced.space, priced.budget):
            raise SystemExit(f"{run}: of another space or budget than {arguments.runs[0]}; name runs of one")
    assert priced is not None
    _print_spread(priced, [Path(folder) / FOLDER for folder in arguments.runs] + [*map(Path, arguments.trained)])
    searched: list[tuple[list[Candidate], int]] = []
    for run, source in zip(arguments.runs, sources, strict=True):
        candidates = [one.candidate for one in read_record(Path(run)).evaluated]
        searched.append((candidates, preset(str(source.preset)).rescored))
    _print_simulated(priced, searched, arguments.prior, arguments.noise)


def _print_spread(priced: PricedSpace, folders: Sequence[Path]) -> None:
    found: dict[int, list[float]] = defaultdict(list)
    networks = list(_came_to(priced, folders))
    for (one, first), (other, second) in itertools.combinations(networks, 2):
        found[int(10 * unlikeness(one, other))].append((first - second) ** 2 / 2)
    table = plain_table(f"{len(networks)} finalists after the first rung", ("decisions that differ", "pairs", "points"))
    for tenth in sorted(found):
        row = f"{10 * tenth} to {10 * tenth + 10} %", str(len(found[tenth]))
        table.add_row(*row, f"{statistics.mean(found[tenth]) ** 0.5:.2f}")
    Console(width=110).print(table)


def _came_to(priced: PricedSpace, folders: Sequence[Path]) -> Iterator[tuple[Mapping[str, object], float]]:
    """The decisions of each network that fills the budget, once, and its value after the first rung, in points."""
    seen: set[str] = set()
    recipe: object = None
    for path in sorted(path for folder in folders for path in folder.glob(f"*/{RUNGS}")):
        architecture = Architecture.from_dict(read_json(path.parent / ARCHITECTURE))
        full = 1 + priced.budget.excess(priced.cost(architecture)) >= FULL
        if full and architecture.digest() not in seen:
            seen.add(architecture.digest())
            own = read_json(path.parent / RECIPE)
            if own != (recipe := recipe or own):
                raise SystemExit(f"{path.parent}: trained otherwise, or on other data, than those before")
            rungs = read_json(path)
            yield priced.space.choices(architecture), 100 * rungs[min(rungs, key=int)]["accuracy"]


def _print_simulated(
    priced: PricedSpace, searched: Sequence[tuple[list[Candidate], int]], prior: float, noise: float
) -> None:
    table = plain_table(
        f"what the winner comes to, {len(searched)} searches",
        ("finalists", "differ in", *(f"length {length:g}" for length in LENGTHS)),
    )
    rng = np.random.default_rng(0)
    for count, share in itertools.product(COUNTS, SHARES):
        means: dict[float, list[float]] = defaultdict(list)
        for candidates, rescored in searched:
            ranks = rankdata([one.measured.merit for one in candidates])
            quantiles = dict(zip(map(id, candidates), norm.ppf((ranks - 0.5) / len(candidates)), strict=True))
            pool = promising(candidates, rescored * count // 8, ("macs",), priced.budget)
            chosen = finalists(pool, priced.space, priced.budget, count, share)
            choices = [priced.space.choices(one.architecture) for one in chosen]
            apart = np.array([[unlikeness(one, other) for other in choices] for one in choices])
            scores = np.array([quantiles[id(one)] for one in chosen])
            for length in LENGTHS:
                factor = np.linalg.cholesky(np.exp(-apart / length) + 1e-4 * np.eye(count))
                rest = factor @ rng.standard_normal((count, DRAWS))
                truth = prior * scores[:, None] + (1 - prior**2) ** 0.5 * rest
                seen = truth + noise * rng.standard_normal(truth.shape)
                means[length].append(float(truth[seen.argmax(0), np.arange(DRAWS)].mean()))
        values = (f"{statistics.mean(means[length]):.2f}" for length in LENGTHS)
        table.add_row(str(count), f"{100 * share:.0f} %", *values)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
