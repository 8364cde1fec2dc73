"""Has timm know the model `coordnas` once timm is imported, before this or after, without importing it.

timm has no list of plugins: a model is registered by code that runs. timm and torch take seconds to import, so that
code waits until the program imports timm itself.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

ENTRY, MODELS = "deployment.timm_entry", "timm.models"


class _Finder(MetaPathFinder):
    """Finds `timm.models` as the others do, and has the entry imported after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODELS:
            return None
        sys.meta_path.remove(self)  # once is enough; and the others are asked below
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            importlib.import_module(ENTRY)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def register_with_timm() -> None:
    """Registers the model now where timm is imported, else as soon as it is. More than once is as good as once."""
    if MODELS in sys.modules:
        importlib.import_module(ENTRY)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
