"""File names that are not UTF-8: shown with escapes wherever they are printed or written."""

import io
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from foundation.files import write_json
from foundation.json_files import read_json
from foundation.printed import complain, escape_output, name_flags, printable, with_flags
from foundation.progress import Reporter
from search_space import InputError
from training.data.datasets import load_data
from training.recorded_data import recorded_data

NAME = os.fsdecode(b"caf\xe9.png")


def test_escapes() -> None:
    assert printable(Path("a") / NAME) == "a/caf\\xe9.png"
    assert printable("café 猫 …") == "café 猫 …"
    assert printable("\ud800") == "\\ud800"


def test_reporters_show_it(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    reporter.say(NAME)
    assert reporter.say_once(f"once {NAME}")
    assert not reporter.say_once(f"once {NAME}")
    complain(NAME)
    printed = capsys.readouterr()
    assert printed.out == "caf\\xe9.png\nonce caf\\xe9.png\n"
    assert printed.err == "caf\\xe9.png\n"


def test_commands_print_it(capsys: pytest.CaptureFixture[str]) -> None:
    escape_output()
    print(NAME)
    assert capsys.readouterr().out == "caf\\xe9.png\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "`max_macs` 3: too few; raise `max_macs`, or use another `out`",
            "--max-macs 3: too few; raise --max-macs, or use another --out",
        ),
        ("max_macs, `MAX`, `a b`, ``, `/x` and `x", "max_macs, `MAX`, `a b`, ``, `/x` and `x"),
    ],
)
def test_a_command_says_flags_for_fields(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_flags(text) == said
    reporter = Reporter()

    def printed() -> list[str]:
        reporter.say(text)
        complain(text)
        reporter.show(text)  # what is shown as it is: a result
        captured = capsys.readouterr()
        return [*captured.out.splitlines(), *captured.err.splitlines()]

    assert printed() == [text, text, text]
    name_flags()
    assert printed() == [said, text, said]


def test_a_file_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "found-0").mkdir()
    write_json(tmp_path / "config.json", {"free": {"data": f"folder:/{NAME}"}})
    assert json.loads((tmp_path / "config.json").read_bytes().decode()) == {"free": {"data": f"folder:/{NAME}"}}
    assert read_json(tmp_path / "config.json")["free"]["data"] == f"folder:/{NAME}"
    assert recorded_data(tmp_path / "found-0") == f"folder:/{NAME}"


@pytest.mark.parametrize("streamed", [False, True])
def test_pictures_of_such_names(
    picture_folder: Path, tmp_path: Path, streamed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Good ones are read, broken ones passed over and named."""
    for split in ("train", "val"):
        for name in ("digit0", "digit1"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(4):
                Image.open(picture_folder / name / f"{number:02}.png").save(
                    tmp_path / split / name / os.fsdecode(b"\xe9%d.png" % number)
                )
    (tmp_path / "train" / "digit0" / NAME).write_bytes(b"")

    def data(skip_corrupt: bool) -> object:
        found = load_data(
            f"folder:{tmp_path}",
            32,
            torch.device("cpu"),
            Reporter(),
            streamed=streamed,
            skip_corrupt=skip_corrupt,
            loaders=0,
        )
        return sum(len(labels) for _, labels in found.train.batches(3))

    assert data(skip_corrupt=True) == 8
    assert "train: 1 of 9 pictures cannot be decoded" in (printed := capsys.readouterr().out)
    assert "train/digit0/caf\\xe9.png" in printed
    with pytest.raises(InputError, match="cannot decode") as told:
        data(skip_corrupt=False)
    assert "caf\\xe9.png" in printable(told.value)


def test_on_a_terminal_messages_break_at_words_and_commands_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    reporter = Reporter()
    reporter.console = Console(file=said, width=40, force_terminal=True, no_color=True, soft_wrap=True, highlight=False)
    text = "time:    about 4 minutes, of which the supernet takes most; see runs/a-rather-long-name-of-a-folder/here"
    command = "python retrain.py runs/a-rather-long-name-of-a-folder/here --compare"
    reporter.say(text)
    reporter.say_command("next:", command)
    *lines, last = said.getvalue().splitlines()
    assert len(lines) > 2
    assert [line.strip() for line in lines if len(line) > 40] == ["runs/a-rather-long-name-of-a-folder/here"]
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert last == f"next:   {command}"


def test_a_complaint_breaks_at_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "`max_macs` 3: below the smallest network of the space, which has 293.5k MACs; give at least that much"
    complain(text)
    assert capsys.readouterr().err == f"{text}\n"
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    complain(text)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 50
    assert " ".join(" ".join(lines).split()) == text
