"""A run's own study, read without changing anything: a run may come from somebody else.

SQLite would make files beside a database that it opens, and Optuna tables in it. Here the database is opened as one
that nothing writes to. Where a log of what was written ahead lies beside it, both are copied, and the copy is read.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from optuna.storages import RDBStorage

from foundation.errors import InputError
from foundation.files import check_inside

COPYINGS = 5  # that a search which is writing just now may spoil
PAUSE = 0.2  # seconds between them


@contextmanager
def own_study(path: Path) -> Iterator[RDBStorage]:
    """The storage in a run's `study.db`, read only.

    Raises InputError for a file that is no study of a search, or one that a killed process left half written.
    """
    check_inside(path, path.parent)
    journal, log = (path.with_name(f"{path.name}-{kind}") for kind in ("journal", "wal"))
    if _size(journal):
        raise InputError(f"{path}: is half written, or being written just now; the search's command again mends it")
    if not _size(log):
        with _opened(path) as storage:
            yield storage
        return
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / path.name
        _copy([(path, copied), (log, Path(f"{copied}-wal"))])
        with _opened(copied, copy=True) as storage:
            yield storage


@contextmanager
def _opened(path: Path, *, copy: bool = False) -> Iterator[RDBStorage]:
    address = f"file:{quote(str(path.absolute()))}?mode={'rw' if copy else 'ro&immutable=1'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    first = connect()
    try:
        # Optuna has plain tables only. What else a database can hold runs when a table is read.
        more = "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger') OR sql LIKE 'CREATE VIRTUAL%'"
        found = first.execute(more).fetchone()
    finally:
        first.close()
    if found:
        raise InputError(f"{path}: holds {found[0]!r}, which no search makes")
    storage = RDBStorage("sqlite://", engine_kwargs={"creator": connect}, skip_table_creation=True)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _copy(files: list[tuple[Path, Path]]) -> None:
    """Copies files that belong together; again if they changed meanwhile."""
    for _ in range(COPYINGS):
        before = [_state(source) for source, _ in files]
        for source, target in files:
            if source.exists():  # a search that ends takes its log away
                shutil.copyfile(source, target)
        if [_state(source) for source, _ in files] == before:
            return
        time.sleep(PAUSE)
    raise InputError(f"{files[0][0]}: is being written just now; try again when the search is over")


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _size(path: Path) -> int:
    state = _state(path)
    return state[0] if state else 0
