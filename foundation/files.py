"""Files that are whole or absent, whenever the process is killed."""

import errno
import glob
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from foundation.errors import InputError

MOST_NAMED = 50  # characters of a file's name in that of its temporary file


def write_atomically(path: Path, write: Callable[[Path], None], *, keep: Path | None = None) -> None:
    """Calls `write` with a temporary path beside `path`, and moves the result into place once it is on disk.

    If anything fails, the disk being full for instance, `path` is as it was and the temporary file is gone. A link
    stays, and what it leads to gets the content. A device such as /dev/null, or a pipe, is written into.

    Args:
        keep: where what `path` held before is moved to, if anything, once the new content is on disk. A kill between
            the two moves leaves `keep` alone.

    Raises InputError for a path that is neither a file, nor new, nor such a device.
    """
    if _takes_a_stream(path):
        _stream(path, write)
        return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if not target.parent.is_dir():
        raise InputError(f"{path}: there is no folder {target.parent}; make it first")
    descriptor, name = tempfile.mkstemp(prefix=f"{_begin(target.name)}.", suffix=".tmp", dir=target.parent)
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
        if keep is not None and target.exists():
            target.replace(keep)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raises InputError for a path that is neither a file, nor new, nor a device or pipe that takes what is written."""
    _takes_a_stream(path)


def _takes_a_stream(path: Path) -> bool:
    """Whether it is a device or a pipe. Raises InputError for what nothing can be written into."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:  # links in a circle, a name that is too long
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another") from None
    if stat.S_ISREG(mode):
        return False
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return True
    kind = "a folder" if stat.S_ISDIR(mode) else "neither a file nor a device that takes one"
    raise InputError(f"{path}: is {kind}; choose another")


def _descriptor(path: Path) -> int | None:
    """Of a path that names one of this process's open files, its number."""
    named = {"/dev/stdout": 1, "/dev/stderr": 2}.get(str(path))
    match = re.fullmatch(r"/(?:dev/fd|proc/self/fd)/(\d{1,6})", str(path))
    return named if match is None else int(match[1])


def _stream(path: Path, write: Callable[[Path], None]) -> None:
    """What `write` makes goes into the device, in one go."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "content"
        write(made)
        content = made.read_bytes()
    sys.stdout.flush()  # what was printed before comes before
    sys.stderr.flush()
    descriptor = _descriptor(path)
    # Opened anew, a file that the output is led into would be written from its beginning.
    with open(path if descriptor is None else os.dup(descriptor), "wb", buffering=0) as device:
        left = memoryview(content)
        while left:
            left = left[device.write(left) :]


def _begin(name: str) -> str:
    return f".{name[:MOST_NAMED]}"


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
        for leftover in folder.glob(f"{glob.escape(_begin(name))}.*.tmp"):
            leftover.unlink(missing_ok=True)


def check_inside(path: Path, folder: Path) -> None:
    """Raises InputError for a link that leads out of the folder: a folder that was received could lead anywhere."""
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(os.path.realpath(folder)):
        raise InputError(f"{path}: leads out of {folder}, to {target}; remove the link, or name what it leads to")


def check_folder(folder: Path) -> None:
    """Raises InputError for what a folder holds that could be written elsewhere: links that lead out of it, devices."""
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place) / name
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # another process works in it
                continue
            if stat.S_ISLNK(mode):
                check_inside(path, folder)
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise InputError(f"{path}: is neither a file nor a folder; remove it")


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
