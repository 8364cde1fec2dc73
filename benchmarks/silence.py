"""For how long commands are silent on a terminal: `python -m benchmarks.silence`.

Each runs on a pseudo-terminal, with small settings, in a folder that is kept (`--out`): the later ones find what the
earlier ones made. Measured is the longest time between two things that the terminal is sent, the moving sign at its
foot among them, and the longest between two that differ in their words. On a busy machine both are longer.
"""

import argparse
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
BOUND = 2.0  # seconds

SHORT = "--evaluator zero-cost --score params --trials 4 --startup 2 --finalists 0"
COMMANDS = (
    "search.py --dry-run --out plan",
    "search.py segmentation --dry-run --out plan",
    "search.py detection --dry-run --out plan",
    "search.py --max-latency-ms 5 --dry-run --out plan",
    f"search.py {SHORT} --out run",
    "retrain.py run --compare --dry-run",
    "retrain.py run --epochs 1 --export onnx,int8",
    "evaluate.py run/retrain",
    "evaluate.py run/retrain --attack fgsm --pictures 64",
    "evaluate.py run/retrain --latency --rounds 2 --runtimes eager,onnxruntime",
    "adapt.py run/retrain/found-0 --data digits:clutter --epochs 1",
    "pretrain.py run --epochs 1 --dry-run",
    "describe.py mobilenetv2-ca",
)
"""The later ones take what the earlier ones left."""

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r⠀-⣿]")


class Silence(NamedTuple):
    """Of a command: seconds in all, the longest without a sign, the longest with the same words, and these."""

    seconds: float
    silent: float
    same: float
    words: str
    code: int


def watched(command: str, folder: Path) -> Silence:
    """Runs it there."""
    own, its = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"}
    script, *arguments = command.split()
    begun = sign = changed = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / script), *arguments], cwd=folder, stdout=its, stderr=its, env=environment
    )
    os.close(its)
    silent = same = 0.0
    words = longest = "nothing"
    while True:
        try:
            sent = os.read(own, 1 << 16)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not sent:
            break
        now = time.monotonic()
        silent, sign = max(silent, now - sign), now
        lines = CONTROL.sub("", sent.decode(errors="replace")).split("\n")
        told = next((line.strip() for line in reversed(lines) if line.strip()), words)
        if told != words:
            if now - changed > same:
                same, longest = now - changed, words
            words, changed = told, now
    os.close(own)
    return Silence(time.monotonic() - begun, silent, same, longest, process.wait())


def main() -> None:
    """Prints a line a command, as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/silence"), help="where the commands run")
    parser.add_argument("--only", default="", help="commands with this in them alone")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    for command in COMMANDS:
        if arguments.only not in command:
            continue
        found = watched(command, arguments.out)
        worst = max(worst, found.silent)
        ended = "" if found.code == 0 else f", ended with {found.code}"
        print(
            f"{command}: {found.seconds:.1f} s{ended}; longest without a sign {found.silent:.1f} s; the same words for "
            f"{found.same:.1f} s: {found.words[:60]}",
            flush=True,
        )
    print(f"longest without a sign: {worst:.1f} s{'' if worst <= BOUND else f', more than {BOUND:g} s'}")


if __name__ == "__main__":
    main()
