"""How well each evaluator ranks networks, held against training every network by itself.

    python -m benchmarks.rank_correlation [--data SPEC] [--equal N] [--across N] [--seeds N] [--epochs N]
                                          [--augmentation NAME] [--workers N] [--supernet NAME=JSON ...]
                                          [--supernet-seeds N] [--evaluators NAME,...] [--table FILE] [--truth FILE]
                                          [--folder FOLDER] [--features]

Two groups of networks are trained from scratch: `--equal` of the same MACs (±3%), where counting cannot tell them
apart, and `--across` the range of MACs. What one network costs is printed first. Evaluators score on validation
pictures; the truth is the accuracy on the test split, the mean over seeds. Printed for each evaluator, over all
networks and over those of equal MACs: Kendall's τ with its 95% bootstrap interval (networks and originals of the test
pictures drawn anew), Spearman's ρ, regret at 1, 5 and 10 in percentage points, seconds a network; then how much higher
the τ of `corrected` is than each other's, by paired resamples. The ceiling is the τ of one seed with another. The mean
over seeds, which is the truth here, is less off than one of them: what a score without any error would reach with it is
estimated in the row below.
`supernet` is the preset's, and `corrected` the same with the prior that a search adds by default.

`--supernet NAME=JSON` lists one more supernet, with these settings in place of the preset's (`prior` names the score
that corrects it); those whose trainings are alike share the weights. `--supernet-seeds N` trains each with N seeds, and
prints the mean of their τ: how much of a difference between recipes is luck. A killed run goes on where it was; several
processes may work in one folder. `--table FILE` keeps the trained networks as a table that the evaluator `tabular`
reads; the networks that the file holds already are not trained again, so a table can grow. `--truth FILE` takes a
table's networks and trains none. (Where networks come from a table, the intervals are over networks alone, since it
does not know the pictures.)

`--features` prints what goes with the accuracies, and with each score: the correlation over the networks with counts of
blocks and with each stage's decisions, where one of them is at least a third. What a score misses is seen there.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.standalone_truth import GROUPS, Plan, Results, from_table, train, without_trained_here
from commands.presets import preset
from commands.search_settings import settings_of
from evaluators import zero_cost
from evaluators.prior import NONE, Prior
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.ranking import RESAMPLES, Truth, kendall, reachable, resampled_accuracy
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.room import PRIOR_BATCH
from evaluators.supernet.settings import SupernetRecipe
from evaluators.tabular.table import Entry, Table, read_table, write_table
from foundation.amounts import human
from foundation.files import write_json
from foundation.json_files import read_json
from foundation.progress import Reporter, duration
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.cost import Budget
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.architecture import MobileArchitecture, Stage
from training.data.datasets import Dataset, load_data
from training.recipe import Recipe

# At 4 or 5 epochs one seed differs from another by more than one network from another: all wait a while before they
# learn anything, and how long is luck.
RECIPE = Recipe(epochs=8, batch_size=64, learning_rate=0.4, weight_decay=2e-4)
REGRETS = (1, 5, 10)


@dataclass(frozen=True)
class Scores:
    """An evaluator's scores, higher for better, and its seconds: of preparation, and of each network."""

    values: list[float]
    preparation: float
    each: float


def main() -> None:
    """Trains, scores, prints."""
    arguments = _arguments()
    folder = arguments.folder or Path("runs") / f"rank-{arguments.data.partition('/')[0].replace(':', '-')}"
    plan = Plan(
        space=arguments.space,
        data=arguments.data,
        equal=arguments.equal,
        across=arguments.across,
        seeds=arguments.seeds,
        equal_macs=arguments.equal_macs,
        macs_range=tuple(arguments.macs_range),
        recipe=replace(RECIPE, epochs=arguments.epochs, augmentation=arguments.augmentation),
        known=read_table(arguments.table) if arguments.table and arguments.table.exists() else None,
    )
    (folder / "trained").mkdir(parents=True, exist_ok=True)
    known = len(plan.known.networks) if plan.known else 0
    plan = without_trained_here(plan, folder / "trained")
    reporter = Reporter()
    if arguments.truth:
        table = read_table(arguments.truth)
        plan = replace(plan, space=table.space, data=table.data, known=None)
        results = from_table(table)
    else:
        results = train(plan, folder / "trained", arguments.workers, reporter)
        if arguments.table:
            table = _table(plan, results)
            if len(table.networks) < known:
                raise SystemExit(f"--table {arguments.table}: holds {known} networks, and would hold fewer")
            write_table(arguments.table, table)
            results = from_table(table) if plan.known else results
    torch.set_num_threads(arguments.threads)
    priced = plan.search_space()
    data = load_data(plan.data, max(priced.space.resolution), torch.device("cpu"), reporter)
    budget = Budget(max_macs=round(plan.macs_range[1] * 1.03))
    priced = replace(priced, num_classes=data.num_classes, budget=budget)
    networks = [architecture for _, architecture in results.networks]
    supernets: dict[str, dict[str, Any]] = {"supernet": {}, "corrected": {"prior": settings_of("digits").prior}}
    for given in arguments.supernet:
        name, _, settings = given.partition("=")
        supernets[name] = json.loads(settings)
    scorer = zero_cost.Scorer(priced, data, plan.seed)
    ways: dict[str, Callable[[], Scores]] = {
        name: lambda name=name: _zero_cost(name, networks, scorer)  # type: ignore[misc]
        for name in zero_cost.names()
    }
    ways["proxy"] = lambda: _proxy(plan, data, networks, folder)
    known_names = [*ways, *supernets]
    wanted = arguments.evaluators.split(",") if arguments.evaluators else known_names
    if unknown := set(wanted) - set(known_names):
        raise SystemExit(f"--evaluators: unknown {', '.join(sorted(unknown))}; known: {', '.join(known_names)}")
    scores = {
        name: _kept(folder / f"scores-{name}.json", networks, way, None) for name, way in ways.items() if name in wanted
    }
    for name, seed in itertools.product(supernets, range(arguments.supernet_seeds)):
        if name in wanted:
            settings = {**supernets[name], "seed": plan.seed + seed} if seed else supernets[name]
            title = _seeded(name, seed)
            way = partial(_supernet, settings, title, plan, priced, data, networks, folder, reporter)
            scores[title] = _kept(folder / f"scores-{title}.json", networks, way, _recipe(settings))
    console = Console(width=110)
    for title, group in _groups(results).items():
        _print(console, f"{plan.data}: {title}", results, group, scores)
        if arguments.features:
            _print_features(console, results, group, scores)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="mobilenetv2-32")
    parser.add_argument("--equal", type=int, default=32, help="networks of equal MACs")
    parser.add_argument("--across", type=int, default=32, help="networks across the range of MACs")
    parser.add_argument("--equal-macs", type=int, default=1_000_000)
    parser.add_argument("--macs-range", type=int, nargs=2, default=(650_000, 1_600_000))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs, help="of each network's own training")
    parser.add_argument("--augmentation", default=RECIPE.augmentation, help="of each network's own training")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread that train networks")
    parser.add_argument("--threads", type=int, default=2, help="of the evaluators")
    parser.add_argument("--supernet", action="append", default=[], metavar="NAME=JSON")
    parser.add_argument("--supernet-seeds", type=int, default=1, metavar="N", help="of each supernet's training")
    parser.add_argument("--evaluators", default="", help="only these, by name")
    parser.add_argument("--table", type=Path, default=None)
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--truth", type=Path, default=None)
    parser.add_argument("--folder", type=Path, default=None, help="default: runs/rank-DATA")
    arguments = parser.parse_args()
    if arguments.truth and arguments.table:
        parser.error("--table is written from trainings, of which --truth makes none; leave one out")
    return arguments


def _zero_cost(name: str, networks: list[Architecture], scorer: zero_cost.Scorer) -> Scores:
    found = zero_cost.scores(networks, [name], scorer)[name]
    return Scores(found.values, 0.0, found.seconds)


def _proxy(plan: Plan, data: Dataset, networks: list[Architecture], folder: Path) -> Scores:
    """By the accuracy after the preset's second rung, without halving: every network is trained so far."""
    evaluator = ProxyEvaluator(data, preset("digits").proxy, seed=derive(plan.seed, "proxy"), folder=folder)
    evaluator.prepare()
    started = time.monotonic()
    values = []
    for architecture in networks:
        values.append([evaluator.rung(architecture, rung) for rung in (0, 1)][-1].value)
        evaluator.drop(architecture)
    return Scores(values, 0.0, (time.monotonic() - started) / len(networks))


def _table(plan: Plan, results: Results) -> Table:
    priced = plan.search_space()
    entries = list(plan.known.networks) if plan.known else []
    for index, (group, architecture) in enumerate(results.networks):
        cost = priced.cost(architecture)
        validation, test = (
            tuple(round(float(accuracy), 6) for accuracy in values[index])
            for values in (results.validation, results.test)
        )
        entries.append(Entry(architecture, cost.macs, cost.params, group, validation, test))
    return Table(plan.space, plan.data, asdict(plan.recipe), tuple(entries))


def _supernet(
    settings: dict[str, Any],
    name: str,
    plan: Plan,
    priced: PricedSpace,
    data: Dataset,
    networks: list[Architecture],
    folder: Path,
    reporter: Reporter,
) -> Scores:
    scoring = preset("digits").scoring
    recipe, name_of_prior = _recipe(settings)
    seed = settings.get("seed", plan.seed)
    changed = [f"{key}={value}" for key, value in settings.items() if key != "prior"]
    weights = folder / "-".join(["supernet", *changed])
    weights.mkdir(parents=True, exist_ok=True)
    prior = None
    if name_of_prior != NONE:
        scorer = zero_cost.Scorer(priced, data, seed, PRIOR_BATCH)
        prior = Prior(name_of_prior, scorer, weights, min(scoring.validation, len(data.validation)))
    evaluator = SupernetEvaluator(
        priced,
        data,
        SupernetRecipe(**recipe),
        scoring,
        seed=seed,
        folder=weights,
        reporter=reporter,
        prior=prior,
    )
    reporter.say(f"{name}: {evaluator.recipe}")
    started = time.monotonic()
    evaluator.prepare()
    prepared = time.monotonic()
    values = [evaluator.evaluate(architecture, thorough=True).value for architecture in networks]
    return Scores(values, prepared - started, (time.monotonic() - prepared) / len(networks))


def _seeded(name: str, seed: int) -> str:
    """What a supernet's row is called."""
    return f"{name}, seed {seed}" if seed else name


def _recipe(settings: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The preset's recipe for shared weights with these settings, and the prior that they name."""
    own = {name: value for name, value in settings.items() if name not in ("prior", "seed")}
    return {**asdict(preset("digits").recipe), **own}, settings.get("prior", NONE)


def _kept(path: Path, networks: list[Architecture], score: Callable[[], Scores], by: object) -> Scores:
    """The scores in the file if they are of these networks, made by the same settings; else made, and written there."""
    digests = [architecture.digest() for architecture in networks]
    if path.exists():
        kept = read_json(path)
        if kept["digests"] == digests and kept.get("by") == json.loads(json.dumps(by)):
            return Scores(**kept["scores"])
    scores = score()
    write_json(path, {"digests": digests, "by": by, "scores": asdict(scores)})
    return scores


def _groups(results: Results) -> dict[str, NDArray[np.int64]]:
    """The networks that each table is about: all of them, and those of equal MACs."""
    equal = np.array([group == GROUPS[0] for group, _ in results.networks])
    found = {f"all {len(equal)} networks": np.arange(len(equal))} if not equal.all() else {}
    if equal.any():
        macs = human(round(float(np.array(results.macs)[equal].mean())))
        found[f"{equal.sum()} networks of equal MACs ({macs} ± 3%)"] = np.flatnonzero(equal)
    return found


def _print(
    console: Console, title: str, results: Results, chosen: NDArray[np.int64], scores: dict[str, Scores]
) -> None:
    correct = results.correct[chosen].sum(1)
    counted = results.counted * results.correct.shape[1]
    accuracy = results.test[chosen].mean(1)
    truth = Truth(accuracy, resampled_accuracy(correct, counted, RESAMPLES))
    console.print(
        f"\n{title}: test accuracy {_share(accuracy.min())} to {_share(accuracy.max())}, {_noise(results, chosen)}"
    )
    grid = Grid("evaluator", "Kendall's τ", "Spearman's ρ", "regret at 1", "at 5", "at 10", "preparation", "a network")
    rows = {name: [score.values[index] for index in chosen] for name, score in scores.items()}
    for name, values in rows.items():
        regrets = [f"{100 * truth.regret(values, count):.2f}" for count in REGRETS]
        seconds = (duration(scores[name].preparation), duration(scores[name].each))
        grid.add_row(name, str(truth.tau(values)), f"{truth.spearman(values):.2f}", *regrets, *seconds)
    if results.test.shape[1] > 1:
        # Each seed's accuracies as scores of the other's.
        one, other = results.test[chosen, 0], results.test[chosen, 1]
        ceiling = Truth(one, resampled_accuracy(results.correct[chosen, 0], results.counted, RESAMPLES))
        regrets = [f"{100 * ceiling.regret(list(other), count):.2f}" for count in REGRETS]
        tau, rho = ceiling.tau(list(other)), ceiling.spearman(list(other))
        grid.add_row("a seed by another (ceiling)", str(tau), f"{rho:.2f}", *regrets, "", "")
        grid.add_row("a score without error, about", f"{reachable(results.test[chosen]):.2f}", *[""] * 6)
    console.print(grid)
    for name in [name for name in rows if _seeded(name, 1) in rows]:
        own = [one for one in (_seeded(name, seed) for seed in range(len(rows))) if one in rows]
        taus = [kendall(rows[one], truth.accuracy) for one in own]
        regrets = [f"{100 * fmean(truth.regret(rows[one], count) for one in own):.2f}" for count in REGRETS]
        console.print(
            f"  {name}, mean of {len(own)} seeds: τ {fmean(taus):.3f} (from {min(taus):.3f} to {max(taus):.3f}), "
            f"regret {', '.join(regrets)}"
        )
    best = "corrected" if "corrected" in rows else "supernet"
    if best not in rows:
        return
    for name, values in rows.items():
        if name != best:
            console.print(f"  τ of {best} less τ of {name}: {truth.advantage(rows[best], values)}")


def _print_features(console: Console, results: Results, chosen: NDArray[np.int64], scores: dict[str, Scores]) -> None:
    features = [_features(results.networks[index][1]) for index in chosen]
    columns = {"accuracy": results.test[chosen].mean(1)}
    columns |= {name: np.array([score.values[index] for index in chosen]) for name, score in scores.items()}
    grid = Grid("correlation with", *columns)
    for feature in features[0]:
        values = np.array([own[feature] for own in features], dtype=np.float64)
        if values.std() == 0:
            continue
        row = [float(np.corrcoef(values, column)[0, 1]) for column in columns.values()]
        if max(map(abs, row)) >= 1 / 3:
            grid.add_row(feature, *(f"{value:+.2f}" for value in row))
    console.print(grid)


def _stages(architecture: Architecture) -> Sequence[Stage]:
    assert isinstance(architecture, MobileArchitecture)
    return architecture.stages


def _features(architecture: Architecture) -> dict[str, int]:
    blocks = [(stage, attention) for stage in _stages(architecture) for attention in stage.attention]
    found = {"blocks": len(blocks), "5x5 kernels": sum(stage.kernel_size == 5 for stage, _ in blocks)}
    for kind in ("none", "se", "ca"):
        found[f"blocks with {kind}"] = sum(attention.kind == kind for _, attention in blocks)
    for index, stage in enumerate(_stages(architecture)):
        found |= {f"stage {index}: {name}": getattr(stage, name) for name in ("width", "expansion", "kernel_size")}
        found[f"stage {index}: depth"] = len(stage.attention)
    return found


def _noise(results: Results, chosen: NDArray[np.int64]) -> str:
    """How exactly the accuracies are known."""
    test = results.test[chosen]
    if test.shape[1] < 2:
        return "one seed"
    # The mean of s seeds has the variance of one of them over s.
    spread = float(np.sqrt((test.var(1, ddof=1) / test.shape[1]).mean()))
    return f"standard error of a network's mean over {test.shape[1]} seeds {100 * spread:.2f} points"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


if __name__ == "__main__":
    main()
