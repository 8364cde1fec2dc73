"""Train a backbone on pictures without labels: see docs/core-tuning.md, and `python pretrain.py --help`."""

from commands.launch import launch
from commands.pretraining import PRETRAIN

if __name__ == "__main__":
    launch(PRETRAIN)
