"""The head of SHOT's source networks: weight normalisation, first weights, costs, files, exports, commands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from commands import adapt, evaluate, retrain
from deployment.export import export
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space import Architecture, Attention, Stage, build
from search_space.cost.cost import measure
from search_space.head import ClassifierHead, read_head
from search_space.network import Network
from search_space.spaces import priced_space
from tasks.choice import task
from tasks.classification.bottleneck import BottleneckClassifier, BottleneckHead
from training.adaptation.hypothesis import WithFeatures, hypothesis
from training.checkpoint import load_weights
from training.model_file import ModelInfo, load_model, save_model

ROOT = Path(__file__).parent.parent
ARCHITECTURE = Architecture(16, 8, 2, (Stage("inverted_residual", 8, 2, 1, 3, (Attention("none"),)),), 12, "relu6")
HEAD = BottleneckHead(10, 32)


def _module(network: Network) -> BottleneckClassifier:
    assert isinstance(network.classifier, BottleneckClassifier)
    return network.classifier


def test_scaling_v_leaves_the_logits() -> None:
    network = build(ARCHITECTURE, HEAD).eval()
    images = torch.randn(3, 3, 16, 16)
    before = network(images)
    magnitude, direction = _module(network).hypothesis.parametrizations.weight.parameters()
    with torch.no_grad():
        direction.mul_(3)
    torch.testing.assert_close(network(images), before)
    with torch.no_grad():
        magnitude.mul_(2)
    assert not torch.allclose(network(images), before)


def test_first_weights_are_xaviers_and_reach_the_parameters() -> None:
    """What a family draws for its linear layers changes nothing of them."""
    found = build(ARCHITECTURE, BottleneckHead(200, 300)).classifier.hypothesis
    magnitude, direction = found.parametrizations.weight.parameters()
    assert direction.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)
    torch.testing.assert_close(magnitude, direction.norm(dim=1, keepdim=True))
    assert not found.bias.any()


def test_a_file_names_its_head_and_nothing_need_be_imported_for_it(tmp_path: Path) -> None:
    """Each file is read in a process of its own, divided off one that has the reader alone."""
    told = []
    for head, kind in (("bottleneck", "classification"), ("conv", "segmentation"), ("ssdlite", "detection")):
        architecture = priced_space("mobile-96").smallest
        of_task = task(kind, head).head(3, architecture)
        its = (("a", "b", "c"), (0.5,) * 3, (0.2,) * 3, "folder", f"{kind}:{head}")
        info = ModelInfo(architecture, *its, head=of_task)
        save_model(tmp_path / head, build(architecture, of_task).state_dict(), info)
        told.append(of_task.told)
    program = (
        "import os, sys; from pathlib import Path; from training.model_file import load_model\n"
        "assert not any(name.partition('.')[0] == 'tasks' for name in sys.modules)\n"
        "for path in sys.argv[1:]:\n"
        "    if os.fork() == 0:\n"
        "        print(load_model(Path(path))[1].head.told)\n"
        "        sys.exit()\n"
        "    assert os.wait()[1] == 0, path"
    )
    command = [sys.executable, "-c", program, *(str(tmp_path / head) for head in ("bottleneck", "conv", "ssdlite"))]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines() == told


def test_it_is_counted() -> None:
    """Of the bottleneck C·width, of the hypothesis width·K; batch normalisation has 2·width parameters, g has K."""
    plain, with_head = measure(ARCHITECTURE, ClassifierHead(10)), measure(ARCHITECTURE, HEAD)
    assert with_head.macs - plain.macs == 12 * 32 + 32 * 10 - 12 * 10
    assert with_head.params - plain.params == (12 * 32 + 32 + 2 * 32) + (32 * 10 + 10 + 10) - (12 * 10 + 10)


def test_the_value() -> None:
    assert read_head(HEAD.to_dict()) == HEAD
    assert task("classification:bottleneck/32").head(10, ARCHITECTURE) == HEAD
    assert task("classification", "bottleneck").head(10, ARCHITECTURE) == BottleneckHead(10, 256)
    assert task("classification").head(10, ARCHITECTURE) == ClassifierHead(10)
    with pytest.raises(InputError, match=r"`head` bottleneck/0: width: expected an integer from 1 to 8192, got 0"):
        task("classification", "bottleneck/0")


def test_the_hypothesis_is_the_last_layer() -> None:
    network = build(ARCHITECTURE, HEAD).eval()
    assert hypothesis(network) is _module(network).hypothesis
    images = torch.randn(2, 3, 16, 16)
    outputs = WithFeatures(network)(images)
    assert outputs["features"].shape == (2, 32)
    assert torch.equal(outputs["logits"], network(images))


def test_files_and_exports(tmp_path: Path) -> None:
    classes = tuple(str(digit) for digit in range(10))
    info = ModelInfo(ARCHITECTURE, classes, (0.5,), (0.3,), "digits:uci", "classification:bottleneck/32", {}, HEAD)
    network = build(ARCHITECTURE, HEAD)
    save_model(tmp_path / "weights.safetensors", network.state_dict(), info)
    read, said = load_model(tmp_path / "weights.safetensors")
    assert said == info
    assert said.class_labels
    export(read, said, ("onnx", "safetensors", "torchscript"), tmp_path, Reporter(quiet=True))
    with pytest.raises(InputError, match="`export` timm: for a linear classifier alone, not for head bottleneck/32"):
        export(read, said, ("timm",), tmp_path, Reporter(quiet=True))


def test_trained_and_adapted_by_the_commands(picture_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "network.json"
    source.write_text(ARCHITECTURE.to_json())
    common = ["--data", f"folder:{picture_folder}", "--epochs", "1", "--device", "cpu", "--quiet"]
    trained, adapted = tmp_path / "trained", tmp_path / "adapted"
    retrain.main([str(source), *common, "--head", "bottleneck/16", "--label-smoothing", "0.1", "--out", str(trained)])
    weights = trained / "given-0/weights.safetensors"
    adapt.main([str(weights), *common, "--batch-size", "16", "--rotation-epochs", "1", "--out", str(adapted)])
    before, after = (load_weights(path)[0] for path in (weights, adapted / "shot/weights.safetensors"))
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith("classifier.hypothesis")} <= kept
    assert "classifier.bottleneck.0.weight" not in kept
    evaluate.main([str(adapted / "shot"), "--split", "train", "--device", "cpu", "--quiet"])
    assert json.loads((adapted / "shot/evaluation/weights-train/evaluation.json").read_text())["pictures"] > 0
