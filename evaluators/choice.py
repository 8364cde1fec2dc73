"""The evaluators that a search can be given by name, and what they are made from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.anchored import AnchoredEvaluator, AnchorSettings
from evaluators.base import Evaluator
from evaluators.prior import NONE, REMEDY, Prior
from evaluators.proxy import ProxyEvaluator
from evaluators.proxy_settings import ProxySettings
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.given import given_weights
from evaluators.supernet.settings import Scoring, SupernetRecipe
from evaluators.table import TABLES, read_table
from evaluators.tabular import TabularEvaluator
from evaluators.zero_cost import Batch, Scorer, ZeroCostEvaluator
from foundation.device import resolve_device
from foundation.errors import InputError
from foundation.plugins import load_plugin
from foundation.progress import Reporter
from foundation.registry import Registry
from search_space.cost.priced_space import PricedSpace
from training.data.datasets import Dataset, load_data
from training.lanes import use_threads

PRIOR_BATCH = Batch(reference=32, draws=4)


@dataclass(frozen=True)
class Setup:
    """What is to be searched, and how each evaluator would go about it."""

    priced: PricedSpace
    data: Dataset
    seed: int
    folder: Path
    reporter: Reporter
    init: str
    supernet: SupernetRecipe
    scoring: Scoring
    prior: str
    anchors: AnchorSettings
    proxy: ProxySettings
    score: str
    table: str
    given: Path | None = None  # the run whose shared weights are used


EVALUATORS: Registry[Callable[[Setup], Evaluator]] = Registry("evaluator")
"""What makes an evaluator from the setup, by the evaluator's name."""


@EVALUATORS.register("supernet")
def _supernet(setup: Setup) -> Evaluator:
    supernet = SupernetEvaluator(
        setup.priced,
        setup.data,
        setup.supernet,
        setup.scoring,
        seed=setup.seed,
        folder=setup.folder,
        reporter=setup.reporter,
        init=setup.init,
        prior=None if setup.prior == NONE else _prior(setup),
        given=given_weights(setup.given, setup.folder, setup.priced, setup.data) if setup.given else None,
    )
    return AnchoredEvaluator(supernet, setup.anchors) if setup.anchors.count else supernet


def _prior(setup: Setup) -> Prior:
    scorer = Scorer(setup.priced, setup.data, setup.seed, PRIOR_BATCH, REMEDY)
    pictures = min(setup.scoring.validation, setup.data.count("validation"))
    return Prior(setup.prior, scorer, setup.folder, pictures)


@EVALUATORS.register("proxy")
def _proxy(setup: Setup) -> Evaluator:
    return ProxyEvaluator(setup.data, setup.proxy, seed=setup.seed, folder=setup.folder, init=setup.init)


@EVALUATORS.register("zero-cost")
def _zero_cost(setup: Setup) -> Evaluator:
    if setup.init != "scratch":
        raise InputError(f"`init` {setup.init}: zero-cost scores are those of untrained networks; use `init` scratch")
    scorer = Scorer(setup.priced, setup.data, setup.seed)
    return ZeroCostEvaluator(scorer, setup.score, setup.folder, setup.reporter)


@EVALUATORS.register("tabular")
def _tabular(setup: Setup) -> Evaluator:
    path = Path(setup.table) if setup.table.endswith(".json") else TABLES / f"{setup.table}.json"
    if path.parent == TABLES and not path.exists():
        known = ", ".join(sorted(file.stem for file in TABLES.glob("*.json")))
        raise InputError(f"`table` {setup.table}: unknown; known: {known}, or a file FILE.json")
    table = read_table(path)
    kind = table.data.partition(":")[0]
    if setup.data.name != (table.data if kind == "digits" else kind):  # others go by their kind alone
        raise InputError(
            f"`table` {setup.table}: its networks were trained on {table.data}, and this search is on "
            f"{setup.data.name}; give `data` {table.data}, or another table"
        )
    return TabularEvaluator(setup.priced, table, surrogate=True)


@dataclass(frozen=True)
class Elsewhere:
    """Makes and prepares a setup's evaluator in another process, which reads the data for itself.

    Attributes:
        name: of the evaluator.
        settings: the setup's fields, without data and reporter.
        data: the specification that the data are loaded by, at `side` pixels, onto the device, with the options of
            `load_data` that `reading` says.
        threads: of torch.
        plugins: files that are run first, see `foundation.plugins`.
    """

    name: str
    settings: dict[str, Any]
    data: str
    side: int
    reading: dict[str, Any]
    device: str
    threads: int
    plugins: tuple[str, ...] = ()

    def __call__(self) -> Evaluator:
        for path in self.plugins:
            load_plugin(Path(path))
        device = resolve_device(self.device)
        use_threads(self.threads, lanes=device.type == "cpu")
        reporter = Reporter(quiet=True)
        data = load_data(self.data, self.side, device, reporter, **self.reading)
        evaluator = EVALUATORS[self.name](Setup(**self.settings, data=data, reporter=reporter))
        evaluator.prepare()
        return evaluator


def check_evaluator(name: str) -> None:
    """Raises InputError for an unknown evaluator."""
    if name not in EVALUATORS:
        raise InputError(f"`evaluator` {name}: unknown; known: {EVALUATORS.known()}")
