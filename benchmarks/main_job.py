"""The main job as a user runs it: seconds of each phase, and peak memory.

    python -m benchmarks.main_job [--data SPEC] [--out FOLDER]

Runs `search.py` and then `retrain.py --compare` in a new folder, prints what they print, and then the time and the peak
memory of each process.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Prints the output of both commands and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--out", default=None, help="the run's folder (a new temporary one)")
    arguments = parser.parse_args()
    out = arguments.out or str(Path(tempfile.mkdtemp(prefix="coordnas-")) / "run")
    commands = [
        ["search.py", "--data", arguments.data, "--out", out],
        ["retrain.py", out, "--compare"],
    ]
    measured = []
    for command in commands:
        start = time.perf_counter()
        subprocess.run([sys.executable, str(ROOT / command[0]), *command[1:]], check=True)
        # The highest of all children so far: of the second command only if it needs more than the first.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        measured.append((command[0], time.perf_counter() - start, peak))
    print()
    for name, seconds, peak in measured:
        print(f"{name:12} {seconds:6.0f} s   peak memory so far {peak:6.0f} MiB")


if __name__ == "__main__":
    main()
