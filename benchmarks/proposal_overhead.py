"""What the search costs beside the evaluations.

    python -m benchmarks.proposal_overhead [--trials 200,1000,10000] [--samplers tpe,predictor]

Prints how long the loop takes for a proposal on the space `mobilenetv2-32` within 1.2M MACs, one core, with so many
trials in a SQLite file: proposing, until one is accepted, and storing what it came to; wall time, and the CPU's of both
together, which a busy machine disturbs less. The trials before are drawn from the budget and written at once. The first
proposal after the study was opened, which makes the sampler's caches, is left out of them.
"""

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

from benchmarks.predictor import BUDGET, Target
from commands.values import wholes
from foundation.metric import ACCURACY, Measured
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.spaces import priced_space
from studies.loop import search
from studies.samplers import Goal, Proposal, Sampler, Told, make_sampler
from studies.storage.optuna_study import OptunaStudy
from studies.storage.records import new_trial
from studies.trials import Candidate, Claim

SPACE = "mobilenetv2-32"
STARTUP = 40
SAMPLERS = ("tpe", "predictor", "nsga2", "regularized-evolution", "random")
PROPOSALS = 20


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=wholes(1), default=(200, 1_000, 10_000))
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _compare(arguments.trials, arguments.samplers.split(","))


class Clocked(OptunaStudy):
    """A study and an evaluator that note when the loop proposes and when it stores, by the clock and by the CPU's."""

    metric = ACCURACY

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

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        self.proposing.append(_clocks() - self._last)
        return self._target.evaluate(architecture)

    def accept(self, claim: Claim, candidate: Candidate) -> None:
        before = _clocks()
        super().accept(claim, candidate)
        self._last = _clocks()
        self.storing.append(self._last - before)


def _clocks() -> NDArray[np.float64]:
    return 1000 * np.array([time.perf_counter(), time.process_time()])


def _compare(sizes: Sequence[int], samplers: Sequence[str]) -> None:
    priced = priced_space(SPACE).within(BUDGET)
    rng = random.Random(0)
    architectures = list(dict.fromkeys(priced.sample(rng) for _ in range(max(sizes) + 100)))[: max(sizes)]
    target = Target(priced, architectures[:2000])
    print(
        f"milliseconds for each of {PROPOSALS} proposals, median (90th percentile); then seconds to open the study and "
        "to make the first one\n"
        f"{'trials':>6}  {'sampler':22} {'proposing':>17} {'storing':>17} {'together':>17} {'of CPU':>17} {'open':>6} "
        f"{'first':>6}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            _fill(folder / "filled.db", priced, target, architectures[:size])
            for sampler in samplers:
                shutil.copy(folder / "filled.db", folder / "study.db")
                start = time.perf_counter()
                goal = Goal(priced, seed=0, startup=STARTUP)
                study = Clocked(make_sampler(sampler, goal), f"sqlite:///{folder}/study.db", target)
                opened = time.perf_counter() - start
                search(study, study, trials=size + 1 + PROPOSALS, reporter=Reporter(quiet=True))
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


def _fill(path: Path, priced: PricedSpace, target: Target, architectures: Sequence[Architecture]) -> None:
    """A study of these, as a search would have stored them, but all in one transaction."""
    goal = Goal(priced, seed=0, startup=STARTUP)
    study = OptunaStudy(make_sampler("random", goal), f"sqlite:///{path}")
    trials = []
    for index, architecture in enumerate(architectures):
        # What NSGA-II wants to be told again: its generation.
        proposal = Proposal(architecture, {"NSGAIISampler:generation": index // 20})
        claim = study.claim(proposal, None)
        assert claim is not None
        measured = target.evaluate(architecture)
        told = Told(proposal, claim.cost, measured.merit, BUDGET.excess(claim.cost))
        attributes = {
            **measured.numbers(),
            "architecture": architecture.to_json(),
            "digest": architecture.digest(),
            **claim.cost.to_dict(),
        }
        trials.append(new_trial(goal, TrialState.COMPLETE, told, attributes))
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


if __name__ == "__main__":
    main()
