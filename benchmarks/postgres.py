"""A PostgreSQL server of one's own on loopback, for as long as a test or a benchmark takes."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

USER = "coordnas"


class Server:
    """A server that can be stopped and started again; `url` is its database."""

    def __init__(self, programs: Path, folder: Path):
        self._programs = programs
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        # The server refuses to run as root; Debian's package has made a user for it.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "-D", str(folder / "data"), "-U", USER, "-A", "trust", "--no-sync")

    @property
    def url(self) -> str:
        """The address of the server's database."""
        return f"postgresql://{USER}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Returns when it takes connections."""
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        data, log = str(self._folder / "data"), str(self._folder / "log")
        self._run("pg_ctl", "-D", data, "-l", log, "-w", "-t", "60", "-o", options, "start")

    def stop(self) -> None:
        """Breaks every connection off."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, user=self._user, stdout=subprocess.DEVNULL, cwd=self._folder)


def programs() -> Path | None:
    """Where Debian's server is installed, the newest version; None if it is not."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return found[-1] if found else None


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A running server with its files in `folder`. Raises FileNotFoundError where PostgreSQL is not installed."""
    installed = programs()
    if installed is None:
        raise FileNotFoundError("PostgreSQL is not installed; apt-get install postgresql")
    own = Server(installed, folder)
    own.start()
    try:
        yield own
    finally:
        own.stop()
