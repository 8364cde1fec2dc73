"""What a command is doing while no bar says it: a sign of life on a terminal, elsewhere a line now and then."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

PLAIN_INTERVAL = 10.0  # seconds between plain lines


class Foot:
    """The foot of one terminal. What is within something else that is being done is shown in its place.

    It is moved by a thread of its own, which draws nothing and changes no result.
    """

    def __init__(self) -> None:
        self._named: list[str] = []
        self._live: Live | None = None
        self._hidden = 0

    @contextmanager
    def shown(self, what: str, console: Console) -> Iterator[None]:
        """Shows `what` until it is done; then again what it was part of."""
        self._named.append(what)
        self._draw(console)
        try:
            yield
        finally:
            self._named.pop()
            self._draw(console)

    @contextmanager
    def hidden(self, console: Console) -> Iterator[None]:
        """Nothing is shown while something else moves: a bar."""
        self._hidden += 1
        self._draw(console)
        try:
            yield
        finally:
            self._hidden -= 1
            self._draw(console)

    def _draw(self, console: Console) -> None:
        if not self._named or self._hidden:
            if self._live is not None:
                self._live.stop()
                self._live = None
            return
        moving = Spinner("dots", Text(f"{self._named[-1]} …"))
        if self._live is None:
            self._live = Live(moving, console=console, refresh_per_second=4, transient=True)
            self._live.start(refresh=True)
        else:
            self._live.update(moving, refresh=True)


FOOT = Foot()


@contextmanager
def in_lines(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Says what is being done in a line, now and then, if it takes long: where there is no terminal."""
    over, began = threading.Event(), time.monotonic()

    def speak() -> None:
        while not over.wait(PLAIN_INTERVAL):
            say(f"{what}: {time.monotonic() - began:.0f} s")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()
