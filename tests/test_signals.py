"""TERM and HUP end a command with a line, within seconds, and with all that it started."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search_space.backbones import hand_designed

ROOT = Path(__file__).parent.parent
SECONDS = 30  # on a machine that is busy; idle it takes one
FAR = ["--evaluator", "zero-cost", "--score", "naswot", "--trials", "100000", "--startup", "10000"]


def _started(folder: Path, *command: str, ignored: signal.Signals | None = None) -> "subprocess.Popen[str]":
    def prepare() -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number is ignored else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _of(folder: Path) -> list[int]:
    """The processes that work in the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if entry.resolve() == folder.resolve():
                found.append(int(entry.parent.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _told(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
    process.send_signal(number)
    _, complaints = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    return complaints


def _ran(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path) -> Iterator[None]:
    yield
    for process in _of(tmp_path):
        os.kill(process, signal.SIGKILL)


pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_search_ends_with_its_workers(
    picture_folder: Path, tmp_path: Path, number: signal.Signals, workers: str
) -> None:
    data = ["--data", f"folder:{picture_folder}"]
    process = _started(tmp_path, str(ROOT / "search.py"), *FAR, *data, "--workers", workers)
    study = tmp_path / "runs/digits/study.db"
    _await(lambda: study.exists() and len(_of(tmp_path)) == int(workers))
    complaints = _told(process, number)
    assert complaints == f"stopped by {number.name}; run the same command again to continue\n"
    assert not _of(tmp_path)


def test_a_training_ends_with_its_loaders(picture_folder: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(picture_folder, tmp_path / "pictures" / split)
    network = tmp_path / "network.json"
    architecture = hand_designed("mobilenetv2-none")
    assert architecture is not None
    network.write_text(replace(architecture, resolution=32).to_json())
    arguments = [str(network), "--data", f"imagenet:{tmp_path}/pictures", "--epochs", "1000", "--loaders", "2"]
    process = _started(tmp_path, str(ROOT / "retrain.py"), *arguments)
    _await(lambda: len(_of(tmp_path)) == 3 or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    assert _told(process, signal.SIGTERM) == "stopped by SIGTERM; run the same command again to continue\n"
    _await(lambda: not _of(tmp_path))


def test_a_signal_waits_until_the_loaders_are_made() -> None:
    program = (
        "import os, signal\n"
        "from torch.utils.data import dataloader\n"
        "from foundation.signals import EndedError, raise_on_signals\n"
        "from training.data.loaders import Loaders\n"
        "made = dataloader._BaseDataLoaderIter.__init__\n"
        "def ended(self, loader):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    made(self, loader)\n"
        "dataloader._BaseDataLoaderIter.__init__ = ended\n"
        "raise_on_signals()\n"
        "try:\n"
        "    list(Loaders(2).results(iter([])))\n"
        "except EndedError as error:\n"
        "    print(error.exit_code)\n"
    )
    done = _ran(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "143\n", "")


def test_a_loader_that_is_hung_up_on_says_nothing(tmp_path: Path) -> None:
    """A training that is stopped may hang up while a loader's thread hands a result's memory over."""
    program = (
        "import os, socket, time\n"
        "from multiprocessing import resource_sharer\n"
        "from training.data.loaders import _bound\n"
        "_bound(os.getppid(), 0)\n"
        "address, _ = resource_sharer._resource_sharer.register(print, print)\n"
        "for close in (False, True):  # before the greeting, and without a look at it\n"
        "    with socket.socket(socket.AF_UNIX) as other:\n"
        "        other.connect(address)\n"
        "        time.sleep(0.5 if close else 0)\n"
        "time.sleep(1)\n"
    )
    done = _ran(program)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_ignored_stays_so(picture_folder: Path, tmp_path: Path) -> None:
    """`nohup` starts a command so, and it goes on when the terminal is gone."""
    data = ["--data", f"folder:{picture_folder}"]
    process = _started(tmp_path, str(ROOT / "search.py"), *FAR, *data, ignored=signal.SIGHUP)
    _await((tmp_path / "runs/digits/study.db").exists)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    assert "SIGTERM" in _told(process, signal.SIGTERM)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_signal_that_a_library_catches_is_raised_again(quiet: bool) -> None:
    program = (
        "import os, signal\n"
        "from foundation.progress import Reporter\n"
        "from foundation.signals import EndedError, raise_on_signals\n"
        "raise_on_signals()\n"
        "try:\n"
        f"    with Reporter({quiet}).track('search', 3, 'candidates') as advance:\n"
        "        advance('')\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        except:\n"
        "            print('caught')\n"
        "        advance('')\n"
        "        print('too far')\n"
        "except EndedError as ended:\n"
        "    print(ended.signal.name)\n"
    )
    done = _ran(program)
    assert done.stdout.split() == ["caught", "SIGTERM"], done.stderr


def test_of_a_signal_in_a_callback_python_says_nothing() -> None:
    """What a callback raises reaches nobody; it is raised again, so that Python's own report of it is noise."""
    program = (
        "import os, signal, weakref\n"
        "from foundation.signals import EndedError, end_if_told, raise_on_signals\n"
        "class Thing: pass\n"
        "raise_on_signals()\n"
        "raise_on_signals()\n"
        "def fails(_): raise ValueError('another')\n"
        "thing, other = Thing(), Thing()\n"
        "kept = [weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM)), weakref.ref(other, fails)]\n"
        "del thing, other\n"
        "try:\n"
        "    end_if_told()\n"
        "except EndedError as ended:\n"
        "    print(ended.signal.name)\n"
    )
    done = _ran(program)
    assert done.stdout.split() == ["SIGTERM"]
    assert "EndedError" not in done.stderr
    assert done.stderr.count("ValueError: another") == 1  # what else goes wrong there is told as before


def test_a_signal_waits_for_what_must_not_be_cut_in_two() -> None:
    program = (
        "import os, signal\n"
        "from foundation.signals import EndedError, held, raise_on_signals\n"
        "raise_on_signals()\n"
        "try:\n"
        "    with held():\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('whole')\n"
        "    print('too far')\n"
        "except EndedError as ended:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)  # while it cleans up, another does nothing\n"
        "    print(ended.signal.name)\n"
    )
    done = _ran(program)
    assert done.stdout.split() == ["whole", "SIGTERM"], done.stderr
