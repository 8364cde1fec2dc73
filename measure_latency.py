"""Measure a latency table: see docs/latency.md, and `python measure_latency.py --help`."""

from commands.launch import launch
from commands.settings import MEASURE_LATENCY

if __name__ == "__main__":
    launch(MEASURE_LATENCY)
