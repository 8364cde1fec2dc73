"""Progress of long work: a bar or its name on a terminal, a plain line now and then elsewhere, nothing if quiet."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from foundation.doing import FOOT, PLAIN_INTERVAL, in_lines
from foundation.printed import at_words, message, printable
from foundation.signals import end_if_told

WIDE = 110  # columns from which on a bar's note stands beside it

Advance = Callable[[str], None]


class Reporter:
    """Where a run's progress and messages go."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self.console = _console()
        self.seconds: dict[str, float] = {}
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """One line, unless quiet; see `message`. A terminal that it does not fit has it in several, broken at words."""
        told = message(text)
        self.show(at_words(told, self.console.width) if self.console.is_terminal else told)

    def say_command(self, what: str, command: str) -> None:
        """What a user may type next, unless quiet: never broken, so that it can be copied."""
        self.show(f"{what:<7} {command}")

    def say_once(self, text: str) -> bool:
        """One line, unless quiet or it was said before. Whether it was said now."""
        if self.quiet or text in self._said:
            return False
        self._said.add(text)
        self.say(text)
        return True

    def show(self, what: RenderableType) -> None:
        """A line or a table, unless quiet; see `printable`."""
        if not self.quiet:
            self.console.print(printable(what) if isinstance(what, str) else _Printable(what), markup=False)

    def took(self) -> str:
        """How long each tracked work took: `supernet 3m 2s, search 25s`."""
        return ", ".join(f"{what} {duration(seconds)}" for what, seconds in self.seconds.items())

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Says what is being done where nothing of it is counted: at once on a terminal, elsewhere if it takes long."""
        if self.quiet:
            yield
        elif self.console.is_terminal:
            with FOOT.shown(printable(what), self.console):
                yield
        else:
            with in_lines(what, lambda line: print(printable(line), flush=True)):
                yield

    @contextmanager
    def track(self, what: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """Shows `done` of `total` units of work. Yields a function to call after each unit, with a short note.

        It raises `EndedError` where the command was told to end and something has caught that.
        """
        start = time.monotonic()
        if self.quiet:
            yield lambda note: end_if_told()
        elif self.console.is_terminal:
            yield from self._bar(what, total, unit, done)
        else:
            yield from self._lines(what, total, unit, done)
        self.seconds[what] = time.monotonic() - start

    def _bar(self, what: str, total: int, unit: str, done: int) -> Iterator[Advance]:
        columns = [
            TextColumn("{task.description}", markup=False, table_column=Column()),  # in two lines, rather than cut
            BarColumn(bar_width=max(4, min(24, self.console.width - 96))),
            MofNCompleteColumn(),
            TextColumn(unit, markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(compact=True),
        ]
        if beside := self.console.width >= WIDE:
            columns.append(TextColumn("{task.fields[note]}", markup=False, table_column=Column()))
        kind = Progress if beside else _NoteBelow
        bar = kind(*columns, console=self.console, transient=False, refresh_per_second=4)
        with FOOT.hidden(self.console), bar as progress:
            task = progress.add_task(printable(what), total=total, completed=done, note="", rate="")
            start = time.monotonic()
            finished = 0

            def advance(note: str) -> None:
                nonlocal finished
                end_if_told()
                finished += 1
                progress.update(task, advance=1, note=printable(note), rate=_rate(finished, start))

            yield advance

    def _lines(self, what: str, total: int, unit: str, done: int) -> Iterator[Advance]:
        start = last = time.monotonic()
        finished = 0

        def advance(note: str) -> None:
            nonlocal finished, last
            end_if_told()
            finished += 1
            now = time.monotonic()
            complete = done + finished == total
            if now - last >= PLAIN_INTERVAL or (complete and now - start >= 2.0):
                last = now
                left = (total - done - finished) * (now - start) / finished
                line = f"{what}: {done + finished}/{total} {unit}, {_rate(finished, start)}, {duration(left)} left"
                print(printable(f"{line}  {note}".rstrip()), flush=True)

        yield advance


class _NoteBelow(Progress):
    """A bar whose note has a line of its own."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield from (Text(f"  {task.fields['note']}") for task in self.tasks if task.fields["note"])


_consoles: dict[bool, Console] = {}


def _console() -> Console:
    """The one of this process: what moves at its foot makes room for whatever else it prints.

    Where the output is no terminal, nothing has to fit in 80 columns.
    """
    terminal = sys.stdout.isatty()
    if terminal not in _consoles:
        _consoles[terminal] = Console(highlight=False, soft_wrap=True, width=None if terminal else 200)
    return _consoles[terminal]


class PartReporter(Reporter):
    """The reporter of a part of a tracked work: what advances there advances the whole."""

    def __init__(self, whole: Reporter, advance: Advance):
        super().__init__(whole.quiet)
        self._whole, self._advance = whole, advance
        self.advanced = 0

    def show(self, what: RenderableType) -> None:
        self._whole.show(what)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        yield  # the bar of the whole is there

    @contextmanager
    def track(self, what: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        def advance(note: str) -> None:
            self.advanced += 1
            self._advance(f"{what}: {note}")

        yield advance

    def up_to(self, units: int) -> None:
        """Advances to so many units of this part: those that were done before."""
        while self.advanced < units:
            self.advanced += 1
            self._advance("")


def _rate(finished: int, start: float) -> str:
    seconds = max(time.monotonic() - start, 1e-9)
    rate = finished / seconds
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"


def duration(seconds: float) -> str:
    """A time as people read it: 2h 5m, 2m 10s, 7s, 0.4s."""
    if seconds < 1:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60}h {minutes % 60}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


class _Printable:
    """A line or a table of which every part is printable."""

    def __init__(self, what: RenderableType):
        self.what = what

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.what, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
