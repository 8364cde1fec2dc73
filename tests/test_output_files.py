"""Files that are written: whole or not at all, through links, into devices, and nothing else."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from commands import describe, measure_latency
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_atomically, write_json, write_text
from training.checkpoint import load_weights, save_weights

ROOT = Path(__file__).parent.parent


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_gets_the_content(tmp_path: Path, there: bool) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target.svg", tmp_path / "link.svg"
    if there:
        target.write_text("before")
    link.symlink_to("far/target.svg")
    describe.main(["mobilenetv2-ca", "--svg", str(link), "--quiet"])
    assert link.is_symlink()
    assert target.read_text().startswith("<svg")
    assert _names(tmp_path / "far") == ["target.svg"]


def test_a_link_into_no_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "absent" / "target")
    with pytest.raises(InputError, match=f"there is no folder {tmp_path}/absent; make it first"):
        write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()


def test_a_device_stays_one(tmp_path: Path) -> None:
    before = os.stat("/dev/null")
    describe.main(["mobilenetv2-ca", "--svg", "/dev/null", "--json", "/dev/null", "--quiet"])
    (tmp_path / "null").symlink_to("/dev/null")
    write_text(tmp_path / "null", "x")
    after = os.stat("/dev/null")
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_ino, before.st_rdev) == (after.st_ino, after.st_rdev)


def test_a_pipe_takes_what_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "content")
    assert os.read(reading, 100) == b"content"
    os.close(reading)
    assert _names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("led", ["pipe", "file"])
def test_the_standard_output_is_written_into(tmp_path: Path, led: str) -> None:
    """A file that the output is led into keeps what was printed before, and what comes after."""
    program = (
        "from pathlib import Path; from foundation.files import write_json\n"
        "print('before'); write_json(Path('/dev/stdout'), [1]); print('after')"
    )
    out = tmp_path / "out"
    with open(out, "wb") as file:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdout=file if led == "file" else subprocess.PIPE,
            check=True,
        )
    assert (out.read_bytes() if led == "file" else ended.stdout) == b"before\n[\n 1\n]\nafter\n"


def test_what_is_neither_a_file_nor_new_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, words in (
            ("folder", "is a folder; choose another"),
            ("circle", "cannot be written"),
            ("socket", "is neither a file nor a device that takes one; choose another"),
        ):
            path = tmp_path / name
            with pytest.raises(InputError, match=words):
                describe.main(["mobilenetv2-ca", "--svg", str(path), "--quiet"])
            with pytest.raises(InputError, match=words):
                measure_latency.main(["--out", str(path), "--quiet"])
            with pytest.raises(InputError, match=words):
                write_json(path, {})
    assert _names(tmp_path) == ["circle", "folder", "socket"]


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_text(path, "x")
    (tmp_path / f".{path.name[:50]}.abc.tmp").write_text("left by a kill")
    remove_leftovers(tmp_path, (path.name,))
    assert _names(tmp_path) == [path.name]


def test_a_write_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("no")

    for path in (target, link):
        with pytest.raises(OSError, match="no"):
            write_atomically(path, fail)
    assert target.read_text() == "before"
    assert _names(tmp_path) == ["link", "target"]


METADATA = {name: f"{name} “x”\u001b\x7f\\" for name in ("normalisation", "classes", "data", "architecture", "é")}


def test_equal_weights_are_equal_bytes(tmp_path: Path) -> None:
    """Also of processes whose hashes differ by chance."""
    program = (
        "import sys, torch; from pathlib import Path; from training.checkpoint import save_weights\n"
        f"tensors = {{name: torch.arange(5.) for name in 'xyz'}}; metadata = {METADATA!r}\n"
        "for number in range(3): save_weights(Path(f'{sys.argv[1]}-{number}'), tensors, metadata)"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", program, str(tmp_path / seed)], cwd=ROOT, env=environment, check=True)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 6
    assert len({path.read_bytes() for path in files}) == 1
    tensors, metadata = load_weights(files[0])
    assert metadata == METADATA
    assert {name: value.tolist() for name, value in tensors.items()} == {
        name: [0.0, 1.0, 2.0, 3.0, 4.0] for name in "xyz"
    }


def test_the_header_is_in_order(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"x": torch.ones(3, dtype=torch.int8)}, METADATA)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    assert list(json.loads(content[8 : 8 + length])["__metadata__"]) == sorted(METADATA)
    save_weights(path, {"x": torch.ones(3)}, {})
    assert load_weights(path)[1] == {}


def test_a_header_that_python_writes_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the two ever write a text in different lengths, the tensors move."""
    dumps = json.dumps
    monkeypatch.setattr("training.checkpoint.json.dumps", lambda value, **_: dumps(value, indent=2))
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"x": torch.arange(3.0)}, METADATA)
    tensors, metadata = load_weights(path)
    assert (tensors["x"].tolist(), metadata) == ([0.0, 1.0, 2.0], METADATA)
