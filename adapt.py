"""Adapt a trained network to pictures without labels: see docs/adaptation.md, and `python adapt.py --help`."""

from commands.adaptations import ADAPT
from commands.launch import launch

if __name__ == "__main__":
    launch(ADAPT)
