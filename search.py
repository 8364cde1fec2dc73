"""Search for the best architectures within a budget: see README.md, and `python search.py --help`."""

from commands.launch import launch
from commands.search_settings import SEARCH

if __name__ == "__main__":
    launch(SEARCH)
