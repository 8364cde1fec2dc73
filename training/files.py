"""Files that are whole or absent, whenever the process is killed."""

import errno
import glob
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], None], *, keep: Path | None = None) -> None:
    """Calls `write` with a temporary path beside `path`, and moves the result into place once it is on disk.

    If anything fails, the disk being full for instance, `path` is as it was and the temporary file is gone.

    Args:
        keep: where what `path` held before is moved to, if anything, once the new content is on disk. A kill between
            the two moves leaves `keep` alone.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        # mkstemp's files are private; a result is as readable as any other new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes text in UTF-8, atomically.

    Bytes of a path that are not UTF-8 become escapes that JSON reads as the same path.
    """

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")

    write_atomically(path, write)


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Removes the temporary files that a killed process left in `folder` while it wrote files of these names."""
    for name in names:
        for leftover in folder.glob(f".{glob.escape(name)}.*.tmp"):
            leftover.unlink(missing_ok=True)


def no_room_left(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is a full disk."""
    for _ in range(20):
        if error is None:
            return False
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # SQLite, torch and safetensors only say it in words.
        words = ("disk is full", "No space left", "file write failed", "unexpected pos")
        if any(phrase in str(error) for phrase in words):
            return True
        error = error.__cause__ or error.__context__
    return False
