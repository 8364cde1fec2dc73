"""Draw and cost a network without training it: see README.md, and `python describe.py --help`."""

from commands.launch import launch
from commands.settings import DESCRIBE

if __name__ == "__main__":
    launch(DESCRIBE)
