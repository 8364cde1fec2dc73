"""Follow people through a video, with their joints: see docs/people.md, and `python track.py --help`."""

from commands.launch import launch
from commands.settings import TRACK

if __name__ == "__main__":
    launch(TRACK)
