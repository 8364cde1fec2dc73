"""No command is silent: what it does is at the foot of a terminal wherever no bar says it, and in lines elsewhere."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from commands import launch as launching
from commands import search
from commands.settings import DESCRIBE, EVALUATE
from foundation import doing, progress
from foundation.doing import FOOT
from foundation.progress import PartReporter, Reporter

ROOT = Path(__file__).parent.parent
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 80 columns is sent."""
    sent = io.StringIO()
    console = Console(file=sent, width=80, force_terminal=True, soft_wrap=True, highlight=False)
    monkeypatch.setattr(progress, "_console", lambda: console)
    monkeypatch.setenv("TERM", "xterm")
    return sent


def _sent(terminal: io.StringIO) -> str:
    """What was sent since the last look."""
    text = CONTROL.sub("", terminal.getvalue())
    terminal.seek(0)
    terminal.truncate()
    return text


def test_it_is_said_at_once_and_again_while_it_goes_on(terminal: io.StringIO) -> None:
    reporter = Reporter()
    with reporter.doing("reading [bold] pictures"):
        assert "reading [bold] pictures …" in _sent(terminal)
        waited = time.monotonic() + 10
        while "reading [bold] pictures …" not in _sent(terminal):  # by its own thread
            assert time.monotonic() < waited
            time.sleep(0.05)
        with reporter.doing("counting"):
            assert "counting …" in _sent(terminal)
            reporter.say("a line")
            assert "a line\n" in _sent(terminal)
        assert "reading [bold] pictures …" in _sent(terminal)
    assert FOOT._live is None
    reporter.say("the end")
    assert _sent(terminal).endswith("the end\n")


def test_a_bar_takes_its_place(terminal: io.StringIO) -> None:
    reporter = Reporter()
    with reporter.doing("working"):
        _sent(terminal)
        with reporter.track("supernet", 2, "steps") as advance:
            with reporter.doing("looking aside"):
                assert FOOT._live is None
            with PartReporter(reporter, advance).doing("a part"):
                assert FOOT._live is None
            advance("")
            advance("done")
        assert "supernet" in _sent(terminal)
        assert FOOT._live is not None
    with pytest.raises(KeyboardInterrupt), reporter.doing("working"):
        raise KeyboardInterrupt
    assert FOOT._live is None


def test_elsewhere_a_line_comes_if_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Reporter().doing("reading data"):
        pass
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(doing, "PLAIN_INTERVAL", 0.02)
    before = threading.active_count()
    with Reporter().doing("reading data"):
        time.sleep(0.3)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(re.fullmatch(r"reading data: \d+ s", line) for line in lines)
    assert threading.active_count() == before
    with Reporter(quiet=True).doing("reading data"):
        time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_a_launched_command_shows_it_from_its_start_to_its_end(
    monkeypatch: pytest.MonkeyPatch, terminal: io.StringIO
) -> None:
    """Whatever its body does: before torch is imported, and wherever it says nothing itself."""
    seen: list[str] = []

    @contextmanager
    def noted(self: Reporter, what: str) -> Iterator[None]:
        seen.append(f"{what}{', quiet' if self.quiet else ''}")
        yield
        seen.append(f"no more {what}")

    class Body:
        @staticmethod
        def main(arguments: list[str]) -> None:
            seen.append("main")

    monkeypatch.setattr(Reporter, "doing", noted)
    monkeypatch.setattr(launching.importlib, "import_module", lambda name: seen.append("imported") or Body)
    whole = ["starting", "imported", "no more starting", "working", "main", "no more working"]
    for more in ([], ["--quiet"]):
        seen.clear()
        with pytest.raises(SystemExit):
            launching.launch(DESCRIBE, ["mobilenetv2", *more])
        quiet = ", quiet" if more else ""
        assert seen == [f"{one}{quiet}" if one in ("starting", "working") else one for one in whole]


def test_the_first_sign_comes_before_torch() -> None:
    """A process with a terminal: what it imports is counted after what it has said."""
    own, its = pty.openpty()
    program = (
        "import sys; sys.argv = ['describe.py', 'mobilenetv2']\n"
        "class Seen:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            import os; os.write(1, b'TORCH'); os._exit(0)\n"
        "sys.meta_path.insert(0, Seen())\n"
        "from commands.launch import launch\n"
        "from commands.settings import DESCRIBE, EVALUATE\n"
        "launch(DESCRIBE)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=its, stderr=its, env=environment)
    os.close(its)
    sent = b""
    try:
        while part := os.read(own, 65536):
            sent += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    assert process.wait(30) == 0
    assert sent.index("starting …".encode()) < sent.index(b"TORCH")


def test_long_work_is_named(
    monkeypatch: pytest.MonkeyPatch, picture_folder: Path, narrow_space_file: Path, terminal: io.StringIO
) -> None:
    """What takes longest of a dry run: data, costs, counts, draws, timing."""
    named: list[str] = []
    plain = Reporter.doing

    def noted(self: Reporter, what: str) -> Any:
        named.append(what)
        return plain(self, what)

    monkeypatch.setattr(Reporter, "doing", noted)
    monkeypatch.chdir(narrow_space_file.parent)
    search.main(["--space", str(narrow_space_file), "--data", f"folder:{picture_folder}", "--dry-run"])
    assert list(dict.fromkeys(named)) == [
        "reading data",
        "counting what networks cost",
        "counting architectures",
        "drawing networks within the budget",
        "timing what a search does",
    ]


@pytest.mark.parametrize(("flags", "continues"), [([], False), (["--neurons"], True), (["--attack", "pgd"], False)])
def test_a_stopped_test_beside_neurons_says_that_it_goes_on(
    flags: list[str], continues: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(launching, "run", lambda body, *, continues, first, arguments: seen.append(continues))
    launching.launch(EVALUATE, ["run", *flags])
    assert seen == [continues]
