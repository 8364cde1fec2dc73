"""All evaluators of the package: each folder here with a file `room.py` is one, and registers itself."""

import importlib
from pathlib import Path

from evaluators.registry import EVALUATORS, Planned, Setup, Traits, check_acting, check_evaluator, having, traits_of

for _room in sorted(Path(__file__).parent.glob("*/room.py")):
    importlib.import_module(f"evaluators.{_room.parent.name}.room")

__all__ = ["EVALUATORS", "Planned", "Setup", "Traits", "check_acting", "check_evaluator", "having", "traits_of"]
