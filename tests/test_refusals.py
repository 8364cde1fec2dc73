"""Bad input that used to pass, or to end in a traceback, and the line that it ends in now."""

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.table import Table
from torch import nn

from commands import describe, ending, predict, search
from deployment.answers import answers_of
from deployment.model_source import Model
from deployment.prediction import predict as predictions
from evaluators import forecast
from foundation.errors import InputError
from foundation.json_files import MAX_NESTING, check_values, parse_json, read_json
from foundation.memory import free_memory, kept_bytes
from foundation.printed import LONGEST_LINE, complain, printable
from foundation.progress import Reporter
from reports.record import read_record
from search_space.backbones import mobilenetv2
from search_space.space_file import read_space
from studies.runs.run_folder import check_name
from studies.storage.storages import check_address, open_storage
from training.model_file import ModelInfo

SIZES = {"train": 200, "validation": 100, "test": 100}
FLAGS = ("--evaluator", "tabular", "--sampler", "random", "--trials", "6", "--startup", "6")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tabular"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.data.digits.SIZES", SIZES)
        search.main([*FLAGS, "--quiet", "--out", str(folder)])
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("training.data.digits.SIZES", SIZES)
    return shutil.copytree(made, tmp_path / "run")


def _ended(
    main: Callable[[Sequence[str]], None],
    arguments: Sequence[object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[Any, str]:
    """The exit code of a command, and what it complained of."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        ending.run(main, continues=False)
    return ended.value.code, capsys.readouterr().err


# Files that are read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 99_999 + "]" * 99_999, "nested too deeply; at most 64 levels are read"),
        ("[" * 65 + "]" * 65, "nested too deeply; at most 64 levels are read"),
        ('{"a": [{"b c": 1' + "0" * 400 + "}]}", "a[0].'b c': an integer of more than 64 bits"),
        ('{"a": 1' + "0" * 5_000 + "}", "Exceeds the limit"),
        ('{"a": [1, NaN]}', "a[1]: expected a finite number, got nan"),
        ('{"a": 1e999}', "a: expected a finite number, got inf"),
        ('["\\ud800"]', "[0]: '\\ud800' is not UTF-8 text"),
        ('{"\\ud800": 1}', "is not UTF-8 text"),
    ],
)
def test_json_within_bounds(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 200


def test_json_that_is_fine() -> None:
    deep: Any = "é 🙂"
    for _ in range(MAX_NESTING):
        deep = [deep]
    check_values(deep)
    assert parse_json(json.dumps(deep)) == deep
    assert parse_json("[-9223372036854775808, 9223372036854775807]") == [-(2**63), 2**63 - 1]
    assert math.isnan(parse_json("[NaN, Infinity]", finite=False)[0])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "best.json")
    with pytest.raises(InputError, match="it is a folder, a pipe or a device"):
        read_json(tmp_path / "best.json")


def test_a_shells_pipe_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b'{"a": 1}')
    os.close(writing)
    assert read_json(Path(f"/dev/fd/{reading}")) == {"a": 1}
    os.close(reading)


@pytest.mark.parametrize("value", ["1" * 5_000, "1" * 400, "[" * 5_000 + "]" * 5_000, "nan"])
def test_a_spaces_numbers(narrow_space_file: Path, value: str) -> None:
    narrow_space_file.write_text(narrow_space_file.read_text().replace("width = [12]", f"width = [{value}]"))
    with pytest.raises(InputError) as caught:
        read_space(str(narrow_space_file))
    assert str(caught.value).startswith(f"`space` {narrow_space_file}: ")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE alembic_version SET version_num = 'v9.0.0.a'", "optuna"),
        ("UPDATE trial_user_attributes SET value_json = NULL WHERE key = 'macs'", "got None"),
        ("UPDATE trial_user_attributes SET value_json = '\"x\"' WHERE key = 'macs'", "macs: expected an integer"),
        ("UPDATE trial_user_attributes SET value_json = '[[1]]' WHERE key = 'architecture'", "architecture: expected"),
        ("DELETE FROM trial_user_attributes WHERE key = 'params'", "params: missing"),
    ],
)
def test_a_study_that_is_broken(
    run: Path, statement: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(run / "study.db") as database:
        database.execute(statement)
    database.close()
    code, complained = _ended(search.main, [*FLAGS, "--out", run], monkeypatch, capsys)
    assert code == 2
    assert words in complained
    assert complained.startswith(f"error: sqlite:///{run}/study.db: ")
    assert len(complained.splitlines()) == 1
    if words in ("optuna", "got None"):
        assert "the study cannot be read from here" in str(read_record(run).without_study)
    else:
        with pytest.raises(InputError, match=r"^the study's trial \d+ is not as a search stores it"):
            read_record(run)


# Networks


def _info(**changed: object) -> dict[str, str]:
    info = ModelInfo(mobilenetv2(), ("a", "b"), (0.5,), (0.25,), "digits").to_metadata()
    return info | {name: json.dumps(value) for name, value in changed.items()}


@pytest.mark.parametrize(
    ("normalisation", "words"),
    [
        ('{"mean": [NaN], "std": [1]}', "normalisation: mean[0]: expected a finite number, got nan"),
        ('{"mean": [0], "std": [Infinity]}', "normalisation: std[0]: expected a finite number, got inf"),
        ('{"mean": [0], "std": [1e-320]}', "normalisation.std[0]: expected a number from 1e-06 to 1e+06, got 1e-320"),
        ('{"mean": [1e30], "std": [1]}', "normalisation.mean[0]: expected a number from -1e+06 to 1e+06, got 1e+30"),
        (f'{{"mean": [{"1" * 400}], "std": [1]}}', "normalisation: mean[0]: an integer of more than 64 bits"),
        ('{"mean": [0, 0, 0], "std": [1]}', "normalisation: mean is of 3 channels, std of 1"),
        ('{"mean": [0]}', "normalisation.std: expected numbers of one or three channels, got None"),
        ("[]", "normalisation: expected an object, got []"),
        ("[" * 99_999 + "]" * 99_999, "normalisation: JSON text: nested too deeply"),
    ],
)
def test_a_normalisation_that_is_none(normalisation: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        ModelInfo.from_metadata({**_info(), "normalisation": normalisation}, "x.safetensors")
    assert str(caught.value).startswith("x.safetensors: not a trained network's file (")
    assert words in str(caught.value)
    assert ModelInfo.from_metadata(_info(), "x").std == (0.25,)


def test_a_network_whose_logits_are_no_numbers(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = ModelInfo(mobilenetv2(resolution=32), ("a", "b"), (0.5,), (0.25,), "digits")
    logits = torch.tensor([[1.0, 0.0], [math.nan, 0.0], [math.inf, 0.0]])
    model = Model(Path("network.onnx"), info, answers_of(lambda images: logits))
    pictures = sorted((picture_folder / "digit0").iterdir())[:3]
    found = list(predictions(model, pictures, 1))
    assert [len(prediction.classes) for prediction in found] == [1, 0, 0]
    words = f"{pictures[1]}: the logits of network.onnx are not finite; was it trained to the end?"
    assert found[1].error == words
    monkeypatch.setattr("commands.predict.read_model", lambda *_: model)
    monkeypatch.setattr("commands.predict.find_model", lambda *_: Path("network.onnx"))
    monkeypatch.setattr(sys, "argv", ["predict.py", "network.onnx", *map(str, pictures)])
    with pytest.raises(SystemExit) as ended:
        ending.run(predict.main, continues=False)
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert "nan" not in printed.out
    assert printed.err.splitlines()[-1].startswith("error: 2 of 3 pictures could not be read or classified")


# A finished run


@pytest.mark.parametrize("name", ["best.json", "front.json"])
@pytest.mark.parametrize("change", ["broken", "absent", "another"])
def test_a_broken_result_is_written_anew(
    run: Path, name: str, change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {each: (run / each).read_bytes() for each in ("best.json", "front.json")}
    if change == "broken":
        (run / name).write_bytes(whole[name][:100])
    elif change == "absent":
        (run / name).unlink()
    else:
        content = json.loads(whole[name])
        content["data"] = "another"
        (run / name).write_text(json.dumps(content))
    search.main([*FLAGS, "--out", str(run)])
    assert {each: (run / each).read_bytes() for each in whole} == whole
    said = capsys.readouterr().out
    assert ("it is written anew" in said) == (change != "absent" or name == "best.json")
    search.main([*FLAGS, "--out", str(run)])
    assert "written anew" not in capsys.readouterr().out


# The command line


@pytest.mark.parametrize(
    ("main", "arguments", "words"),
    [
        (search.main, ["digits", "--out", ""], "--out: expected a value, got nothing"),
        (search.main, ["digits", "--storage", ""], "--storage: expected a value, got nothing"),
        (describe.main, [""], "SOURCE: expected a value, got nothing"),
        (describe.main, ["mobilenetv2", "--svg", ""], "--svg: expected a value, got nothing"),
        (predict.main, ["x.onnx", ""], "PICTURES: expected a value, got nothing"),
        (search.main, ["digits", "--out", os.fsdecode(b"a\xff")], "--out a\\xff: the name is not UTF-8"),
        (search.main, ["digits", "--out", "x" * 3_000], "its path is too long; choose another"),
        (search.main, ["digits", "--storage", "sqlite:///" + "x" * 3_000], "its path is too long; choose another"),
        (search.main, ["digits", "--storage", "sqlite:////dev/null"], "is no file; choose another"),
        (search.main, ["digits", "--storage", "journal:/dev/null"], "is no file; choose another"),
    ],
)
def test_what_is_given_as_nothing_or_cannot_be_written(
    main: Callable[[Sequence[str]], None],
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, complained = _ended(main, arguments, monkeypatch, capsys)
    assert code == 2
    assert words in complained
    assert len(complained) < 1_100
    assert not list(tmp_path.iterdir())


def test_a_folder_below_one_that_is_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    place.mkdir()
    monkeypatch.chdir(place)
    with pytest.raises(InputError, match="the name is not UTF-8"):
        check_name(Path("runs/mine"))


@pytest.mark.parametrize("code", ["sys.exit(7)", "sys.exit(0)", "raise SystemExit"])
def test_a_plugin_that_ends_the_command(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(f"import sys\n{code}\n")
    ended, complained = _ended(describe.main, ["mobilenetv2", "--plugin", plugin], monkeypatch, capsys)
    assert ended == 2
    assert f"{plugin} failed: SystemExit:" in complained

    def later(_: Sequence[str]) -> None:
        sys.exit(7)

    ended, complained = _ended(later, [], monkeypatch, capsys)
    assert ended == 2
    assert complained == "error: a Python file that this command was given ended it, by sys.exit(7)\n"


def test_help_still_ends_with_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ended(describe.main, ["--help"], monkeypatch, capsys) == (0, "")
    code, complained = _ended(describe.main, ["--what"], monkeypatch, capsys)
    assert code == 2
    assert len(complained.splitlines()) == 1


def test_nothing_that_a_terminal_acts_on_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[31m\x07\x9b\u202e\udcff\r é ﷼ 🙂"
    shown = "a\\x1b[31m\\x07\\x9b\\u202e\\xff\\r é ﷼ 🙂"
    assert printable(hostile) == shown
    table = Table(title=hostile)
    table.add_column(hostile)
    table.add_row(hostile)
    Reporter().show(table)
    Reporter().say(hostile)
    printed = capsys.readouterr().out
    assert printed.count("a\\x1b[31m") == 4
    assert not set("\x1b\x07\x9b\u202e\r") & set(printed)
    complain(f"{hostile} {'y' * 9_000} the remedy")
    complained = capsys.readouterr().err
    assert complained.startswith("a\\x1b")
    assert complained.endswith("the remedy\n")
    assert len(complained) < LONGEST_LINE + 10


# Storages


def test_postgresql_without_its_driver(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from studies.storage.storages import open_storage\n"
        "try: open_storage('postgresql://me@localhost/x')\n"
        "except ValueError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    expected = "`storage` postgresql://me@localhost/x: needs psycopg; pip install 'coordnas[postgres]'"
    assert said.stdout.strip() == expected


def test_a_journal_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("root:x:0:0\n")
    with pytest.raises(InputError) as caught:
        open_storage(f"journal:{path}")
    assert str(caught.value) == f"`storage` journal:{path}: not a journal of Optuna"
    assert path.read_text() == "root:x:0:0\n"


def test_a_storage_in_memory() -> None:
    with pytest.raises(InputError, match="is kept in memory alone"):
        check_address("sqlite://")


# Memory


def test_a_step_that_does_not_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, network = torch.device("cpu"), mobilenetv2()
    free = free_memory(cpu)
    assert free is None or free > 1 << 20
    monkeypatch.setattr(forecast, "free_memory", lambda device: 1 << 30)
    forecast.check_memory(network, 224, 2, cpu)
    with pytest.raises(
        InputError, match=r"`batch_size`: a step of 65536 pictures .* 1 are free here; give a smaller one"
    ):
        forecast.check_memory(network, 224, 65_536, cpu)
    monkeypatch.setattr(forecast, "free_memory", lambda device: None)
    forecast.check_memory(network, 224, 65_536, cpu)


def test_what_a_step_keeps_for_its_gradients() -> None:
    """Of each layer its input; of normalisation with an activation that needs its output, that as well."""
    side, pixels = 8, 64

    def made() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 5, 1, bias=False), nn.BatchNorm2d(5), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1))

    floats = (3 + 5 + 5) * pixels  # the picture, what is normalised, what the sigmoid gave
    statistics = 2 * 5  # mean and deviation of a whole batch
    # A picture's share of a batch of two; pooling keeps its input, which the sigmoid's output is.
    assert kept_bytes(made, side) == 4 * (floats + statistics // 2)
