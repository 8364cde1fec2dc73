"""Which zero-cost scores should correct a supernet's: what the networks come to that each choice puts on top.

    python -m benchmarks.priors --run RUN [--priors "A;B,C;…"] [--networks N] [--top K] [--seeds N] [--folder FOLDER]

Draws N networks that fill the budget of a finished search (`FULL` of it and more), and has each of the priors rank
them, with the search's shared weights. The K best of each are trained by the recipe that the preset retrains with, and
tested. Nothing proposes here, so that priors are told apart and not what a sampler made of them. Printed are, for each
prior: the mean of its K networks, with a standard error; the one that is best on validation pictures; how many blocks
the K have, and how many of them more than one in the first stage. A killed run goes on where it was. One thread.
"""

import argparse
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.outcome import Bench, Results
from benchmarks.settled import settle
from commands.planning import suits
from commands.presets import PRESETS
from commands.recipes import MADE_FOR, RECIPES
from evaluators.prior import NONE, Prior, check_prior
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.given import GivenWeights, given_weights
from evaluators.supernet.room import PRIOR_BATCH
from evaluators.zero_cost import Scorer
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter
from foundation.seeds import derive
from reports.terminal.tables import plain_table
from search_space.architecture import Architecture
from search_space.cost.cost import FULL
from search_space.cost.priced_space import PricedSpace
from studies.runs.source import Source, read_source
from tasks.classification.room import CLASSIFICATION
from training.data.dataset import Dataset
from training.data.datasets import load_data
from training.sizing import planned

QUIET = Reporter(quiet=True)
DRAWS = 1000
"""For each network that is wanted, before the benchmark gives up finding one that fills the budget."""


def main() -> None:
    """Ranks, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--priors", default="none;progressivity;naswot;progressivity,naswot")
    parser.add_argument("--networks", type=int, default=400)
    parser.add_argument("--top", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None, help="default: RUN/priors")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder or Path(arguments.run) / "priors"
    source = read_source(arguments.run, None)
    assert source.priced is not None
    data = load_data(source.data, max(source.priced.space.resolution), torch.device("cpu"), QUIET)
    name = suits(source.preset)
    recipe = planned(RECIPES[name], MADE_FOR[name], len(data.train))
    priors = arguments.priors.split(";")
    for prior in priors:
        check_prior(prior)
    if not 2 <= arguments.top <= arguments.networks:
        raise SystemExit(f"--top {arguments.top}: expected 2 to {arguments.networks}, the --networks")
    given = given_weights(Path(arguments.run), folder / "supernet", source.priced, data, CLASSIFICATION)
    settle(folder, weights=given.digest, networks=arguments.networks, data=data.identity, recipe=recipe.described())
    shared = Shared(source, given, data, folder)
    networks = drawn(source.priced, arguments.networks)
    bench = Bench(folder, data, recipe, arguments.seeds)
    ranked = {prior: shared.ranked(networks, prior) for prior in priors}
    results: dict[str, Results] = {}
    for place in range(arguments.top):  # all priors' first, then all priors' second: what is there early says something
        for networks_of in ranked.values():
            one = networks_of[place]
            if one.digest() not in results:
                results[one.digest()] = bench.trained(one.digest()[:12], one)
    table = plain_table(
        f"{data.name}: the {arguments.top} best of {len(networks)} that fill the budget, by shared weights and a prior",
        ("prior", "test accuracy", "best on validation", "blocks", "first stage of several"),
        words=("prior",),
    )
    for prior, order in ranked.items():
        table.add_row(prior, *_told(order[: arguments.top], results))
    Console(width=120).print(table)


def drawn(priced: PricedSpace, count: int) -> list[Architecture]:
    """Different networks that fill the budget."""
    rng = random.Random(derive(0, "priors"))
    found: dict[str, Architecture] = {}
    for _ in range(DRAWS * count):
        one = priced.sample(rng)
        if 1 + priced.budget.excess(priced.cost(one)) >= FULL:
            found[one.digest()] = one
        if len(found) == count:
            return list(found.values())
    raise SystemExit(f"{len(found)} of {count} networks found that fill the budget; lower --networks")


class Shared:
    """A run's shared weights, by which priors rank.

    Args:
        folder: where what is computed is kept.
    """

    def __init__(self, source: Source, given: GivenWeights, data: Dataset, folder: Path):
        assert source.priced is not None
        (folder / "supernet").mkdir(exist_ok=True)
        self.folder = folder
        self.scoring = PRESETS[source.preset or "digits"].scoring
        self.pictures = min(self.scoring.validation, data.count("validation"))
        self.scorer = Scorer(source.priced, data, 0, PRIOR_BATCH)
        self.evaluator = SupernetEvaluator(
            source.priced,
            data,
            given.recipe,
            self.scoring,
            seed=0,
            folder=folder / "supernet",
            reporter=QUIET,
            given=given,
        )
        self.evaluator.prepare()

    def ranked(self, networks: Sequence[Architecture], prior: str) -> list[Architecture]:
        """The networks, those first that have the highest accuracy with shared weights, corrected by the prior."""
        kept = self.folder / f"{prior.replace(',', '+')}.json"
        if not kept.exists():
            write_json(kept, self._values(networks, prior))
        values = read_json(kept)
        return [networks[index] for index in sorted(range(len(networks)), key=lambda index: -values[index])]

    def _values(self, networks: Sequence[Architecture], prior: str) -> list[float]:
        plain = [self._value(network) for network in networks]
        if prior == NONE:
            return plain
        own = Prior(prior, self.scorer, self.folder / "supernet", self.pictures)
        own.prepare(self._value, "shared", QUIET)
        return [own.corrected(network, value) for network, value in zip(networks, plain, strict=True)]

    def _value(self, architecture: Architecture) -> float:
        return self.evaluator.evaluate(architecture).value


def _told(networks: list[Architecture], results: dict[str, Results]) -> list[str]:
    own = [results[network.digest()] for network in networks]
    tests = [100 * statistics.mean(one.test) for one in own]
    best = max(own, key=lambda one: statistics.mean(one.validation))
    depths = [[len(row.attention) for row in network.stage_rows()] for network in networks]
    several = sum(depth[0] > 1 for depth in depths)
    return [
        f"{statistics.mean(tests):.2f} ± {statistics.stdev(tests) / len(tests) ** 0.5:.2f}",
        f"{100 * statistics.mean(best.test):.2f}",
        f"{statistics.mean(map(sum, depths)):.1f}",
        f"{several} of {len(depths)}",
    ]


if __name__ == "__main__":
    main()
