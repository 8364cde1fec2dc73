"""More processes of the same search on this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from foundation.progress import Reporter
from foundation.signals import held

NUMBER = "COORDNAS_WORKER"
"""The environment variable that tells such a process its number, from 2."""

STARTED = "COORDNAS_STARTED"
"""The environment variable that tells it when the first process started, in seconds since 1970."""

PATIENCE = 60.0  # seconds that the others have to end once there are enough candidates
IMPATIENCE = 5.0  # seconds that they have where this process ends early


def is_helper() -> bool:
    """Whether this process was started by another one of the same search, which writes the results."""
    return NUMBER in os.environ


def started() -> float:
    """When the first of this machine's processes began the search, in seconds since 1970: now, if this is the first."""
    return float(os.environ.get(STARTED, time.time()))


@contextmanager
def helpers(count: int, folder: Path, reporter: Reporter, since: float, is_over: Callable[[], bool]) -> Iterator[None]:
    """Starts `count` processes with this one's command line; what they say is in `folder`, a file each.

    They end with the search, and where this process is told to end. Should it be killed, they go on with the search,
    and the same command joins them.

    Args:
        since: when the search began, see `started`.
        is_over: whether no more candidates are to be begun: then each may take its time to end the one that it is at.
    """
    running: list[tuple[int, Path, subprocess.Popen[bytes]]] = []
    try:
        for number in range(2, count + 2):
            path = folder / f"worker-{number}.log"
            with open(path, "wb") as log, held():
                process = subprocess.Popen(
                    [sys.executable, *sys.argv],
                    env={**alone(), NUMBER: str(number), STARTED: str(since)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                running.append((number, path, process))
        yield
        for number, path, process in running:
            code = _ended(process, None if is_over() else PATIENCE)
            if code != 0:
                reporter.say(f"worker {number} ended with exit code {code}: {_last_line(path)}")
            else:
                path.unlink(missing_ok=True)
    finally:
        alive = [process for _, _, process in running if process.poll() is None]
        for process in alive:
            process.terminate()
        for process in alive:
            _ended(process, IMPATIENCE)


def alone() -> dict[str, str]:
    """The environment without what torchrun says: the others have no part in what its processes do together."""
    own = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE")
    begin = ("MASTER_", "TORCHELASTIC_", "ROLE_")
    return {name: value for name, value in os.environ.items() if name not in own and not name.startswith(begin)}


def _ended(process: "subprocess.Popen[bytes]", patience: float | None) -> int:
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _last_line(path: Path) -> str:
    lines: Sequence[str] = path.read_text(errors="replace").splitlines()
    return lines[-1] if lines else f"see {path}"
