"""The examples do what they say, at small size."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from search_space import attention

EXAMPLES = Path(__file__).parent.parent / "examples"
FEW = ["--supernet-epochs", "1", "--trials", "4", "--startup", "2", "--batch-size", "32", "--quiet"]


def _example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_script_is_tested() -> None:
    plugins = {"row_attention", "nearest_mean"}  # which tests/test_documents.py searches with
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - plugins - {"__init__"}
    from_python = {"load_and_predict", "own_dataset", "registered_attention"}  # tests/test_coordnas.py runs them
    assert scripts == {"own_pictures", "custom_attention"} | from_python


def test_own_pictures_writes_digits(tmp_path: Path) -> None:
    """That it searches and retrains, tests/test_documents.py shows."""
    example = _example("own_pictures")
    (tmp_path / "digit-3").mkdir()
    (tmp_path / "digit-3" / "000.png").write_bytes(b"mine")
    example.write_digits(tmp_path, each=8)
    with Image.open(tmp_path / "digit-3" / "007.png") as picture:
        assert (picture.size, picture.mode) == ((32, 32), "L")
    assert len(list(tmp_path.glob("*/*.png"))) == 80
    assert (tmp_path / "digit-3" / "000.png").read_bytes() == b"mine"


@pytest.mark.usefixtures("few_references")
def test_custom_attention_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attention.OPS, "_things", dict(attention.OPS._things))
    monkeypatch.setattr("foundation.plugins._LOADED", {})
    monkeypatch.setattr("training.data.digits.SIZES", {"train": 200, "validation": 100, "test": 100})
    _example("custom_attention").main(["--out", "rows", *FEW, "--trials", "12"])
    front = json.loads(Path("rows/front.json").read_text())["front"]
    last = capsys.readouterr().out.split("attention at the ")[1]
    assert last.startswith(f"{2 * len(front)} stages of the front's {len(front)} networks:\n")
    space = json.loads(Path("rows/config.json").read_text())["identity"]["space"]
    assert {option["kind"] for option in space["stages"][0]["attention"]} == {"none", "ca", "rows"}
