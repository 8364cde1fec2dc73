"""Test trained networks, or compare their speed: see docs/deployment.md, and `python evaluate.py --help`."""

from commands.launch import launch
from commands.settings import EVALUATE

if __name__ == "__main__":
    launch(EVALUATE)
