"""How well `--score adapted` ranks networks: without a label of the target, against what they recognise of it.

    python -m benchmarks.adapted_score RUN --target SPEC [--networks 24] [--seed 0]

RUN is a finished search with shared weights on the source (any score). So many networks within its budget are drawn,
each takes its weights from there, its batch statistics from the source's pictures, and is judged as a search judges it:
by the information of predictions for the target's training pictures, after it adapted to them. Printed is Kendall's τ
of that, of accuracy on the source's validation pictures, and of MACs, with accuracy on the target after the same
adaptation, each with the standard error of a bootstrap over the networks. Target labels are used for that alone.
"""

import argparse
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from scipy.stats import kendalltau

from evaluators.supernet.given import WEIGHTS
from evaluators.supernet.slices import slices
from foundation.json_files import read_json
from reports.terminal.tables import plain_table
from search_space.cost.cost import Budget
from search_space.cost.priced_space import PricedSpace
from studies.runs.run_folder import CONFIG
from tasks.adapted.room import AdaptedClassification
from tasks.classification.room import CLASSIFICATION
from training.evaluation import recompute_batch_statistics
from training.resize import resized_batches
from training.specs import TO

CPU = torch.device("cpu")
BATCH, CALIBRATION, DRAWS = 256, 5, 2000
ACCURACY = "accuracy on the target"


def main() -> None:
    """Judges, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--target", required=True, metavar="SPEC")
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = read_json(arguments.run / CONFIG)
    priced = PricedSpace.from_dict(config["identity"]["space"]).within(Budget(**config["identity"]["budget"]))
    source = str(config["free"]["data"])
    found = _judged(arguments, priced, source)
    accuracies = found.pop(ACCURACY)
    print(f"{source}{TO}{arguments.target}, {arguments.networks} networks within {priced.budget}")
    table = plain_table("rank correlation with accuracy on the target after adapting", ("by", "τ"))
    for name, values in found.items():
        table.add_row(name, _correlated(values, accuracies))
    Console(width=100).print(table)
    print(f"accuracy on the target: {100 * min(accuracies):.2f} to {100 * max(accuracies):.2f} %")


def _judged(arguments: argparse.Namespace, priced: PricedSpace, source: str) -> dict[str, list[float]]:
    """Of each network what ranks it, by name, and its accuracy on the target."""
    task = AdaptedClassification()
    data = task.data(f"{source}{TO}{arguments.target}", max(priced.space.resolution), CPU)
    known = CLASSIFICATION.data(source, max(priced.space.resolution), CPU)
    cut = slices(arguments.run / WEIGHTS, str(arguments.run))
    found: dict[str, list[float]] = {
        ACCURACY: [],
        "information": [],
        "validation accuracy on the source": [],
        "MACs": [],
    }
    rng = random.Random(arguments.seed)
    for number in range(1, arguments.networks + 1):
        architecture = priced.sample(rng)
        network, side = cut(architecture), architecture.resolution
        calibration = itertools.islice(data.train.batches(BATCH, seed=0), CALIBRATION)
        recompute_batch_statistics(network, resized_batches(calibration, side))
        adapted = task.measure(network, resized_batches(data.validation.batches(BATCH), side)).measured
        here = CLASSIFICATION.measure(network, resized_batches(known.validation.batches(BATCH), side)).measured
        values = (adapted.beside["accuracy"], adapted.value, here.value, float(priced.cost(architecture).macs))
        for values_of, value in zip(found.values(), values, strict=True):
            values_of.append(value)
        told = f"information {adapted.value:.4f}, target {100 * values[0]:.2f} %, source {100 * here.value:.2f} %"
        print(f"{number}: {told}", flush=True)
    return found


def _correlated(values: Sequence[float], truth: Sequence[float]) -> str:
    """Kendall's τ and its standard error."""
    both = np.array([values, truth])
    rng = np.random.default_rng(0)
    drawn = (both[:, rng.integers(both.shape[1], size=both.shape[1])] for _ in range(DRAWS))
    spread = np.nanstd([kendalltau(*one).statistic for one in drawn])
    return f"{kendalltau(*both).statistic:.2f} ± {spread:.2f}"


if __name__ == "__main__":
    main()
