"""The folder that `--out` names."""

from pathlib import Path

from foundation.errors import InputError


def make(folder: Path) -> None:
    """Makes the folder, if it is not there. Raises InputError where it cannot be one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"--out {folder}: is a file, or lies in one; choose another") from None
