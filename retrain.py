"""Train a found architecture, alone or beside hand-designed ones: see README.md, and `python retrain.py --help`."""

from commands.launch import launch
from commands.recipes import RETRAIN

if __name__ == "__main__":
    launch(RETRAIN)
