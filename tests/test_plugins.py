"""Python files of the user's own: run once, first, and refused in one line where they fail."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import foundation.plugins
from commands import command_line, retrain, search
from commands.command_line import flag
from evaluators.choice import EVALUATORS
from evaluators.elsewhere import Elsewhere
from foundation.errors import InputError
from foundation.plugins import load_plugin, loaded_plugins
from search_space import attention
from search_space.architecture import Attention
from studies.samplers.base import sampler_class
from training.data.datasets import DATASETS, load_data

ROOT = Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class _Settings:
    """A command."""

    times: int = flag(3, "how often", int)


@pytest.fixture(autouse=True)
def _unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foundation.plugins, "_LOADED", {})


def test_a_plugin_is_run_once_before_the_settings_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("print('running')\n")
    for _ in range(2):
        arguments = ["--plugin", "mine.py", "--times", "4", "--plugin", str(tmp_path / "mine.py")]
        assert command_line.parse_settings(_Settings, arguments, example="") == _Settings(4)
    assert capsys.readouterr().out == "running\n"
    assert loaded_plugins() == (str(tmp_path / "mine.py"),)


def test_a_plugin_may_define_dataclasses_and_register_an_op(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention.OPS, "_things", dict(attention.OPS._things))
    path = tmp_path / "op.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from torch import nn\n"
        "from search_space.attention import register\n"
        "@dataclass\n"
        "class Size:\n"
        "    side: int\n"
        "@register('halves')\n"
        "class Halves(nn.Module):\n"
        "    def __init__(self, channels: int):\n"
        "        super().__init__()\n"
    )
    load_plugin(path)
    assert type(attention.create(Attention("halves"), 8, nn.ReLU)).__name__ == "Halves"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"`plugin` .*mine\.py: there is no file .*mine\.py"),
        ("raise ValueError('too bad')", r"`plugin` .*mine\.py: .*mine\.py failed: ValueError: too bad"),
        ("def broken(:", r"`plugin` .*mine\.py: .*mine\.py failed: SyntaxError: "),
        (
            "from search_space.attention import NoAttention, register\nregister('ca')(NoAttention)",
            r"failed: ValueError: attention 'ca' is registered already, by CoordinateAttention",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    for _ in range(2):  # a file that failed is not taken for one that was run
        with pytest.raises(InputError, match=message):
            command_line.parse_settings(_Settings, ["--plugin", str(path)], example="")
    assert loaded_plugins() == ()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("")
    with pytest.raises(InputError, match=r"mine\.txt is no Python file; expected FILE\.py"):
        load_plugin(path)


def test_an_evaluator_elsewhere_has_the_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from evaluators.choice import EVALUATORS\nEVALUATORS['mine'] = None\n")
    monkeypatch.setattr(EVALUATORS, "_things", dict(EVALUATORS._things))
    monkeypatch.setattr("tasks.classification.room.load_data", lambda *arguments: None)
    elsewhere = Elsewhere("mine", {}, "digits", 32, {}, "cpu", 1, (str(path),))
    with pytest.raises(TypeError):  # None makes no evaluator, but it was found
        elsewhere()
    assert "mine" in EVALUATORS


def test_a_dry_run_prepares_an_evaluator_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(EVALUATORS, "_things", dict(EVALUATORS._things))
    monkeypatch.chdir(tmp_path)
    Path("longest.py").write_text(
        "from evaluators.choice import EVALUATORS\n"
        "from foundation.metric import Measured, Metric\n"
        "@EVALUATORS.register('longest')\n"
        "class Longest:\n"
        "    metric = Metric('length')\n"
        "    def __init__(self, setup):\n"
        "        self.file = setup.folder / 'known.txt'\n"
        "    def identity(self):\n"
        "        return {}\n"
        "    def about(self):\n"
        "        return 'longest'\n"
        "    def prepare(self):\n"
        "        self.file.write_text('7')\n"
        "    def evaluate(self, architecture, *, thorough=False):\n"
        "        return Measured(self.metric, float(self.file.read_text()))\n"
    )
    search.main(["--plugin", "longest.py", "--evaluator", "longest", "--trials", "5", "--out", "run", "--dry-run"])
    assert re.search(r"time:    about [^(]*\(preparation [^,]*, search ", capsys.readouterr().out)
    assert not Path("run").exists()


def test_an_unknown_op_names_the_field() -> None:
    known = "known: none, se, ca, .*, or your own by `plugin` FILE.py"
    with pytest.raises(InputError, match=f"attention 'absent' is unknown; {known}"):
        attention.takes_reduction("absent")


@pytest.mark.usefixtures("few_references")
def test_a_data_set_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documentation's, by the commands."""
    known = {name: made for name, made in DATASETS._things.items() if name != "stripes"}  # the pages' test runs it too
    monkeypatch.setattr(DATASETS, "_things", known)
    text = (Path(__file__).parent.parent / "docs/data.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "DATASETS" in block)
    plugin = tmp_path / "stripes.py"
    plugin.write_text(code)
    common = ["--plugin", str(plugin), "--data", "stripes:96", "--quiet"]
    run = tmp_path / "run"
    search.main([*common, "--supernet-epochs", "1", "--trials", "4", "--out", str(run)])
    assert json.loads((run / "front.json").read_text())["data"] == "stripes"
    retrain.main([str(run), *common, "--epochs", "1"])
    results = json.loads((run / "retrain" / "results.json").read_text())
    assert 0 <= results[0]["test"]["accuracy"] <= 1
    with pytest.raises(InputError, match=r"`data` strips: unknown; known: digits.*imagenet:PATH, stripes"):
        load_data("strips", 32, torch.device("cpu"))
    with pytest.raises(ValueError, match="data set 'folder' is registered already"):
        DATASETS.register("folder")(load_data)
    with pytest.raises(ValueError, match="a name without a colon"):
        DATASETS.register("mine:small")


def test_a_plugin_s_data_set_that_came_first_is_among_the_known(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(
        "from training.data.dataset import DATASETS\n"
        "@DATASETS.register('first')\n"
        "def first(wanted):\n"
        "    raise AssertionError\n"
    )
    words = ["--plugin", str(tmp_path / "first.py"), "--data", "frist", "--space", "mobilenetv2-32", "--dry-run"]
    ended = subprocess.run([sys.executable, ROOT / "search.py", *words], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert "imagenet:PATH, first" in ended.stderr


def test_a_sampler_of_a_file_is_not_one_of_the_same_name(tmp_path: Path) -> None:
    """`mine.py:tpe` ran Optuna's, and the file was not even looked at."""
    with pytest.raises(InputError, match=r"there is no file .*nowhere\.py"):
        sampler_class(f"{tmp_path}/nowhere.py:tpe")
    path = tmp_path / "mine.py"
    path.write_text("")
    with pytest.raises(InputError, match=r"mine\.py registers no sampler 'tpe'"):
        sampler_class(f"{path}:tpe")
