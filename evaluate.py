"""Test trained networks, or compare their speed: see docs/deployment.md, and `python evaluate.py --help`."""

import sys

from commands import command_line, evaluate

if __name__ == "__main__":
    sys.exit(command_line.run(evaluate.main, continues=False))
