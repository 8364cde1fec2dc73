"""How long Optuna's dashboard takes to open a study of many trials, with this project's notes and without.

    python -m benchmarks.dashboard [--trials N] [--rounds N] [--run FOLDER]

A search in the table of trained networks is run to so many trials, in SQLite. Then the dashboard's server answers, in
process, the two requests that its page waits for, the list of studies and the study with all of its trials: from a
fresh start each round, of the study as the search left it, of the same without notes and plots, and of the same with a
note for every trial. Medians of the rounds, wall clock and processor time. What the browser does then is not in it.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import sqlalchemy

from foundation.progress import Reporter
from reports import dashboard
from reports.record import read_record
from studies.runs.run_folder import STUDY

COMMAND = (sys.executable, "search.py", "--evaluator", "tabular", "--sampler", "random", "--quiet")


def opened(path: Path) -> tuple[float, float, int]:
    """Seconds, processor seconds and bytes of opening the study in a server that has just started."""
    started, worked = time.perf_counter(), time.thread_time()
    application = optuna_dashboard.wsgi(f"sqlite:///{path}")
    size = 0
    for address in ("/api/studies", "/api/studies/1"):
        environment: dict[str, object] = {"PATH_INFO": address, "wsgi.input": BytesIO()}
        setup_testing_defaults(environment)
        size += sum(map(len, application(environment, _checked)))
    return time.perf_counter() - started, time.thread_time() - worked, size


def _checked(status: str, *_: object) -> None:
    """What the server answers, if it does."""
    if not status.startswith("200"):
        raise RuntimeError(status)


def without_notes(path: Path) -> None:
    """Takes away what was written for the dashboard."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("delete from study_system_attributes where key like 'dashboard:%'"))
    engine.dispose()


def noted(path: Path) -> None:
    """Gives every trial a note."""
    dashboard.ALL_NOTED = 10**9
    dashboard.write_notes(read_record(path.parent), f"sqlite:///{path}", Reporter(quiet=True))


def main() -> None:
    """Prints a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--run", help="a finished run's folder, instead of a search")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        run = Path(arguments.run or f"{name}/run")
        if arguments.run is None:
            subprocess.run([*COMMAND, "--trials", str(arguments.trials), "--out", str(run)], check=True)
        variants: dict[str, Callable[[Path], None]] = {
            "without notes": without_notes,
            "as the search left it": lambda path: None,
            "a note for every trial": noted,
        }
        paths = {}
        for variant, change in variants.items():
            paths[variant] = Path(name) / variant.replace(" ", "-") / STUDY
            shutil.copytree(run, paths[variant].parent)
            change(paths[variant])
        taken: dict[str, list[tuple[float, float, int]]] = {variant: [] for variant in variants}
        for _ in range(arguments.rounds):
            for variant, path in paths.items():
                taken[variant].append(opened(path))
        for variant, rounds in taken.items():
            wall, worked, sizes = (statistics.median(values) for values in zip(*rounds, strict=True))
            print(f"{variant}: {wall:.2f} s, processor {worked:.2f} s, {sizes / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
