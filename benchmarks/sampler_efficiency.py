"""How few evaluations a search needs.

    python -m benchmarks.sampler_efficiency [--seeds N] [--folder DIR] [--contenders NAME,...]

Prints, on the space `mobilenetv2-32` within 1.2M MACs, the hypervolume under the front found (accuracy up, MACs down to
nothing but the budget's, from the lowest accuracy of many random architectures), as a share of that of the best front
known, after so many evaluations. The targets are the analytic one of `benchmarks.predictor`, told with noise and judged
without, and the table `digits` with its surrogate, a regression of the same kind as the sampler `predictor`, which
therefore has an advantage there.

Contenders are the samplers, with 40 start-up draws or as many as stand after the colon, and plain Optuna: its default
NSGA-II and TPE with the budget as a constraint. Of those every proposal counts as an evaluation, over the budget or
repeated as it may be. The same seed has the same start-up draws; the samplers `gp` and `auto` are left out, as the one
has a single objective and the other fetches its program. Each search is kept in the folder, where a killed run goes on:
give another to another program.
"""

import argparse
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler

from benchmarks.predictor import BUDGET, Target
from commands.values import whole
from evaluators.base import Evaluator
from evaluators.tabular.evaluator import TabularEvaluator
from evaluators.tabular.table import TABLES, read_table
from foundation.files import write_atomically
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from search_space.variation import mutate
from studies.loop import search
from studies.samplers import Goal, make_sampler, sampler_names
from studies.storage.optuna_study import OptunaStudy

SPACE = "mobilenetv2-32"
STARTUP = 40
EVALUATIONS = 200
SHOWN = (30, 50, 70, 100, 150, 200)
RANDOM, NSGA2, TPE = "random", "Optuna's NSGA-II", "Optuna's TPE"
CONTENDERS = (
    *(RANDOM, NSGA2, TPE, "tpe", "tpe:20", "predictor", "predictor:20", "nsga2", "regularized-evolution"),
    "nni:regularized-evolution",
)
BEST_KNOWN = 20_000  # evaluations of the search for the best front, which knows the truth

QUIET = Reporter(quiet=True)


def main() -> None:
    """Prints a table for each target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=whole(2), default=10)
    parser.add_argument("--folder", type=Path, default=Path("runs/studies"))
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for setting in _settings(priced_space(SPACE).within(BUDGET)):
        _efficiency(setting, arguments.contenders.split(","), arguments.seeds, arguments.folder / setting.name)


Point = tuple[int, float]
"""MACs, and the target's true value."""


@dataclass(frozen=True)
class Setting:
    """What is searched for: an evaluator, and the truth behind it."""

    name: str
    priced: PricedSpace
    evaluator: Evaluator
    true: Callable[[Architecture], float]

    def point(self, architecture: Architecture) -> Point | None:
        """None over the budget."""
        cost = self.priced.cost(architecture)
        return (cost.macs, self.true(architecture)) if BUDGET.allows(cost) else None


def _settings(priced: PricedSpace) -> list[Setting]:
    rng = random.Random(0)
    target = Target(priced, [priced.sample(rng) for _ in range(1800)])
    table = TabularEvaluator(priced, read_table(TABLES / "digits.json"), surrogate=True)
    table.prepare()
    return [
        Setting("analytic", priced, target, target.true),
        Setting("digits", priced, table, lambda architecture: table.evaluate(architecture).value),
    ]


class Unstored(OptunaStudy):
    """A study that writes no trial."""

    def _add(self, *_: object) -> None:
        pass


def _of_sampler(setting: Setting, name: str, startup: int, seed: int) -> list[Point | None]:
    study = Unstored(make_sampler(name, Goal(setting.priced, seed, startup)), "sqlite://")
    found = search(study, setting.evaluator, trials=EVALUATIONS, reporter=QUIET)
    return [setting.point(candidate.architecture) for candidate in found]


def _of_optuna(setting: Setting, sampler: BaseSampler) -> list[Point | None]:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    points = []
    for _ in range(EVALUATIONS):
        trial = study.ask()
        architecture = setting.priced.space.assemble(
            lambda name, options, trial=trial: trial.suggest_categorical(name, options)
        )
        cost = setting.priced.cost(architecture)
        trial.set_constraint("budget", BUDGET.excess(cost))
        study.tell(trial, [setting.evaluator.evaluate(architecture).merit, cost.macs])
        points.append(setting.point(architecture))
    return points


def _searched(setting: Setting, contender: str, seed: int) -> list[Point | None]:
    if contender == NSGA2:
        return _of_optuna(setting, NSGAIISampler(seed=seed))
    if contender == TPE:
        return _of_optuna(setting, TPESampler(seed=seed))
    name, startup = _parted(contender)
    return _of_sampler(setting, name, startup, seed)


def _parted(contender: str) -> tuple[str, int]:
    name, _, startup = contender.rpartition(":")
    return (name, int(startup)) if startup.isdigit() else (contender, STARTUP)


def _efficiency(setting: Setting, contenders: Sequence[str], seeds: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    known = [name for name in contenders if name in (NSGA2, TPE) or _parted(name)[0] in sampler_names()]
    for name in contenders:
        if name not in known:
            print(f"{name} is not registered: left out")
    lowest, best = _kept(folder / "best.json", lambda: _best_known(setting))
    curves: dict[str, NDArray[np.float64]] = {}
    seconds: dict[str, float] = {}
    for name in known:
        searches = []
        for seed in range(seeds):
            file = folder / f"{name.replace(':', '-').replace(' ', '-')}-{seed}.json"
            searches.append(_kept(file, partial(_timed, setting, name, seed)))
        curves[name] = np.array([_curve(points, lowest) for _, points in searches]) / best
        seconds[name] = statistics.fmean(taken for taken, _ in searches)
    _print(setting, curves, seconds, seeds)


def _kept(path: Path, make: Callable[[], Any]) -> Any:
    """What the file holds, or what is made then."""
    if not path.exists():
        text = json.dumps(make())

        def write(temporary: Path) -> None:
            temporary.write_text(text, encoding="utf-8")

        write_atomically(path, write)
    return json.loads(path.read_text(encoding="utf-8"))


def _timed(setting: Setting, contender: str, seed: int) -> tuple[float, list[Point | None]]:
    start = time.process_time()
    points = _searched(setting, contender, seed)
    return time.process_time() - start, points


def _best_known(setting: Setting) -> tuple[float, float]:
    """The lowest value of a random tenth of the evaluations, and the hypervolume of what mutations of fronts find."""
    rng = random.Random(derive("best front"))
    drawn = [setting.priced.sample(rng) for _ in range(BEST_KNOWN // 10)]
    points = {architecture: setting.point(architecture) for architecture in drawn}
    lowest = min(point[1] for point in points.values() if point)
    front = _front(points)
    for turn in range(BEST_KNOWN - len(drawn)):
        mutant = mutate(setting.priced, rng.choice(list(front)), rng, rate=0.05)
        front[mutant] = setting.point(mutant)
        if turn % 10 == 0:
            front = _front(front)
    return lowest, _hypervolume(front.values(), lowest)


def _front(points: dict[Architecture, Point | None]) -> dict[Architecture, Point | None]:
    front: dict[Architecture, Point | None] = {}
    highest = -np.inf
    for architecture, point in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1]) if item[1] else ()):
        if point and point[1] > highest:
            front[architecture], highest = point, point[1]
    return front


def _hypervolume(points: Iterable[Point | None], lowest: float) -> float:
    """The area between the front and (the budget's MACs, the lowest value), the budget being 1."""
    bound = BUDGET.max_macs or 1
    area = 0.0
    for macs, value in sorted(point for point in points if point):
        if value > lowest:
            area += (value - lowest) * (1 - macs / bound)
            lowest = value
    return area


def _curve(points: Sequence[Point | None], lowest: float) -> list[float]:
    """The hypervolume after 0, 1, 2, … evaluations."""
    read: list[Point] = [(int(macs), float(value)) for macs, value in filter(None, points)]
    after = itertools.accumulate((point is not None for point in points), initial=0)
    return [_hypervolume(read[:count], lowest) for count in after]


def _print(setting: Setting, curves: dict[str, NDArray[np.float64]], seconds: dict[str, float], seeds: int) -> None:
    plain = max((curves[name].mean(axis=0)[EVALUATIONS] for name in (NSGA2, TPE) if name in curves), default=np.nan)
    print(
        f"\n{setting.name}: hypervolume in % of the best front's, mean of {seeds} seeds ± standard error; "
        "the evaluations at which it\nreaches that of plain Optuna after all; the lowest margin over random after the "
        "start-up and where it is; CPU time\n"
        f"{'':26}{''.join(f'{count:>12}' for count in SHOWN)} {'reaches':>8} {'lowest margin':>19} {'seconds':>8}"
    )
    for name, curve in curves.items():
        mean, error = _mean(curve)
        cells = "".join(f"{100 * mean[count]:6.1f} ±{100 * error[count]:4.1f}" for count in SHOWN)
        reached = np.flatnonzero(mean >= plain)
        reaches = str(reached[0]) if len(reached) else "-"
        margin = ""
        if name != RANDOM and RANDOM in curves:
            over, deviation = _mean(curve - curves[RANDOM])
            start = 20 if name in (NSGA2, TPE) else _parted(name)[1] + 1
            at = start + int(np.argmin(over[start:]))
            margin = f"{100 * over[at]:+5.1f} ±{100 * deviation[at]:4.1f} at {at}"
        print(f"{name:26}{cells} {reaches:>8} {margin:>19} {seconds[name]:8.1f}")


def _mean(curves: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return curves.mean(axis=0), curves.std(axis=0, ddof=1) / len(curves) ** 0.5


if __name__ == "__main__":
    main()
