"""Python files of the user's own, which register attention ops, blocks, scores, samplers, spaces or evaluators."""

import importlib.util
import sys
from pathlib import Path

from foundation.errors import InputError

_LOADED: dict[Path, str] = {}


def load_plugin(path: Path, named_by: str | None = None) -> None:
    """Runs the file, once in a process. Only a file that the user names is ever run, none that a run's folder names.

    Args:
        named_by: what the user gave, for the message; by default the field `plugin` and the path.

    Raises InputError for a missing file, or with what its running raised.
    """
    named_by = named_by or f"`plugin` {path}"
    if not path.is_file():
        raise InputError(f"{named_by}: there is no file {path}")
    resolved = path.resolve()
    if resolved in _LOADED:
        return
    name = f"plugin_{len(_LOADED)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{named_by}: {path} is no Python file; expected FILE.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"{named_by}: {path} failed: {type(error).__name__}: {error}") from error
    _LOADED[resolved] = name


def loaded_plugins() -> tuple[str, ...]:
    """The paths of the files that were run, absolute, in order; another process has to run them as well."""
    return tuple(str(path) for path in _LOADED)
