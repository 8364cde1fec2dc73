"""What a command says comes next can be typed, and what a missing library belongs to is named."""

import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from commands import adapt, evaluate, predict, pretrain, retrain, search
from commands.afterwards import say_next
from deployment.choices import FORMATS
from deployment.export import _FORMATS
from foundation.errors import InputError
from foundation.progress import Reporter
from tasks.choice import TASKS, task
from training.task import Answering

ROOT = Path(__file__).parent.parent
MAINS: dict[str, Callable[[Sequence[str]], None]] = {
    f"{module.__name__.rpartition('.')[2]}.py": module.main for module in (adapt, evaluate, predict, pretrain, retrain)
}


def _next(printed: str) -> list[list[str]]:
    """The commands that stand at the end."""
    block = printed[printed.index("next:") :].removeprefix("next:")
    return [shlex.split(line) for line in block.splitlines() if line.strip()]


@pytest.mark.usefixtures("short_recipes")
def test_what_a_retraining_names_next_runs(
    narrow_space_file: Path,
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    scored = ["--evaluator", "zero-cost", "--score", "params", "--startup", "1", "--sampler", "random", "--trials", "2"]
    data = ["--space", str(narrow_space_file), "--data", f"folder:{picture_folder}", "--out", "a run"]
    search.main([*data, *scored, "--quiet"])
    retrain.main(["a run", "--epochs", "1", "--seeds", "2", "--seed", "3"])
    commands = _next(capsys.readouterr().out)
    assert commands == [
        ["python", "evaluate.py", "a run/retrain"],
        ["python", "predict.py", "a run/retrain/found-3", "PICTURES"],
        ["python", "retrain.py", "a run", "--epochs", "1", "--seeds", "2", "--seed", "3", "--export", "onnx"],
    ]
    for _, script, *arguments in commands:
        MAINS[script]([str(picture_folder / "digit0" / "00.png") if one == "PICTURES" else one for one in arguments])
    printed = capsys.readouterr().out
    assert "already trained" in printed
    assert "--export" not in printed.rpartition("next:")[2]  # what it has done already
    assert Path("a run/retrain/found-3/model.onnx").exists()


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("control",)])
def test_each_task_has_what_comes_next(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = task(name)
    say_next(made, Path("out"), Path("out/found-0"), ["run"], Reporter(), exported=False)
    printed = capsys.readouterr().out
    if isinstance(made, Answering):
        scripts = [words[1] for words in _next(printed)]
        assert scripts[:2] == ["evaluate.py", "predict.py"]
        assert ("track.py" in scripts) == (name == "pose")
    else:
        assert printed == ""


@pytest.mark.parametrize("name", FORMATS)
def test_a_formats_missing_library_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anything is read or trained: what is to be trained is not there either."""
    monkeypatch.chdir(tmp_path)
    for package in _FORMATS[name].packages:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            brings = (
                f"`export` (onnx|{name}): {package} is not installed; get it by: pip install 'coordnas\\[export\\]'"
            )
            with pytest.raises(InputError, match=f"^{brings}$"):
                retrain.main(["none", "--export", name])
    with pytest.raises(InputError, match="none"):
        retrain.main(["none", "--export", name])


def test_extras_that_messages_name_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rooms = (
        "commands",
        "deployment",
        "evaluators",
        "foundation",
        "reports",
        "search_space",
        "studies",
        "tasks",
        "training",
    )
    named = {
        extra
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for extra in re.findall(r"coordnas\[(\w+)\]", path.read_text())
    }
    assert len(named) >= 8
    assert named <= project["optional-dependencies"].keys()
    wanted = {package for kind in _FORMATS.values() for package in kind.packages}
    brought = {re.split("[<>=]", line)[0] for line in project["optional-dependencies"]["export"]}
    assert wanted <= brought
