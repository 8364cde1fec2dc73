"""How much a supernet's accuracies should count beside its prior: how the two rank trained networks by each weight.

    python -m benchmarks.prior_weight --plain FILE --corrected FILE [--truth FILE]

Takes a table of trained networks, and two files of scores that `benchmarks.rank_correlation` keeps in its folder: of
shared weights without a prior, and of the same with it (`scores-NAME.json`). Accuracies are taken as log-odds, and what
the prior adds to them is the difference of the two; each is in units of its spread. Printed is, over the networks of
equal MACs and over all, Kendall's τ of the prior and so much of the accuracy (0: the prior alone; 1: as a search does
it), of the accuracy alone, and by how much the prior alone ranks better than both, with its 95% interval by paired
resamples; and the mean accuracy of the 8 networks on top.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from evaluators.ranking import Truth, Values, kendall
from evaluators.tabular.table import GROUPS, TABLES, read_table
from foundation.json_files import read_json
from reports.terminal.tables import plain_table

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
TOP = 8


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", type=Path, required=True)
    parser.add_argument("--corrected", type=Path, required=True)
    parser.add_argument("--truth", type=Path, default=TABLES / "digits.json")
    arguments = parser.parse_args()
    networks = read_table(arguments.truth).networks
    accuracy = np.array([entry.truth for entry in networks])
    equal = np.array([entry.group == GROUPS[0] for entry in networks])
    digests = [entry.architecture.digest() for entry in networks]
    plain, corrected = (_log_odds(path, digests) for path in (arguments.plain, arguments.corrected))
    prior = corrected - plain
    for title, chosen in ((f"{equal.sum()} of equal MACs", equal), (f"all {len(networks)}", np.ones_like(equal))):
        own, added, truth = _standard(plain[chosen]), _standard(prior[chosen]), accuracy[chosen]
        table = plain_table(f"{arguments.truth.stem}, {title}", ("accuracy counts", "τ", f"mean of the {TOP} on top"))
        mixtures = {f"{weight:g}": added + weight * own for weight in WEIGHTS} | {"alone": own}
        for name, scores in mixtures.items():
            best = np.argsort(-scores, kind="stable")[:TOP]
            table.add_row(name, f"{kendall(scores, truth):.2f}", f"{100 * truth[best].mean():.2f}")
        console = Console(width=100)
        console.print(table)
        ahead = Truth(truth).advantage(list(mixtures["0"]), list(mixtures["1"]))
        console.print(f"the prior alone ahead of both: {ahead}")


def _log_odds(path: Path, digests: list[str]) -> Values:
    kept = read_json(path)
    if kept["digests"] != digests:
        raise SystemExit(f"{path}: scores of other networks than those of --truth; name a file that belongs to it")
    values = np.array(kept["scores"]["values"])
    return np.asarray(np.log(values / (1 - values)))


def _standard(values: Values) -> Values:
    return (values - values.mean()) / values.std()


if __name__ == "__main__":
    main()
