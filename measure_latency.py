"""Measure a latency table: see docs/latency.md, and `python measure_latency.py --help`."""

import sys

from commands import command_line, measure_latency

if __name__ == "__main__":
    sys.exit(command_line.run(measure_latency.main, continues=True))
