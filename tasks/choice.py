"""All tasks of the package: each folder here with a file `room.py` is one, and registers itself."""

import importlib
from pathlib import Path

from tasks.registry import TASKS, has_settings, task

for _room in sorted(Path(__file__).parent.glob("*/room.py")):
    importlib.import_module(f"tasks.{_room.parent.name}.room")

__all__ = ["TASKS", "has_settings", "task"]
