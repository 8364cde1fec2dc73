"""All methods of the package: the files of this folder register them."""

import importlib
from pathlib import Path

from training.methods.registry import METHODS, Training, check_method

for _file in sorted(Path(__file__).parent.glob("*.py")):
    if _file.stem not in ("__init__", "choice"):
        importlib.import_module(f"training.methods.{_file.stem}")

__all__ = ["METHODS", "Training", "check_method"]
