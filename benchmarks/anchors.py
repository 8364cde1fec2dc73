"""How much better a supernet ranks with some networks trained by themselves as anchors (`supernet/anchored.py`).

    python -m benchmarks.anchors --scores FILE [--truth FILE] [--counts N,N,...] [--splits N]

Takes a table of trained networks and the scores that `benchmarks.rank_correlation` gave them (`scores-supernet.json` in
its folder). Again and again some networks of the table are drawn as anchors, of which the accuracy of one seed on the
validation pictures is known, and the others are ranked: by the supernet, by the regression on the anchors, and by
both. Printed is the mean over the splits of Kendall's τ with the others' accuracies on the test pictures (the mean over
seeds), over all of them and over those of equal MACs, the 95% range over splits, and the regret at 5.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Grid

from commands.values import wholes
from evaluators.predictor import FEWEST
from evaluators.ranking import Truth, kendall
from evaluators.supernet.anchored import REFERENCES, Anchoring
from evaluators.tabular.table import GROUPS, TABLES, read_table
from foundation.json_files import read_json
from search_space.cost.cost import Budget
from search_space.spaces import priced_space

REGRET_AT = 5


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--truth", type=Path, default=TABLES / "digits.json")
    parser.add_argument("--counts", type=wholes(FEWEST, 1000), default=(12, 16, 24, 32))
    parser.add_argument("--splits", type=int, default=50)
    arguments = parser.parse_args()
    table = read_table(arguments.truth)
    networks = [entry.architecture for entry in table.networks]
    kept = read_json(arguments.scores)
    if kept["digests"] != [network.digest() for network in networks]:
        raise SystemExit(f"{arguments.scores}: scores of other networks than {arguments.truth}")
    scores = np.array(kept["scores"]["values"])
    truth = np.array([entry.truth for entry in table.networks])
    one_seed = np.array([entry.validation[0] for entry in table.networks])
    equal = np.array([entry.group == GROUPS[0] for entry in table.networks])
    budget = Budget(max_macs=max(entry.macs for entry in table.networks))
    priced = priced_space(table.space).within(budget)
    references = [priced.sample(random.Random(index)) for index in range(REFERENCES)]

    console = Console(width=118)
    grid = Grid(
        "anchors", "supernet: τ", "regression", "both", "less supernet", "both, equal MACs", "supernet", "regret"
    )
    for count in arguments.counts:
        rows = []
        for split in range(arguments.splits):
            drawn = np.random.default_rng([split, count]).permutation(len(networks))
            anchors, rest = drawn[:count], drawn[count:]
            anchoring = Anchoring(priced, references).fit(
                [networks[index] for index in anchors], list(scores[anchors]), list(one_seed[anchors])
            )
            others = [networks[index] for index in rest]
            both = anchoring.predict(others, list(scores[rest]))
            alone, _ = anchoring.predictor.predict(others)
            level = equal[rest]
            rows.append(
                (
                    kendall(scores[rest], truth[rest]),
                    kendall(alone, truth[rest]),
                    kendall(both, truth[rest]),
                    kendall(both[level], truth[rest][level]),
                    kendall(scores[rest][level], truth[rest][level]),
                    100 * Truth(truth[rest]).regret(list(both), REGRET_AT),
                )
            )
        found = np.array(rows)
        mean = np.nanmean(found, 0)
        gain = found[:, 2] - found[:, 0]
        grid.add_row(
            str(count),
            f"{mean[0]:.2f}",
            f"{mean[1]:.2f}",
            f"{mean[2]:.2f} {_range(found[:, 2])}",
            f"{gain.mean():+.2f} {_range(gain)}",
            f"{mean[3]:.2f}",
            f"{mean[4]:.2f}",
            f"{mean[5]:.2f}",
        )
    console.print(grid)


def _range(values: NDArray[np.float64]) -> str:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return f"[{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
