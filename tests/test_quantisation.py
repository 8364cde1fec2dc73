"""Networks in 8-bit integers: what they compute, what is in the file, and the table beside float32."""

import re
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from deployment.answers import answers_of
from deployment.evaluation import evaluated
from deployment.export import calibration_pictures, export
from deployment.onnx_session import OnnxNetwork
from deployment.precisions import compare_precisions
from deployment.quantisation import quantised
from foundation.progress import Reporter
from reports.terminal.deployed_tables import precision_table
from search_space import Architecture, Attention, InputError, Network, Stage, build
from training.data.datasets import Dataset, load_data
from training.model_file import ModelInfo

QUIET = Reporter(quiet=True)

Exported = tuple[Network, ModelInfo, Dataset, Path]


@pytest.fixture(scope="module")
def exported(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A network whose stem is random and whose classifier is trained, in float32 and in integers."""
    torch.manual_seed(3)
    data = load_data(f"folder:{picture_folder}", 16, torch.device("cpu"))
    stages = (Stage("inverted_residual", 16, 2, 2, 3, (Attention("ca", 4),)),)
    architecture = Architecture(16, 16, 1, stages, 64, "relu6")
    network = build(architecture, 4)
    _fit(network, data)
    info = ModelInfo(architecture, data.classes, data.mean, data.std, data.name)
    folder = tmp_path_factory.mktemp("exported")
    written = export(network, info, ("onnx", "int8"), folder, QUIET, calibration_pictures(data))
    assert [path.name for path in written] == ["model.onnx", "model.int8.onnx"]
    return network.eval(), info, data, folder


def _fit(network: Network, data: Dataset) -> None:
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for seed in range(8):
        for images, labels in data.train.batches(22, seed=seed):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimiser.step()
    network.eval()


def test_integers_decide_as_float32_does(exported: Exported) -> None:
    network, _, data, folder = exported
    model = OnnxNetwork(folder / "model.int8.onnx")
    images = torch.cat([images for images, _ in data.train.batches(66)])
    with torch.no_grad():
        expected = network(images)
    logits = model(images)
    assert (logits.argmax(1) == expected.argmax(1)).float().mean() > 0.95
    assert 1e-5 < (logits - expected).abs().max() < 0.15 * expected.abs().max()
    # The bar means something: the network tells the digits apart.
    labels = torch.cat([labels for _, labels in data.train.batches(66)])
    assert (expected.argmax(1) == labels).float().mean() > 0.7


def test_every_weight_and_activation_is_eight_bits(exported: Exported) -> None:
    folder = exported[3]
    graph = onnx.load(folder / "model.int8.onnx").graph
    made_by = {name: node for node in graph.node for name in node.output}
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    whole = [node for node in onnx.load(folder / "model.onnx").graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == len(whole) > 5
    for layer in layers:
        activation, weight = (made_by[name] for name in layer.input[:2])
        assert activation.op_type == weight.op_type == "DequantizeLinear"
        assert kinds[weight.input[0]] == onnx.TensorProto.INT8
        assert kinds[activation.input[2]] == onnx.TensorProto.UINT8
    weights = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    values = [onnx.numpy_helper.to_array(tensor) for tensor in weights]
    assert all(value.min() >= -64 and value.max() <= 64 for value in values)
    assert any(value.max() == 63 or value.min() <= -63 for value in values)


def test_a_model_in_integers_takes_any_size_and_says_what_it_is(exported: Exported) -> None:
    _, info, _, folder = exported
    model = OnnxNetwork(folder / "model.int8.onnx")
    assert ModelInfo.from_metadata(model.metadata, "") == info
    for shape in ((1, 3, 16, 16), (5, 3, 21, 33)):
        assert model(torch.randn(shape)).shape == (shape[0], 4)


def test_the_table_beside_float32(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    network, _, data, folder = exported
    rows = compare_precisions(folder, data, rounds=4)
    assert [row.name for row in rows] == ["float32", "int8"]
    with torch.no_grad():
        expected = evaluated(answers_of(network), data.test.batches(4), data.classes)
    assert torch.equal(rows[0].evaluation.by_class.confusion, expected.by_class.confusion)
    losses = [row.evaluation.measured.beside["loss"] for row in rows]
    assert losses[0] == pytest.approx(expected.measured.beside["loss"], rel=1e-4)
    assert losses[1] != losses[0]
    for row in rows:
        assert 0 < row.time.low <= row.time.median <= row.time.high < 10**9
        assert row.size > 1000
    Reporter().show(precision_table(rows, "digits"))
    printed = capsys.readouterr().out
    assert f" {100 * rows[1].evaluation.measured.value:.2f} % " in printed
    assert " ms " in printed
    with pytest.raises(InputError, match=r"absent/model\.onnx: no such file"):
        compare_precisions(Path("absent"), data)


def test_integers_need_pictures(exported: Exported, tmp_path: Path) -> None:
    network, info, *_ = exported
    with pytest.raises(ValueError, match="int8 needs pictures to be calibrated on"):
        export(network, info, ("int8",), tmp_path, QUIET)


class _Elsewhere:
    """A batch on another device: nothing can be done with it but to move it to the CPU."""

    def __init__(self, images: Tensor):
        self.images = images

    def cpu(self) -> Tensor:
        return self.images


def test_pictures_of_another_device_are_moved(exported: Exported, tmp_path: Path) -> None:
    network, info, data, folder = exported
    away: list[Any] = [_Elsewhere(images) for images in calibration_pictures(data)]
    export(network, info, ("int8",), tmp_path, QUIET, away)
    assert (tmp_path / "model.int8.onnx").read_bytes() == (folder / "model.int8.onnx").read_bytes()


def test_integers_that_see_other_classes_are_not_kept(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, info, data, folder = exported
    model = onnx.load(folder / "model.onnx")
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == "classifier.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    monkeypatch.setattr("deployment.export.onnx_network", lambda *_: model.SerializeToString())
    with pytest.raises(InputError) as raised:
        export(network, info, ("int8",), tmp_path, QUIET, calibration_pictures(data))
    assert re.search(
        r"model\.int8\.onnx: sees the network's class in \d+ % of 68 pictures only; leave int8 out of `export`",
        str(raised.value),
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_missing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    nothing: list[Tensor] = []
    with pytest.raises(InputError, match=f"{package} is not installed; get it by: pip install 'coordnas\\[export\\]'"):
        quantised(b"", nothing)


def test_settings_reach_the_tool(exported: Exported) -> None:
    _, _, data, folder = exported
    other: Any = {"per_channel": False, "reduce_range": False}
    model = quantised((folder / "model.onnx").read_bytes(), calibration_pictures(data), **other)
    assert model != (folder / "model.int8.onnx").read_bytes()
    assert len(model) < (folder / "model.int8.onnx").stat().st_size
