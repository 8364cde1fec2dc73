"""Testing trained networks: the numbers, the command, what it writes, and comparing their latency."""

import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import confusion_matrix, log_loss, precision_score, recall_score, top_k_accuracy_score
from torch import nn

from commands import ending, evaluate
from deployment.answers import answers_of
from deployment.choices import COMPARED, compared_runtimes
from deployment.compared_latency import spread
from deployment.evaluation import evaluated
from deployment.export import export
from deployment.model_source import Model, find_models, read_model
from foundation.files import write_json
from foundation.progress import Reporter
from search_space import Architecture, Attention, InputError, Stage, build
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import save_weights
from training.data.datasets import HeldSplit, load_data
from training.evaluation import evaluate as training_evaluate
from training.model_file import ModelInfo, load_model, save_model

CPU = torch.device("cpu")
CLASSES = ("digit0", "digit1", "digit2", "digit3")
ARCHITECTURE = Architecture(16, 8, 2, (Stage("inverted_residual", 8, 2, 2, 3, (Attention("none"),)),), None, "relu6")


def _ended(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["evaluate.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        ending.run(evaluate.main, continues=False)
    return ended.value.code


def _save(folder: Path, kind: str, classes: tuple[str, ...] = CLASSES) -> Path:
    """A network of random weights, whose logits differ from class to class, as retrain.py leaves it."""
    attention = Attention(kind, None if kind == "none" else 4)
    stages = (Stage("inverted_residual", 8, 2, 2, 3, (attention,)),)
    architecture = Architecture(16, 8, 2, stages, None, "relu6")
    network = build(architecture, len(classes))
    torch.nn.init.normal_(network.classifier.weight)
    folder.mkdir(parents=True)
    info = ModelInfo(architecture, classes, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "folder")
    save_model(folder / "weights.safetensors", network.state_dict(), info)
    return folder / "weights.safetensors"


@pytest.fixture
def retrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a retraining of two networks, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, kind in (("found-0", "se"), ("uniform-none-0", "none")):
        _save(tmp_path / "run/retrain" / name, kind)
    return Path("run/retrain")


@settings(max_examples=30)
@given(
    st.integers(2, 9).flatmap(
        lambda number: st.lists(
            st.tuples(st.integers(0, number - 1), st.lists(st.integers(-20, 20), min_size=number, max_size=number)),
            min_size=1,
            max_size=30,
        )
    )
)
def test_the_numbers_are_those_of_a_peer(pictures: list[tuple[int, list[int]]]) -> None:
    """scikit-learn's, of the same logits; no two logits of a picture are equal, so that ranks are definite."""
    truth = torch.tensor([label for label, _ in pictures])
    logits = torch.tensor([row for _, row in pictures]) / 4.0 + torch.arange(len(pictures[0][1])) / 1000
    number = logits.shape[1]
    names = tuple(f"class {index}" for index in range(number))
    halves = [slice(0, len(truth) // 2 or 1), slice(len(truth) // 2 or 1, None)]
    batches = [(logits[half], truth[half]) for half in halves if len(truth[half])]
    found = evaluated(answers_of(lambda rows: rows), batches, names)
    known, numbers = found.by_class, found.to_dict()
    assert known is not None
    taken, labels = logits.argmax(1), range(number)
    assert known.confusion.tolist() == confusion_matrix(truth, taken, labels=labels).tolist()
    assert found.pictures == len(truth)
    assert numbers["accuracy"] == pytest.approx(float((taken == truth).float().mean()))
    assert numbers["loss"] == pytest.approx(log_loss(truth, logits.double().softmax(1), labels=labels), rel=1e-5)
    for name, score in (("recall", recall_score), ("precision", precision_score)):
        ours = known.shares[name]
        theirs = score(truth, taken, labels=labels, average=None, zero_division=np.nan)
        assert [math.nan if value is None else value for value in ours] == pytest.approx(theirs.tolist(), nan_ok=True)
    if number > 5:
        assert numbers["top5"] == pytest.approx(top_k_accuracy_score(truth, logits, k=5, labels=labels))
    else:
        assert numbers["top5"] is None
    for index in labels:
        others = dict(zip(names, known.confusion[index].tolist(), strict=True))
        del others[names[index]]
        mistaken = found.mistaken(index)
        assert (mistaken[1] if mistaken else 0) == max(others.values())
        assert mistaken is None or others[mistaken[0]] == mistaken[1]


def test_logits_that_are_not_finite() -> None:
    broken = answers_of(lambda x: x * float("nan"))
    with pytest.raises(InputError, match="logits are not finite"):
        evaluated(broken, [(torch.ones(1, 2), torch.zeros(1, dtype=torch.int64))], ("a", "b"))


def test_one_network(
    retrained: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, spec = retrained / "found-0/weights.safetensors", f"folder:{picture_folder}"
    assert _ended([str(path.parent), "--data", spec, "--batch-size", "5"], monkeypatch) == 0
    printed = capsys.readouterr().out
    results = json.loads((path.parent / "evaluation/weights-test/evaluation.json").read_text())
    data = load_data(spec, 16, CPU)
    network = read_model(path, CPU)
    module = _Module(lambda images: network.see(images).answers)
    expected = training_evaluate(CLASSIFICATION, module, data.test.batches(4))
    assert results["accuracy"] == expected.value
    assert results["loss"] == pytest.approx(expected.beside["loss"], rel=1e-5)
    assert (results["pictures"], results["split"], results["data"]) == (len(data.test), "test", "folder")
    assert results["top5"] is None
    assert [entry["name"] for entry in results["classes"]] == list(CLASSES)
    assert sum(sum(row.values()) for row in results["confusion"].values()) == len(data.test)
    error = 100 * (expected.value * (1 - expected.value) / len(data.test)) ** 0.5
    assert f" {100 * expected.value:.2f} ± {error:.2f} % " in printed
    for name in CLASSES:
        assert f" {name} " in printed
    assert str(picture_folder) not in json.dumps(results)
    with Image.open(path.parent / "evaluation/weights-test/confusion.png") as picture:
        assert min(picture.size) > 500


def test_pictures_that_were_added_since_are_told(
    retrained: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without splits is divided anew, so that what was trained on may be tested on. Of two networks once."""
    shutil.copytree(picture_folder, "pictures")
    spec = f"folder:{Path('pictures').absolute()}"
    write_json(retrained / "config.json", {"free": {"data": spec}})
    for name in ("found-0", "uniform-none-0"):
        write_json(retrained / name / "recipe.json", {"data": load_data(spec, 16, CPU).identity})
    line = f"is not what {retrained} was given any more (files were added, removed, renamed or changed)"
    for added in (False, True):
        if added:
            Image.new("RGB", (20, 20)).save("pictures/digit0/added.png")
        for flags in ([], ["--data", spec], ["--data", "folder:./pictures/"]):
            assert _ended([str(retrained), *flags], monkeypatch) == 0
            assert capsys.readouterr().out.count(line) == added
    assert _ended([str(retrained), "--data", f"folder:{picture_folder}"], monkeypatch) == 0
    assert line not in capsys.readouterr().out


class _Module(torch.nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def test_several_networks_stand_in_one_table(
    retrained: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--data", f"folder:{picture_folder}", "--split", "validation", "--out", "there"]
    assert _ended(["run", *arguments], monkeypatch) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("  ") and " % " in line]
    assert [row.split()[0] for row in rows] == ["found-0", "uniform-none-0"]
    for name in ("found-0", "uniform-none-0"):
        results = json.loads(Path("there", name, "evaluation.json").read_text())
        assert results["split"] == "validation"
        assert f"{100 * results['accuracy']:.2f} ± " in printed
        assert not (retrained / name / "evaluation").exists()
    assert _ended(["run/retrain", *arguments[:-2], "--quiet"], monkeypatch) == 0
    assert capsys.readouterr().out == ""
    assert (retrained / "found-0/evaluation/weights-validation/confusion.png").exists()


def test_onnx_files_are_run_in_onnx_runtime(
    retrained: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = read_model(retrained / "found-0/weights.safetensors", CPU)
    network = build(model.info.architecture, 4)
    torch.nn.init.normal_(network.classifier.weight)
    noise = [torch.randn(8, 3, 16, 16)]
    export(network.eval(), model.info, ("onnx", "int8"), Path("exported"), Reporter(quiet=True), noise)
    save_model(Path("exported/weights.safetensors"), network.state_dict(), model.info)
    found = {}
    for name in ("weights.safetensors", "model.onnx", "model.int8.onnx"):
        arguments = [f"exported/{name}", "--data", f"folder:{picture_folder}", "--split", "train"]
        assert _ended(arguments, monkeypatch) == 0
        folder = Path("exported/evaluation", f"{name.removesuffix('.safetensors')}-train")
        found[name] = json.loads((folder / "evaluation.json").read_text())
    assert found["model.onnx"]["confusion"] == found["weights.safetensors"]["confusion"]
    assert found["model.onnx"]["loss"] == pytest.approx(found["weights.safetensors"]["loss"], rel=1e-5)
    assert found["model.int8.onnx"]["loss"] != found["model.onnx"]["loss"]
    assert found["model.int8.onnx"]["loss"] == pytest.approx(found["model.onnx"]["loss"], rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "absent: no such file or folder"),
        (["run/empty"], "run/empty: holds no trained network (weights.safetensors); retrain.py makes them"),
        (["run/notes.txt"], "run/notes.txt: expected a network's folder, or a .safetensors or .onnx file"),
        (["run/broken.safetensors"], "run/broken.safetensors: not a safetensors file"),
        (["run/broken.onnx"], "run/broken.onnx: not an ONNX model"),
        (["run/plain.safetensors"], "run/plain.safetensors: not a trained network's file (lacks architecture)"),
        (
            ["run"],
            "run/retrain/found-0/weights.safetensors: does not say where its pictures are; give --data folder:PATH",
        ),
        (["run", "--data", "folder:absent"], "--data folder:absent: no such folder: absent"),
        (["run", "--data", "digits"], "--data digits: pictures of 32 pixels, but the space wants 16"),
        (["run", "--split", "all"], "--split all: unknown; known: test, validation, train"),
        (
            ["run", "--latency", "--runtimes", "eager,tflite"],
            "'eager,tflite': tflite is no runtime; expected any of eager,",
        ),
        (["run/broken.onnx", "--latency"], "--latency: run/broken.onnx: give the network's .safetensors"),
    ],
)
def test_bad_input(
    retrained: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("run/empty").mkdir()
    for name in ("notes.txt", "broken.safetensors", "broken.onnx"):
        Path("run", name).write_text("nothing of the kind")
    save_weights(Path("run/plain.safetensors"), {"x": torch.zeros(1)}, {})
    before = sorted(Path("run").rglob("*"))
    assert _ended(arguments, monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(Path("run").rglob("*")) == before


@pytest.mark.parametrize("place", ["run/retrain", "run"])
def test_the_pictures_are_those_that_the_retraining_or_its_run_was_given(
    retrained: Path, place: str, picture_folder: Path
) -> None:
    spec = f"folder:{picture_folder}"
    write_json(Path(place) / "config.json", {"identity": {}, "free": {"data": spec}})
    evaluate.main([str(retrained), "--quiet"])
    assert (retrained / "found-0/evaluation/weights-test/evaluation.json").exists()
    # Of another kind than the weights say, they are not the training's.
    write_json(Path(place) / "config.json", {"identity": {}, "free": {"data": f"imagenet:{picture_folder}"}})
    with pytest.raises(InputError, match="does not say where its pictures are"):
        evaluate.main([str(retrained), "--quiet"])


def test_results_do_not_take_the_place_of_a_file(
    retrained: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("mine")
    for out in ("file", "file/below"):
        arguments = [str(retrained / "found-0"), "--data", f"folder:{picture_folder}", "--out", out]
        assert _ended(arguments, monkeypatch) == 2
        assert f"--out {out}: is a file, or lies in one; choose another" in capsys.readouterr().err
    assert Path("file").read_text() == "mine"


def test_other_classes(
    picture_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, classes, message in (
        (
            "more",
            (*CLASSES, "digit4"),
            "trained for 5 classes, folder has 4, and class 5 is digit4 there but none here",
        ),
        (
            "other",
            ("digit0", "cat", "digit2", "digit3"),
            "4 classes, folder has 4, and class 2 is cat there but digit1 here",
        ),
    ):
        _save(tmp_path / name, "none", classes)
        assert _ended([str(tmp_path / name), "--data", f"folder:{picture_folder}"], monkeypatch) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_folder_is_known_by_its_first_file(retrained: Path) -> None:
    assert list(find_models("run/retrain/found-0").values()) == [retrained / "found-0/weights.safetensors"]
    (retrained / "found-0/model.onnx").write_bytes(b"")
    assert list(find_models("run")) == ["found-0", "uniform-none-0"]
    (retrained / "found-0/weights.safetensors").unlink()
    assert find_models("run")["found-0"].name == "model.onnx"


def test_latency_of_several_networks(
    retrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["run", "--latency", "--rounds", "3", "--runtimes", "eager,onnxruntime,int8"]
    assert _ended(arguments, monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "one picture, 1 thread, " in printed
    lines = [line.split() for line in printed.splitlines() if " ms " in line]
    assert [line[:2] for line in lines[::2]] == [["eager", "found-0"], ["onnxruntime", "found-0"], ["int8", "found-0"]]
    assert [line[0] for line in lines[1::2]] == ["uniform-none-0"] * 3
    assert [line[-1] for line in lines[::2]] == ["1.00"] * 3
    assert all(0 < float(line[-1]) < 10 for line in lines[1::2])
    assert not list(retrained.rglob("evaluation*"))


def test_latency_without_onnx(
    retrained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not installed is left out, unless it was asked for; so is a compiler that cannot be used."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    def broken(*_: Any, **__: Any) -> Callable[..., Any]:
        def call(*_: Any) -> None:
            raise RuntimeError("no C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    assert _ended(["run", "--latency", "--rounds", "1"], monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "compile: left out, since torch's compiler cannot be used here (no C++ compiler)" in printed
    assert [line.split()[0] for line in printed.splitlines() if " ms " in line] == ["eager", "uniform-none-0"]
    for runtime, message in (
        ("int8", "onnxruntime is not installed; get it by: pip install 'coordnas[export]'"),
        ("compile", "--runtimes compile: torch's compiler cannot be used here (no C++ compiler)"),
    ):
        assert _ended(["run", "--latency", "--runtimes", runtime], monkeypatch) == 2
        assert message in capsys.readouterr().err


def test_runtimes_and_quartiles() -> None:
    assert compared_runtimes("int8,eager,int8") == ("int8", "eager")
    assert compared_runtimes(",".join(COMPARED)) == COMPARED
    assert spread([5]) == (5, 5, 5)
    assert spread([30, 10, 20, 40, 1000]) == (30, 20, 40)


def test_a_run_with_a_pretraining_is_its_retraining(tmp_path: Path) -> None:
    for name in ("pretrain", "retrain/found-0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "weights.safetensors").touch()
    assert find_models(str(tmp_path)) == {"found-0": tmp_path / "retrain/found-0/weights.safetensors"}
    assert find_models(str(tmp_path / "pretrain")) == {"pretrain": tmp_path / "pretrain/weights.safetensors"}


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_normalised_as_the_network_s_own_were(picture_folder: Path, tmp_path: Path, channels: int) -> None:
    """And not as those of a folder are usually: so `predict.py` sees the same."""
    folder = _save(tmp_path / "net", "none", CLASSES).parent
    network, info = load_model(folder / "weights.safetensors")
    own = replace(info, mean=(0.2, 0.3, 0.5)[:channels], std=(0.6, 0.5, 0.4)[:channels])
    save_model(folder / "weights.safetensors", network.state_dict(), own)
    spec = f"folder:{picture_folder}"
    evaluate.main([str(folder), "--data", spec, "--out", str(tmp_path / "out"), "--quiet"])
    test = load_data(spec, info.architecture.resolution, torch.device("cpu")).test
    assert isinstance(test, HeldSplit)
    pictures = test.images.float() / 255
    if channels == 1:
        grey = [Image.fromarray(one.permute(1, 2, 0).numpy()).convert("L") for one in test.images]
        pictures = torch.stack([torch.from_numpy(np.array(one)) for one in grey])[:, None].float() / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (own.mean, own.std))
    with torch.no_grad():
        logits = network.eval()(((pictures - mean) / std).expand(-1, 3, -1, -1))
    loss = nn.functional.cross_entropy(logits, test.targets).item()
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found["loss"] == pytest.approx(loss, abs=1e-5)


def test_settings_that_weights_do_not_say_are_those_of_the_training(tmp_path: Path) -> None:
    """`cifar10:PATH` and a plugin's `stripes:1000` are called by the kind alone."""
    path = tmp_path / "retrain" / "found-0" / "weights.safetensors"
    path.parent.mkdir(parents=True)
    for recorded, said, expected in (
        ("cifar10:/pictures", "cifar10", "cifar10:/pictures"),
        ("digits", "digits", "digits"),
        ("digits:mnist", "digits:uci", "digits:uci"),  # adapted to others than it was trained on
    ):
        write_json(tmp_path / "retrain" / "config.json", {"identity": {}, "free": {"data": recorded}})
        info = ModelInfo(ARCHITECTURE, CLASSES, (0.5,), (0.5,), said)
        assert evaluate._spec(Model(path, info, lambda images: None), None) == expected
        assert evaluate._spec(Model(path, info, lambda images: None), "digits:clutter") == "digits:clutter"
