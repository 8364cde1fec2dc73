"""Where studies are kept: SQLite, a journal file, PostgreSQL, or Optuna's gRPC proxy before any of them.

A storage that is briefly away (a database that restarts, a network that fails) is waited for, with growing pauses.
"""

import gc
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, ProgrammingError, SQLAlchemyError

from foundation.errors import InputError, first_line
from foundation.files import no_room_left
from studies.choices import STORAGES

PATIENCE = 600.0
"""Seconds that a storage may be away."""

SQLITE_TIMEOUT = 60  # seconds that a process waits for another's write
GRPC_TIMEOUT = 30.0
MAX_NAME, MAX_PATH = 255, 4000  # bytes of a file's name, and of its path, on Linux
MOST_SHOWN = 100  # characters of a path that is too long
LONGEST_LINE = 1 << 20  # bytes of a journal's line
JOURNAL = b'{"op_code":'  # what its lines begin with
MAX_OPENINGS = 20
MOUNTS = Path("/proc/mounts")
NETWORKS = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "fuse.")

_Result = TypeVar("_Result")


def check_address(url: str) -> None:
    """Raises InputError for a kind of storage that is unknown, or a file that is none, or whose folder is not there."""
    if url.partition("?")[0] in ("sqlite://", "sqlite:///:memory:"):
        raise InputError(f"`storage` {url}: is kept in memory alone; expected sqlite:///FILE")
    kind, _, rest = url.partition(":")
    kind = kind.partition("+")[0]
    if kind not in ("sqlite", "postgresql", "journal", "grpc"):
        raise InputError(f"`storage` {without_password(url)}: unknown kind; known: {STORAGES}")
    if kind in ("sqlite", "journal"):
        file = Path(rest.partition("?")[0].removeprefix("///")).absolute()
        if kind == "sqlite" and not file.parent.is_dir():
            raise InputError(f"`storage` {without_password(url)}: there is no folder {file.parent}; make it first")
        if len(os.fsencode(file.name)) > MAX_NAME - len("-journal") or len(os.fsencode(file)) > MAX_PATH:
            raise InputError(f"`storage` {without_password(url)[:MOST_SHOWN]}…: its path is too long; choose another")
        if file.exists() and not file.is_file():
            raise InputError(f"`storage` {without_password(url)}: is no file; choose another")


def open_storage(url: str) -> BaseStorage:
    """The storage at that address, one of `STORAGES`.

    Raises InputError for another kind, a package that is missing, or a storage that cannot be reached.
    """
    kind, _, rest = url.partition(":")
    if kind == "journal":
        # Absolute, since Optuna's lock is a link to the path as given, which would lead nowhere.
        return _journal(url, Path(rest).absolute() if rest else None)
    if kind == "grpc":
        return _grpc(url, rest)
    kind = kind.partition("+")[0]
    if kind not in ("sqlite", "postgresql"):
        raise InputError(f"`storage` {without_password(url)}: unknown kind; known: {STORAGES}")
    options: dict[str, object] = {"pool_pre_ping": True}
    address = url
    if kind == "sqlite":
        options["connect_args"] = {"timeout": SQLITE_TIMEOUT}
    else:
        address = "postgresql+psycopg" + url.removeprefix(url.partition(":")[0])
        # A host that vanishes without a word is noticed within half a minute, not within hours.
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
        options["connect_args"] = {"connect_timeout": 10, **alive}
    try:
        return _database(address, options)
    except ImportError:  # of sqlite's there is no lack: it is Python's own
        raise InputError(
            f"`storage` {without_password(url)}: needs psycopg; pip install 'coordnas[postgres]'"
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        if no_room_left(error) or kind == "sqlite":
            raise
        raise InputError(f"`storage` {without_password(url)}: cannot be reached ({cause_of(error)})") from None


def _database(address: str, options: dict[str, object]) -> BaseStorage:
    """Tried again where another process is just making the tables: of those that begin together, one succeeds."""
    for left in reversed(range(MAX_OPENINGS)):
        try:
            storage = RDBStorage(address, engine_kwargs=options)
        except (SQLAlchemyError, StorageInternalError) as error:
            if not left or not any(words in str(error) for words in ("already exists", "duplicate key", "UNIQUE")):
                raise
        else:
            if storage.engine.dialect.name == "sqlite":
                _log_ahead(storage.engine)
            return get_storage(storage)
        time.sleep(0.1)
    raise AssertionError


def _log_ahead(engine: Engine) -> None:
    """SQLite writes ahead into a log of its own: a trial takes no waiting for the disk, and readers do not wait.

    What is committed outlives the process; a power cut may take the latest trials with it, which the same command then
    evaluates again. Readers of such a log share memory, so on a network's file system all stays as it was.
    """
    file = engine.url.database
    if not file or on_network(Path(file)):
        return

    def settle(connection: sqlite3.Connection, record: object) -> None:  # noqa: ARG001
        with suppress(sqlite3.OperationalError):  # it can be read only, or another process is writing just now
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            if mode == "wal":
                connection.execute("PRAGMA synchronous=NORMAL")

    engine.dispose()  # connections that have been opened before
    event.listen(engine, "connect", settle)


def on_network(path: Path) -> bool:
    """Whether a file lies on a network's file system, as far as Linux tells."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return False
    place, found = path.resolve(), (-1, "")
    for line in lines:
        _, mounted, kind, *_ = line.split(" ")
        root = Path(mounted.replace("\\040", " "))
        if place.is_relative_to(root):
            found = max(found, (len(root.parts), kind), key=lambda pair: pair[0])
    return found[1].startswith(NETWORKS)


@contextmanager
def collecting_later() -> Iterator[None]:
    """Python does not look for cycles of garbage meanwhile.

    It would walk over all objects again and again while very many are made, of which none is garbage: reading ten
    thousand trials takes less than half the time without.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def close_storage(storage: BaseStorage) -> None:
    """Gives up the storage's connections."""
    storage.remove_session()
    engine = getattr(getattr(storage, "_backend", storage), "engine", None)  # of a database
    if engine is not None:
        engine.dispose()


def without_password(url: str) -> str:
    """The address as it may be printed: without a password."""
    if url.partition(":")[0] in ("journal", "grpc"):
        return url
    try:
        address = make_url(url).set(query={})  # a password may stand there too
        if "@" in (address.host or ""):  # or have one in it, and end there
            address = address.set(host="…")
        return address.render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return f"{url.partition(':')[0]}:…" if ":" in url else url


def patiently(do: Callable[[], _Result], patience: float = PATIENCE) -> _Result:
    """The result of `do`, which is tried again while the storage is away, for `patience` seconds at most.

    `do` may have taken effect although it failed: the storage can go away before it answers. Raises InputError once
    it has been away for too long.
    """
    pause, until = 0.1, time.monotonic() + patience
    while True:
        try:
            return do()
        except Exception as error:
            if not is_away(error):
                raise
            if time.monotonic() > until:
                raise InputError(
                    f"the storage has been away for {patience:.0f} s ({cause_of(error)}); run the same command again "
                    "to go on"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, 10.0)


def is_away(error: Exception) -> bool:
    """Whether the error says that the storage cannot be reached just now."""
    if isinstance(error, (SQLAlchemyError, StorageInternalError)):
        permanent = isinstance(error.__cause__ or error, (IntegrityError, ProgrammingError))
        return not permanent and not no_room_left(error)
    if type(error) is RuntimeError:  # of a journal's lock, which another process took over for its owner was slow
        return "lock" in str(error)
    return type(error).__module__.partition(".")[0] == "grpc"


def _journal(url: str, path: Path | None) -> BaseStorage:
    if path is None or path.is_dir():
        raise InputError(f"`storage` {url}: expected journal:FILE")
    lock = JournalFileSymlinkLock(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path, lock)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileSymlinkLock(str(path))))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"`storage` {url}: cannot be written ({error.strerror})") from None
    except (ValueError, KeyError) as error:
        raise InputError(f"`storage` {url}: not a journal of Optuna ({cause_of(error)})") from None


def _cut_torn_line(path: Path, lock: JournalFileSymlinkLock) -> None:
    """Removes what a killed writer left of a last line: Optuna would lose the next one with it."""
    if not path.exists():
        return
    lock.acquire()
    try:
        with open(path, "r+b") as file:
            if file.read(len(JOURNAL)) not in (JOURNAL, b""):
                raise InputError(f"`storage` journal:{path}: not a journal of Optuna")
            size = file.seek(0, 2)
            file.seek(max(0, size - LONGEST_LINE))
            end = file.read().rfind(b"\n") + 1
            if size > LONGEST_LINE and not end:
                raise InputError(f"`storage` journal:{path}: not a journal of Optuna")
            file.truncate(max(0, size - LONGEST_LINE) + end)
    finally:
        lock.release()


def _grpc(url: str, rest: str) -> BaseStorage:
    host, _, port = rest.removeprefix("//").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise InputError(f"`storage` {url}: expected grpc://HOST:PORT")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            proxy = GrpcStorageProxy(host=host, port=int(port))
        proxy.wait_server_ready(timeout=GRPC_TIMEOUT)
    except ImportError as error:
        raise InputError(f"`storage` {url}: needs {error.name or 'grpcio'}; pip install 'coordnas[grpc]'") from None
    except Exception as error:
        why = f"no answer within {GRPC_TIMEOUT:.0f} s" if "Timeout" in type(error).__name__ else cause_of(error)
        raise InputError(f"`storage` {url}: cannot be reached ({why})") from None
    return proxy


def cause_of(error: Exception) -> str:
    """The first line of what went wrong, of the error's own cause."""
    cause = error.__cause__ or error
    cause = getattr(cause, "orig", None) or cause
    return first_line(cause)
