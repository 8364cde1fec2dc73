"""What the search costs beside the evaluations, and how few evaluations it needs.

    python -m benchmarks.studies overhead [--trials 200,1000,10000] [--samplers tpe,predictor]
    python -m benchmarks.studies efficiency [--seeds N] [--folder DIR] [--contenders NAME,...]

Both on the space `mobilenetv2-32` within 1.2M MACs, one core.

`overhead` prints how long the loop takes for a proposal, with so many trials in a SQLite file: proposing, until one is
accepted, and storing what it came to; wall time, and the CPU's of both together, which a busy machine disturbs less.
The trials before are drawn from the budget and written at once. The first proposal after the study was opened, which
makes the sampler's caches, is left out of them.

`efficiency` prints the hypervolume under the front found (accuracy up, MACs down to nothing but the budget's, from the
lowest accuracy of many random architectures), as a share of that of the best front known, after so many evaluations.
The targets are the analytic one of `benchmarks.predictor`, told with noise and judged without, and the table `digits`
with its surrogate, a regression of the same kind as the sampler `predictor`, which therefore has an advantage there.
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
import shutil
import statistics
import tempfile
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
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

from benchmarks.predictor import BUDGET, Target
from command_line import whole, wholes
from evaluators.base import Evaluator, Metrics, number
from evaluators.table import TABLES, read_table
from evaluators.tabular import TabularEvaluator
from search_space.architecture import Architecture
from search_space.space import SearchSpace
from search_space.spaces import named_space
from search_space.variation import mutate
from studies.loop import search
from studies.optuna_study import OptunaStudy
from studies.records import new_trial
from studies.samplers import Proposal, Sampler, Task, Told, make_sampler, sampler_names
from studies.trials import Candidate, Claim
from training.files import write_atomically
from training.progress import Reporter
from training.seeds import derive

SPACE = "mobilenetv2-32"
STARTUP = 40
OVERHEAD_SAMPLERS = ("tpe", "predictor", "nsga2", "regularized-evolution", "random")
PROPOSALS = 20

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
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    overhead = commands.add_parser("overhead")
    overhead.add_argument("--trials", type=wholes(1), default=(200, 1_000, 10_000))
    overhead.add_argument("--samplers", default=",".join(OVERHEAD_SAMPLERS))
    efficiency = commands.add_parser("efficiency")
    efficiency.add_argument("--seeds", type=whole(2), default=10)
    efficiency.add_argument("--folder", type=Path, default=Path("runs/studies"))
    efficiency.add_argument("--contenders", default=",".join(CONTENDERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = named_space(SPACE)
    if arguments.command == "overhead":
        _overhead(space, arguments.trials, arguments.samplers.split(","))
    else:
        for setting in _settings(space):
            _efficiency(setting, arguments.contenders.split(","), arguments.seeds, arguments.folder / setting.name)


# What a proposal costs


class Clocked(OptunaStudy):
    """A study and an evaluator that note when the loop proposes and when it stores, by the clock and by the CPU's."""

    objective = "accuracy"

    def __init__(self, sampler: Sampler, storage: str, target: Target):
        super().__init__(sampler, storage)
        self._target = target
        self._last = _clocks()
        self.proposing: list[NDArray[np.float64]] = []
        self.storing: list[NDArray[np.float64]] = []

    def identity(self) -> dict[str, Any]:
        return {}

    def about(self) -> str:
        return "an analytic target"

    def prepare(self) -> None:
        pass

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Metrics:
        self.proposing.append(_clocks() - self._last)
        return self._target.evaluate(architecture)

    def accept(self, claim: Claim, candidate: Candidate) -> None:
        before = _clocks()
        super().accept(claim, candidate)
        self._last = _clocks()
        self.storing.append(self._last - before)


def _clocks() -> NDArray[np.float64]:
    return 1000 * np.array([time.perf_counter(), time.process_time()])


def _overhead(space: SearchSpace, sizes: Sequence[int], samplers: Sequence[str]) -> None:
    rng = random.Random(0)
    architectures = list(dict.fromkeys(space.sample(rng, BUDGET) for _ in range(max(sizes) + 100)))[: max(sizes)]
    target = Target(space, architectures[:2000])
    print(
        f"milliseconds for each of {PROPOSALS} proposals, median (90th percentile); then seconds to open the study and "
        "to make the first one\n"
        f"{'trials':>6}  {'sampler':22} {'proposing':>17} {'storing':>17} {'together':>17} {'of CPU':>17} {'open':>6} "
        f"{'first':>6}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            _fill(folder / "filled.db", space, target, architectures[:size])
            for sampler in samplers:
                shutil.copy(folder / "filled.db", folder / "study.db")
                start = time.perf_counter()
                task = Task(space, BUDGET, seed=0, startup=STARTUP)
                study = Clocked(make_sampler(sampler, task), f"sqlite:///{folder}/study.db", target)
                opened = time.perf_counter() - start
                search(study, study, trials=size + 1 + PROPOSALS, reporter=QUIET)
                study.close()
                proposing, storing = np.array(study.proposing[1:]), np.array(study.storing[1:])
                both = proposing + storing
                columns = (proposing[:, 0], storing[:, 0], both[:, 0], both[:, 1])
                print(
                    f"{size:6}  {sampler:22} {' '.join(_spread(column) for column in columns)} {opened:6.1f} "
                    f"{study.proposing[0][0] / 1000:6.1f}",
                    flush=True,
                )
            (folder / "filled.db").unlink()


def _spread(values: NDArray[np.float64]) -> str:
    return f"{np.median(values):8.1f} ({np.quantile(values, 0.9):6.1f})"


def _fill(path: Path, space: SearchSpace, target: Target, architectures: Sequence[Architecture]) -> None:
    """A study of these, as a search would have stored them, but all in one transaction."""
    task = Task(space, BUDGET, seed=0, startup=STARTUP)
    study = OptunaStudy(make_sampler(RANDOM, task), f"sqlite:///{path}")
    trials = []
    for index, architecture in enumerate(architectures):
        # What NSGA-II wants to be told again: its generation.
        proposal = Proposal(architecture, {"NSGAIISampler:generation": index // 20})
        claim = study.claim(proposal, None)
        assert claim is not None
        metrics = target.evaluate(architecture)
        told = Told(proposal, claim.cost, metrics.accuracy, BUDGET.excess(claim.cost))
        attributes = {
            "accuracy": metrics.accuracy,
            "loss": metrics.loss,
            "architecture": architecture.to_json(),
            "digest": architecture.digest(),
            **claim.cost.to_dict(),
        }
        trials.append(new_trial(task, TrialState.COMPLETE, told, attributes))
    rows = _rows(trials, study._study_id)
    study.close()
    engine = create_engine(f"sqlite:///{path}")
    with Session(engine) as session, session.begin():
        for model, of_model in rows.items():
            session.execute(insert(model), of_model)
    engine.dispose()


def _rows(trials: Sequence[FrozenTrial], study_id: int) -> dict[Any, list[dict[str, Any]]]:
    """The rows of Optuna's tables, for a study that is the file's first and has no trials."""
    rows: dict[Any, list[dict[str, Any]]] = {
        table: []
        for table in (
            models.TrialModel,
            models.TrialValueModel,
            models.TrialParamModel,
            models.TrialUserAttributeModel,
            models.TrialSystemAttributeModel,
        )
    }
    described: dict[Any, str] = {}
    for index, trial in enumerate(trials):
        of_trial = {"trial_id": index + 1}
        times = {"datetime_start": trial.datetime_start, "datetime_complete": trial.datetime_complete}
        rows[models.TrialModel].append(
            {**of_trial, "number": index, "study_id": study_id, "state": trial.state, **times}
        )
        for objective, value in enumerate(trial.values):
            stored, kind = models.TrialValueModel.value_to_stored_repr(value)
            rows[models.TrialValueModel].append(
                {**of_trial, "objective": objective, "value": stored, "value_type": kind}
            )
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            if distribution not in described:
                described[distribution] = optuna.distributions.distribution_to_json(distribution)
            rows[models.TrialParamModel].append(
                {
                    **of_trial,
                    "param_name": name,
                    "param_value": distribution.to_internal_repr(value),
                    "distribution_json": described[distribution],
                }
            )
        for table, attributes in (
            (models.TrialUserAttributeModel, trial.user_attrs),
            (models.TrialSystemAttributeModel, trial._system_attrs),
        ):
            rows[table] += [
                {**of_trial, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()
            ]
    return rows


# What is found by so many evaluations

Point = tuple[int, float]
"""MACs, and the target's true value."""


@dataclass(frozen=True)
class Setting:
    """What is searched for: an evaluator, and the truth behind it."""

    name: str
    space: SearchSpace
    evaluator: Evaluator
    true: Callable[[Architecture], float]

    def point(self, architecture: Architecture) -> Point | None:
        """None over the budget."""
        cost = self.space.cost(architecture)
        return (cost.macs, self.true(architecture)) if BUDGET.allows(cost) else None


def _settings(space: SearchSpace) -> list[Setting]:
    rng = random.Random(0)
    target = Target(space, [space.sample(rng, BUDGET) for _ in range(1800)])
    table = TabularEvaluator(space, read_table(TABLES / "digits.json"), surrogate=True)
    table.prepare()
    return [
        Setting("analytic", space, target, target.true),
        Setting("digits", space, table, lambda architecture: table.evaluate(architecture).accuracy),
    ]


class Unstored(OptunaStudy):
    """A study that writes no trial."""

    def _add(self, *_: object) -> None:
        pass


def _of_sampler(setting: Setting, name: str, startup: int, seed: int) -> list[Point | None]:
    study = Unstored(make_sampler(name, Task(setting.space, BUDGET, seed, startup)), "sqlite://")
    found = search(study, setting.evaluator, trials=EVALUATIONS, reporter=QUIET)
    return [setting.point(candidate.architecture) for candidate in found]


def _of_optuna(setting: Setting, sampler: BaseSampler) -> list[Point | None]:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    points = []
    for _ in range(EVALUATIONS):
        trial = study.ask()
        architecture = setting.space.assemble(
            lambda name, options, trial=trial: trial.suggest_categorical(name, options)
        )
        cost = setting.space.cost(architecture)
        trial.set_constraint("budget", BUDGET.excess(cost))
        study.tell(trial, [number(setting.evaluator.evaluate(architecture)), cost.macs])
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
    drawn = [setting.space.sample(rng, BUDGET) for _ in range(BEST_KNOWN // 10)]
    points = {architecture: setting.point(architecture) for architecture in drawn}
    lowest = min(point[1] for point in points.values() if point)
    front = _front(points)
    for turn in range(BEST_KNOWN - len(drawn)):
        mutant = mutate(setting.space, rng.choice(list(front)), rng, BUDGET, rate=0.05)
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
