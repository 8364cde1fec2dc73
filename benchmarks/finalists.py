"""How early a training tells what it comes to: by its epochs' own weights, and by averages kept beside it.

    python -m benchmarks.finalists --run RUN [--networks N] [--random N] [--windows SHARE,...] [--folder FOLDER]

Takes the N best of a finished search that are unlike each other, as its finalists are chosen, and if asked some drawn
from its budget; trains each by the recipe of the search's preset, and looks after every epoch at the validation
pictures: with the epoch's weights, with the mean of the last three epochs' weights, and with averages over so many of
the steps (`training.smoothed`; a share of all). Printed is Pearson's correlation over the networks between that and the
accuracy on the test pictures at the end. A killed run begins anew with the network it was at. One thread.
"""

import argparse
import copy
import itertools
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from commands.planning import suits
from commands.recipes import MADE_FOR, RECIPES
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from foundation.seeds import derive
from reports.record import read_record
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.network import build
from studies.finalists import finalists
from studies.runs.source import read_source
from tasks.classification.room import CLASSIFICATION
from training.data.dataset import Dataset
from training.data.datasets import load_data
from training.diverged import History
from training.evaluation import evaluate, recompute_batch_statistics
from training.loop import fit
from training.methods.choice import METHODS, Training
from training.recipe import Recipe
from training.resize import resized_batches
from training.sizing import planned
from training.smoothed import BATCH, CALIBRATION, smoothing
from training.specs import METHOD
from training.targets import Batch

QUIET = Reporter(quiet=True)
OWN, EPOCHS = "the epoch's own weights", "the mean of the last three epochs"


def main() -> None:
    """Trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--random", type=int, default=0, help="of the budget, beside them")
    parser.add_argument("--windows", default="0.045,0.09")
    parser.add_argument("--folder", type=Path, default=None, help="default: RUN/early")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = Path(arguments.run)
    folder = arguments.folder or run / "early"
    folder.mkdir(parents=True, exist_ok=True)
    source, record = read_source(str(run), None), read_record(run)
    assert source.priced is not None
    priced, name = source.priced, suits(source.preset)
    data = load_data(source.data, max(priced.space.resolution), torch.device("cpu"), QUIET)
    recipe = planned(RECIPES[name], MADE_FOR[name], len(data.train))
    candidates = [one.candidate for one in record.evaluated]
    best = finalists(candidates, priced.space, priced.budget, arguments.networks)
    rng = random.Random(derive(0, "early"))
    networks = [one.architecture for one in best] + [priced.sample(rng) for _ in range(arguments.random)]
    windows = [float(share) for share in arguments.windows.split(",")]
    looked = [_looked(network, data, recipe, windows, folder) for network in networks]
    tests = [one["test"] for one in looked]
    spread = f"{100 * np.mean(tests):.2f} ± {100 * np.std(tests, ddof=1):.2f}"
    table = plain_table(
        f"{data.name}: {len(networks)} networks, {spread} % in the end",
        ("after epoch", *(str(epoch) for epoch in range(1, recipe.epochs + 1))),
        words=("after epoch",),
    )
    for way in looked[0]["validation"][0]:
        values = [[entry[way] for entry in one["validation"]] for one in looked]
        correlations = [np.corrcoef(column, tests)[0, 1] for column in zip(*values, strict=True)]
        table.add_row(way, *(f"{value:.2f}" for value in correlations))
    Console(width=160).print(table)


def _looked(
    architecture: Architecture, data: Dataset, recipe: Recipe, windows: list[float], folder: Path
) -> dict[str, Any]:
    """What the network comes to on validation pictures after each epoch, in every way, and on the test pictures."""
    shares = "-".join(f"{share:g}" for share in windows)
    kept = folder / f"{architecture.digest()[:16]}-{shares}.json"
    if kept.exists():
        found: dict[str, Any] = read_json(kept)
        return found
    torch.manual_seed(derive(0, "weights"))
    network = build(architecture, data.num_classes).to(memory_format=torch.channels_last)
    averages = {f"over {share:g} of the steps": smoothing(network, recipe, len(data.train), share) for share in windows}
    latest: list[dict[str, Tensor]] = []
    validation: list[dict[str, float]] = []

    def accuracy(model: nn.Module, own_statistics: bool = True) -> float:
        model = copy.deepcopy(model)
        if not own_statistics:
            batches = data.train.batches(BATCH, seed=derive(0, "smoothed"))
            recompute_batch_statistics(model, _sized(itertools.islice(batches, CALIBRATION), architecture))
        return evaluate(CLASSIFICATION, model, _sized(data.validation.batches(BATCH), architecture)).value

    def after_epoch(_: nn.Module, __: History) -> None:
        latest.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        mean = copy.deepcopy(network)
        states = latest[-3:]
        tensors = {name: sum(state[name] for state in states) / len(states) for name in states[0]}
        mean.load_state_dict(tensors)
        validation.append(
            {
                OWN: accuracy(network),
                EPOCHS: accuracy(mean, own_statistics=False),
                **{name: accuracy(average.module, own_statistics=False) for name, average in averages.items()},
            }
        )

    with TemporaryDirectory() as temporary:
        fit(
            METHODS[METHOD](Training(network, architecture.resolution, recipe, CLASSIFICATION, data)),
            data.train,
            recipe,
            seed=derive(0, "training"),
            checkpoint=Path(temporary) / "checkpoint",
            identity={},
            reporter=QUIET,
            what="early",
            after_epoch=after_epoch,
            smoothed=_Several(network, list(averages.values())),
        )
    test = evaluate(CLASSIFICATION, network, _sized(data.test.batches(BATCH), architecture)).value
    told = {"validation": validation, "test": test}
    write_json(kept, told)
    print(json.dumps({"network": architecture.digest()[:12], "test": round(test, 4)}), flush=True)
    return told


class _Several(AveragedModel):
    """Averages that are kept side by side."""

    def __init__(self, network: nn.Module, averages: Sequence[AveragedModel]):
        super().__init__(network)
        self._averages = averages

    def update_parameters(self, model: nn.Module) -> None:
        for average in self._averages:
            average.update_parameters(model)


def _sized(batches: Iterable[Batch], architecture: Architecture) -> Iterable[Batch]:
    return resized_batches(batches, architecture.resolution)


if __name__ == "__main__":
    main()
