"""`search.py --supernet RUN`: the finished shared weights of another run, within another budget."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from commands import retrain, search
from evaluators.supernet import evaluator as supernet
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.given import WEIGHTS, given_weights
from evaluators.supernet.settings import Scoring
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.cost.cost import Budget, measure
from search_space.cost.priced_space import PricedSpace
from training.checkpoint import load_weights, save_weights
from training.data.datasets import load_data

CPU = torch.device("cpu")


@pytest.fixture
def small(picture_folder: Path, narrow_space_file: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A search without its budget and folder; `first` is finished."""
    monkeypatch.chdir(narrow_space_file.parent)
    given = ["--space", str(narrow_space_file), "--data", f"folder:{picture_folder}", "--trials", "3", "--startup", "2"]
    given += ["--prior", "none"]
    search.main([*given, "--supernet-epochs", "1", "--batch-size", "8", "--max-macs", "1M", "--out", "first"])
    return given


def test_another_budget_with_the_same_weights(
    small: list[str],
    picture_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    monkeypatch.setattr(supernet, "fit", None)  # no shared weights are trained
    again = [*small, "--supernet", "first", "--max-params", "1500", "--out", "second", "--seed", "3"]
    search.main([*again, "--dry-run"])
    said = capsys.readouterr().out
    about = "supernet: shared weights of first (1 epochs, seed 0, random networks within 1.00M MACs)"
    assert f"\n{about}; then 3 candidates by sampler predictor\n" in said
    assert "training" not in said.partition(about)[2]
    assert not Path("second").exists()
    search.main(again)
    said = capsys.readouterr().out
    assert f"\n{about}; then" in said
    assert "within 1.50k parameters, 16 validation pictures, shared weights of another run" in " ".join(said.split())
    assert Path("second", WEIGHTS).read_bytes() == Path("first", WEIGHTS).read_bytes()
    identity = json.loads(Path("second/config.json").read_text())["identity"]
    recorded = json.loads(Path("first/config.json").read_text())["identity"]
    assert identity["evaluator"]["recipe"] == recorded["evaluator"]["recipe"]
    # A score is that of the first run's weights: the same evaluator that trained them gives the same.
    space = PricedSpace.from_dict(recorded["space"])
    data = load_data(f"folder:{picture_folder}", 16, CPU)
    given = given_weights(Path("first"), Path("third"), space, data)
    assert given.digest == identity["evaluator"]["weights"]
    Path("third").mkdir()
    oracle = SupernetEvaluator(
        space,
        data,
        given.recipe,
        Scoring(),
        seed=3,
        folder=Path("third"),
        reporter=Reporter(quiet=True),
        given=given,
    )
    oracle.prepare()
    best = json.loads(Path("second/best.json").read_text())
    architecture = Architecture.from_dict(best["architecture"])
    assert oracle.evaluate(architecture, thorough=True).value == best["metrics"]["accuracy"]
    assert Budget(max_params=1500).allows(measure(architecture, 4))

    # The folder is whole by itself.
    shutil.move("first", "away")
    before = Path("second/front.json").read_bytes()
    search.main(again)
    assert Path("second/front.json").read_bytes() == before
    search.main([*again, "--trials", "4"])
    capsys.readouterr()
    retrain.main(["second", "--init", "supernet", "--epochs", "1", "--out", "sliced"])
    assert "init supernet: the shared weights of second" in capsys.readouterr().out


def test_it_goes_on_with_the_same_weights_alone(small: list[str]) -> None:
    search.main([*small, "--supernet-epochs", "1", "--batch-size", "16", "--max-macs", "1M", "--out", "else"])
    more = ["--max-macs", "900k", "--out", "second"]
    search.main([*small, "--supernet", "first", *more])
    before = {file: file.read_bytes() for file in Path("second").iterdir()}
    for given, message in (
        ([], "`supernet` is given there and none here; use another `out`, or give the same settings"),
        (["--supernet", "else"], "the shared weights are not those that it began with; use another `out`, or give"),
    ):
        with pytest.raises(InputError, match=f"`out` second: holds another run: {message}"):
            search.main([*small, *given, *more])
    assert {file: file.read_bytes() for file in Path("second").iterdir()} == before


def test_flags_that_change_nothing(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    more = ["--supernet-epochs", "9", "--batch-size", "4", "--max-macs", "700k", "--out", "second", "--dry-run"]
    search.main([*small, "--supernet", "first", *more])
    told = "without effect: --supernet-epochs (the weights of --supernet are trained), --batch-size (the weights of"
    assert told in capsys.readouterr().out
    search.main([*small, "--supernet", "first", "--evaluator", "zero-cost", "--out", "second", "--dry-run"])
    assert "without effect: --supernet (it is for --evaluator supernet)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changed",
    [
        {"recipe": {"epochs": "many"}},
        {"recipe": {"epochs": 1, "unknown": 1}},
        {"budget": {"max_macs": "1M"}},
        {"budget": {"unknown": 1}},
        {"space": {"name": "narrow"}},
        {"seed": None, "recipe": None},
    ],
)
def test_what_received_weights_say_is_checked(small: list[str], changed: dict[str, object]) -> None:
    tensors, metadata = load_weights(Path("first", WEIGHTS))
    Path("received").mkdir()
    trained = json.dumps({**json.loads(metadata["trained"]), **changed})
    save_weights(Path("received", WEIGHTS), tensors, {"trained": trained})
    with pytest.raises(InputError, match=r"^received/supernet\.safetensors: not a supernet's weights, or of another"):
        search.main([*small, "--supernet", "received", "--max-macs", "900k", "--out", "second"])
    assert not Path("second").exists()


def test_weights_that_are_nested_too_deeply_are_refused(small: list[str]) -> None:
    tensors, _ = load_weights(Path("first", WEIGHTS))
    Path("received").mkdir()
    save_weights(Path("received", WEIGHTS), tensors, {"trained": "[" * 99_999})
    with pytest.raises(InputError, match="not a supernet's weights"):
        search.main([*small, "--supernet", "received", "--max-macs", "900k", "--out", "second"])


def test_what_does_not_fit_is_refused(small: list[str], picture_folder: Path) -> None:
    space = Path("narrow.toml").read_text()
    Path("other.toml").write_text(space.replace('"narrow"', '"other"'))
    Path("changed").mkdir()
    Path("changed/narrow.toml").write_text(space.replace("width = [12]", "width = [12, 16]"))
    shutil.copytree(picture_folder, "fewer")
    shutil.rmtree("fewer/digit3")
    shutil.copytree(picture_folder, "more")
    shutil.copy("more/digit0/00.png", "more/digit0/more.png")
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken", WEIGHTS).write_bytes(b"x" * 100)
    shutil.copytree("first", "another")
    remedy = "; give a run of the same space and data, or leave `supernet` out"
    for more, message in (
        (["--supernet", "empty"], "`supernet` empty: holds no supernet.safetensors; give the folder of a search"),
        (["--supernet", "absent"], "`supernet` absent: holds no supernet.safetensors; give the folder of a search"),
        (["--supernet", "broken"], "broken/supernet.safetensors: not a safetensors file"),
        (["--supernet", "first", "--out", "first"], "`supernet` first: is this run's own folder; give another `out`"),
        (["--space", "other.toml"], f"`supernet` first: its weights are of space narrow, not other{remedy}"),
        (["--space", "changed/narrow.toml"], f": its weights are of another version of space narrow{remedy}"),
        (["--data", "folder:fewer"], f"`supernet` first: its weights are for 4 classes, not 3{remedy}"),
        (["--data", "folder:more"], f": its weights were trained on other pictures than those of folder now{remedy}"),
    ):
        with pytest.raises(InputError) as refused:
            search.main([*small, "--supernet", "first", "--max-macs", "1M", "--out", "second", *more])
        assert message in str(refused.value)
        assert not Path("second").exists()
