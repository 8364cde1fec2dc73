"""Commands in processes of their own that need not import torch again: one process has, and forks for each of them.

A process of its own is for what ends it (a kill), and for what it leaves behind. What is about the start of Python
(what it imports, which signals it heeds) needs `python SCRIPT`, which takes four seconds of a core.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
THREADS = {"OMP_NUM_THREADS": "1"}
SECONDS = 300  # after which a command that hangs is ended by a signal
IMPORTED = (
    "torch",
    "torchvision",
    "commands.search",
    "commands.retrain",
    "training.standalone",
    "evaluators.supernet.room",
)


class Forked:
    """The process that forks. It has one thread, so that no other one holds a lock at a fork."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(
        self, folder: Path, script: str, *arguments: str, before: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs `python SCRIPT ARGUMENTS` in that folder, after the lines of Python in `before`."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked"],
                cwd=ROOT,
                env={**os.environ, **THREADS},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, err = folder / ".stdout", folder / ".stderr"
        request = {
            "folder": str(folder),
            "arguments": [script, *arguments],
            "before": before,
            "environment": {**os.environ, **THREADS, "COLUMNS": "100", **(environment or {})},
            "out": str(out),
            "err": str(err),
        }
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended; it has said why"
        said = (out.read_text(), err.read_text())
        for path in (out, err):
            path.unlink()
        return subprocess.CompletedProcess([script, *arguments], int(answer), *said)

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


def _requested() -> dict[str, Any]:
    """In the process that forks: answers requests until there are none. In each child: returns its own."""
    for name in IMPORTED:
        __import__(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return dict(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def _run(request: dict[str, Any]) -> None:
    signal.alarm(SECONDS)
    for path, descriptor in ((request["out"], 1), (request["err"], 2), (os.devnull, 0)):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    script = ROOT / request["arguments"][0]
    sys.argv = [str(script), *request["arguments"][1:]]
    sys.path[0] = str(ROOT)
    exec(request["before"], {})
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    _run(_requested())
