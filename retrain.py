"""Train a found architecture, alone or beside hand-designed ones: see README.md, and `python retrain.py --help`."""

import sys

from commands import command_line, retrain

if __name__ == "__main__":
    sys.exit(command_line.run(retrain.main, continues=True))
