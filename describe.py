"""Draw and cost a network without training it: see README.md, and `python describe.py --help`."""

import sys

from commands import command_line, describe

if __name__ == "__main__":
    sys.exit(command_line.run(describe.main, continues=False))
