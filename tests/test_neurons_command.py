"""`evaluate.py --neurons`: what it measures, prints and writes, killed and started again, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from commands import ending, evaluate
from deployment.model_source import Model, read_model
from deployment.neuron_bench import Bench
from deployment.neurons import Hidden, check_neurons, studied
from foundation.errors import InputError
from foundation.progress import Reporter
from reports.html.neurons_page import neurons_page
from search_space import Architecture, Attention, Stage, build
from tasks.neural import brief_training
from tasks.neural.attacks import CEILING, GUIDED, METHODS, NOISE, Attacks, targets_of
from tasks.neural.fooling import descended, mean_squared
from tasks.neural.substitute import Pixels, features, recorded, substitute_of
from tasks.segmentation.heads import ConvHead
from training.data.datasets import Dataset, load_data
from training.methods.label_step import LabelStep
from training.model_file import ModelInfo, save_model

CPU = torch.device("cpu")
QUIET = Reporter(quiet=True)
CLASSES = ("digit0", "digit1", "digit2", "digit3")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ARCHITECTURE = Architecture(16, 8, 2, (Stage("inverted_residual", 8, 2, 2, 3, (Attention("ca", 4),)),), None, "relu6")
INFO = ModelInfo(ARCHITECTURE, CLASSES, MEAN, STD, "folder")


def _save(folder: Path, info: ModelInfo = INFO) -> Path:
    torch.manual_seed(3)
    network = build(info.architecture, info.head)
    folder.mkdir(parents=True)
    save_model(folder / "weights.safetensors", network.state_dict(), info)
    return folder


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 16, CPU)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return read_model(_save(tmp_path / "net") / "weights.safetensors", CPU)


@pytest.fixture(scope="module")
def hidden(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Hidden:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(brief_training, "RECIPE", replace(brief_training.RECIPE, epochs=1, batch_size=16))
        return Hidden.of(data, tmp_path_factory.mktemp("hidden"), QUIET)


def _attacks(model: Model, data: Dataset, hidden: Hidden) -> Attacks:
    pixels = Pixels(data.mean, data.std)
    recording = recorded(hidden.brain, data, pixels, 0)
    assert model.network is not None
    frozen = model.network.requires_grad_(False)
    return Attacks(hidden.brain, recording, substitute_of(frozen, recording, pixels), hidden.ensemble, pixels, 0)


def test_all_attacks_keep_to_their_budget_and_come_nearer_to_what_they_are_for(
    model: Model, data: Dataset, hidden: Hidden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.neural.attacks.descended", partial(descended, steps=8))
    attacks = _attacks(model, data, hidden)
    images, labels = next(data.test.batches(6))
    assert isinstance(labels, Tensor)
    pictures = attacks.pixels.pictures(images)
    torch.testing.assert_close(attacks.pixels.shown(pictures), images)
    towards = targets_of(labels, torch.arange(4), range(6), 0)
    for method in METHODS:
        none = attacks.changed(method, pictures, towards, range(6), 0.0)
        assert torch.equal(none, pictures), method
        changed = attacks.changed(method, pictures, towards, range(6), 0.01)
        assert float(mean_squared(changed, pictures).max()) <= 0.01, method
        for see, own in ((attacks.substitute, GUIDED), (hidden.brain.clean, CEILING)):
            if method == own:
                wanted = attacks.recording.targets.float()[towards]
                before, after = (
                    ((see(attacks.pixels.shown(given)) - wanted) ** 2).mean(1) for given in (pictures, changed)
                )
                assert bool((after < before).all()), method


def test_a_picture_is_changed_alike_in_any_batch(model: Model, data: Dataset, hidden: Hidden) -> None:
    attacks = _attacks(model, data, hidden)
    pictures = attacks.pixels.pictures(next(data.test.batches(4))[0])
    towards = torch.tensor([0, 1, 2, 3])
    for method in METHODS[:2]:
        whole = attacks.changed(method, pictures, towards, range(4), 0.01)
        alone = attacks.changed(method, pictures[2:3], towards[2:3], [2], 0.01)
        assert torch.equal(whole[2:3], alone)


def test_targets_are_other_categories_and_go_by_the_number() -> None:
    labels, known = torch.arange(4).repeat(25), torch.arange(4)
    found = targets_of(labels, known, range(100), 0)
    assert not bool((found == labels).any())
    assert set(found.tolist()) == {0, 1, 2, 3}
    assert found[40:60].equal(targets_of(labels[40:60], known, range(40, 60), 0))
    assert targets_of(torch.tensor([0, 1]), torch.arange(2), range(2), 5).tolist() == [1, 0]


def test_the_regression_sees_what_the_classifier_reads(model: Model, data: Dataset) -> None:
    assert model.network is not None
    images = next(data.test.batches(5))[0]
    read = features(model.network, images)
    linear = model.network.classifier
    assert isinstance(linear, torch.nn.Linear)
    torch.testing.assert_close(torch.nn.functional.linear(read, linear.weight, linear.bias), model.network(images))


def _ended(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["evaluate.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        ending.run(evaluate.main, continues=False)
    return ended.value.code


def test_the_command_tells_of_simulated_neurons_and_goes_on_after_a_kill(
    tmp_path: Path,
    picture_folder: Path,
    brief: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    killed_at: Callable[..., None],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tasks.neural.attacks.descended", partial(descended, steps=1))
    monkeypatch.setattr("deployment.neurons.FEWEST", 4)
    _save(Path("net"))
    more = ["--data", f"folder:{picture_folder}", "--neurons", "--budgets", "0.001,0.01", "--pictures", "8"]
    assert _ended(["net", *more, "--out", "whole"], monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "simulated neurons (no animal's), net; folder: 8 test pictures" in printed
    assert "simulated neurons: explained variance " in printed
    rows = [line.strip().split("  ")[0] for line in printed.splitlines()]
    assert [row for row in rows if row in METHODS] == list(METHODS)
    told = json.loads(Path("whole/evaluation.json").read_text())["simulated_neurons"]
    assert told["budgets"] == [0.001, 0.01]
    assert told["taken_for_target"].keys() == set(METHODS)
    with Image.open("whole/neurons.png") as picture:
        assert picture.height > picture.width
    page = Path("whole/neurons.html").read_text()
    assert "data:image/webp" in page
    assert page.count("imulated neurons") > 3

    killed_at(LabelStep, 5, lambda: evaluate.main(["net", *more, "--out", "killed"]))
    original, calls = Bench.judged, iter(range(100))

    def dying(self: Bench, *arguments: Any) -> Any:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Bench, "judged", dying)
        with pytest.raises(KeyboardInterrupt):
            evaluate.main(["net", *more, "--out", "killed", "--quiet"])
    assert len(json.loads(Path("killed/neurons.json").read_text())["found"]) == 4
    evaluate.main(["net", *more, "--out", "killed", "--quiet"])
    for name in ("evaluation.json", "neurons.json", "neurons.png", "neurons.html", "neurons.safetensors"):
        assert Path("whole", name).read_bytes() == Path("killed", name).read_bytes(), name


def test_what_was_kept_of_another_network_is_not_taken(
    model: Model, data: Dataset, hidden: Hidden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployment.neurons.FEWEST", 4)
    more: dict[str, Any] = {"name": "net", "part": "test", "budgets": (0.0,), "pictures": 6, "reporter": QUIET}
    monkeypatch.setattr("tasks.neural.attacks.descended", partial(descended, steps=1))
    first = studied(model, data, data.test, hidden, tmp_path, **more)
    assert {shares[0] for shares in first.taken.values()} == {first.at_rest}
    kept = json.loads((tmp_path / "neurons.json").read_text())
    kept["found"][f"{NOISE} 0.0"]["taken"] = 0.77
    (tmp_path / "neurons.json").write_text(json.dumps(kept))
    assert studied(model, data, data.test, hidden, tmp_path, **more).taken[NOISE] == (0.77,)
    (tmp_path / "other").mkdir()
    other = studied(model, data, data.validation, hidden, tmp_path / "other", **more | {"part": "validation"})
    (tmp_path / "neurons.json").write_text(json.dumps(kept))
    assert studied(model, data, data.validation, hidden, tmp_path, **more | {"part": "validation"}).taken == other.taken
    kept["identity"]["network"] = "another"
    (tmp_path / "neurons.json").write_text(json.dumps(kept))
    again = studied(model, data, data.test, hidden, tmp_path, **more)
    assert again.taken == first.taken


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budgets", "0.01"], "--budgets 0.01: for changes towards simulated neurons; add --neurons"),
        (
            ["--neurons", "--latency"],
            "--neurons: a test, and --latency measures times without one; leave one of them out",
        ),
        (
            ["--neurons", "--budgets", "2"],
            "argument --budgets: '2': expected a share from 0 to 1, such as 0.5; see evaluate.py --help",
        ),
        (["--epsilon", "0.1", "--neurons"], "--epsilon 0.1: for a test under attack; add --attack"),
        (
            ["--neurons", "--data", "FOLDER"],
            "--neurons: 12 pictures in the split; give --data with at least 16 in it",
        ),
        (
            ["--neurons", "--pictures", "1"],
            "--pictures 1: the neurons' variance needs two; give 2 or more, or leave it out",
        ),
    ],
)
def test_bad_input(
    tmp_path: Path,
    picture_folder: Path,
    brief: None,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    _save(Path("net"))
    given = [one.replace("FOLDER", f"folder:{picture_folder}") for one in arguments]
    assert _ended(["net", "--data", f"folder:{picture_folder}", *given], monkeypatch) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not (tmp_path / "net" / "evaluation").exists()


def test_networks_that_it_is_not_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _save(Path("masks"), replace(INFO, task="segmentation", head=ConvHead(len(CLASSES), width=8)))
    _save(Path("one"), ModelInfo(ARCHITECTURE, ("digit0",), MEAN, STD, "folder"))
    for name, message in (
        ("masks", "--neurons: for class labels alone, which task segmentation does not have; leave it out"),
        (
            "one",
            "one/weights.safetensors: has one class, so there is no other to change a picture to; leave --neurons out",
        ),
    ):
        assert _ended([name, "--data", "folder:absent", "--neurons"], monkeypatch) == 2
        assert capsys.readouterr().err == f"error: {message}\n"


def test_one_that_gives_answers_alone() -> None:
    with pytest.raises(InputError, match=r"model\.onnx: an ONNX file gives neither features nor gradients"):
        check_neurons(Model(Path("model.onnx"), INFO, lambda images: (images, None)))


def test_no_part_of_the_page_is_without_its_label(
    model: Model, data: Dataset, hidden: Hidden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployment.neurons.FEWEST", 4)
    monkeypatch.setattr("tasks.neural.attacks.descended", partial(descended, steps=1))
    study = studied(
        model, data, data.test, hidden, tmp_path, name="net", part="test", budgets=(0.01,), pictures=4, reporter=QUIET
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    page = neurons_page("net", data.name, study, tmp_path / "picture.png")
    for part in ("<title>", "<h1>", "<h2>", "<footer>"):
        assert "imulated neurons" in page.split(part, 1)[1].split("</", 1)[0], part
