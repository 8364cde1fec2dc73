"""Say what a trained network sees in pictures: see docs/deployment.md, and `python predict.py --help`."""

from commands.launch import launch
from commands.settings import PREDICT

if __name__ == "__main__":
    launch(PREDICT)
