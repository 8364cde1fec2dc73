"""A search killed at random moments ends as one that was not: the same trials, values and files.

    python -m benchmarks.kill [--kills N] [--a-run N] [--trials N] [--sampler NAME]

`search.py` runs once whole; then runs of the same command are killed (SIGKILL) at moments drawn uniformly from the last
two thirds of the time that the whole one took (the first goes into starting), `--a-run` times each, and run again to
their end. Each is then compared with the whole
one: the study's trials (state, values, decisions, attributes, constraints; not the times) and the files of results.
Candidates are looked up in the table of trained networks, so that a run takes seconds and most kills meet the study.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from studies.runs.run_folder import BEST, CONFIG, FRONT, STUDY

COMMAND = (sys.executable, "search.py", "--evaluator", "tabular", "--startup", "10", "--quiet")


def run(command: Sequence[str], folder: Path, kill_after: float | None = None) -> float:
    """Seconds that the command took, or until it was killed. Raises CalledProcessError if it ended badly by itself."""
    start = time.monotonic()
    process = subprocess.Popen([*command, "--out", str(folder)])
    try:
        code = process.wait(kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if code not in (0, -signal.SIGKILL):
        raise subprocess.CalledProcessError(code, process.args)
    return time.monotonic() - start


def outcome(folder: Path) -> dict[str, Any]:
    """What a run ended with."""
    study = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / STUDY}")
    trials = [
        (trial.number, trial.state.name, trial.values, trial.params, trial.user_attrs, trial.constraints)
        for trial in study.get_trials(deepcopy=False)
    ]
    return {"trials": trials, **{name: (folder / name).read_bytes() for name in (CONFIG, FRONT, BEST)}}


def differences(whole: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What differs, by name."""
    return [name for name in whole if whole[name] != other[name]]


def main() -> None:
    """Prints a line for each run, and how many differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--a-run", type=int, default=2, help="kills of each run")
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    command = (*COMMAND, "--trials", str(arguments.trials), "--sampler", arguments.sampler)
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        took = run(command, root / "whole")
        whole = outcome(root / "whole")
        print(f"whole: {len(whole['trials'])} trials in {took:.1f} s", flush=True)
        killed = different = runs = 0
        while killed < arguments.kills:
            folder = root / str(runs)
            at = []
            for _ in range(min(arguments.a_run, arguments.kills - killed)):
                run(command, folder, rng.uniform(took / 3, took))
                at.append(_told(folder))
            killed += len(at)
            run(command, folder)
            found = differences(whole, outcome(folder))
            different += bool(found)
            runs += 1
            print(f"run {runs}: killed with {at} trials told; differs in: {found or 'nothing'}", flush=True)
    print(f"{killed} kills, {runs} runs, {different} of them differ")
    sys.exit(1 if different else 0)


def _told(folder: Path) -> int:
    """Trials in the study of a killed run."""
    if not (folder / STUDY).exists():
        return 0
    try:
        return len(optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder / STUDY}").get_trials())
    except KeyError:
        return 0


if __name__ == "__main__":
    main()
