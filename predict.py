"""Say what a trained network sees in pictures: see docs/deployment.md, and `python predict.py --help`."""

import sys

from commands import command_line, predict

if __name__ == "__main__":
    sys.exit(command_line.run(predict.main, continues=False))
