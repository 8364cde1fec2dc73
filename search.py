"""Search for the best architectures within a budget: see README.md, and `python search.py --help`."""

import sys

from commands import command_line, search

if __name__ == "__main__":
    sys.exit(command_line.run(search.main, continues=True))
